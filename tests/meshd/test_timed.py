"""What is put into metrics on the way to the runtime."""

from __future__ import annotations

import asyncio

from meshcore.commands import Load, Measure, Predict, Unload
from meshcore.reasons import Reason, Rule
from meshd.metrics import Metrics
from meshd.spi import RuntimeClient
from meshd.timed import TimedRuntime
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from runtimes.listen import Listen
from runtimes.sdk import serving
from tests.processes import free_port

WHY = Reason(Rule.LOAD, "m", "here", "a test")
LONG_MS = 60_000


def counted(metrics: Metrics, name: str) -> float:
    lines = metrics.exposition().decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"modelmesh_{name}")]
    return float(line.split()[-1])


def test_sizes_of_models_and_times_of_the_runtime_are_observed() -> None:
    """A load that tells a size and a measurement are one size each; unloads and measurements are timed."""
    metrics = Metrics()

    async def main() -> None:
        port = free_port()
        async with serving(Fake(1 << 30, Behaviour(size=1 << 20)), Listen(port=port)):
            client = RuntimeClient([f"127.0.0.1:{port}"], max_message_bytes=-1, min_churn_age_ms=0)
            await client.start()
            runtime = TimedRuntime(client, metrics)
            await runtime.predict(Predict("m", 1, "t", "", "", LONG_MS))
            await runtime.load(Load("m", 1, "t", "", "", LONG_MS, WHY))
            await runtime.load(Load("n", 2, "t", "fake:?measure=true&size=2MiB", "", LONG_MS, WHY))
            await runtime.measure(Measure("n", 2, LONG_MS))
            runtime.cancel_load("n", 2)
            await runtime.unload(Unload("m", 1, WHY))
            await client.close()

    asyncio.run(main())
    assert counted(metrics, "loaded_model_size_bytes_count") == 2
    assert counted(metrics, "loaded_model_size_bytes_sum") == 3 << 20
    assert counted(metrics, "model_sizing_milliseconds_count") == 1
    assert counted(metrics, "unloadmodel_milliseconds_count") == 1
