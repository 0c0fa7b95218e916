"""Whether the runtime is still there: a lost connection is told, and one that came back is met anew."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from meshcore.commands import Probe
from meshcore.events import Finding, Predicted, RuntimeProbed
from meshd import lookout
from meshd.handshake import RuntimeUnusable
from meshd.spi import RuntimeClient
from protos import model_runtime_pb2 as spi
from tests.meshd.scripted_runtime import (
    GUARD_S,
    Echo,
    FakeRuntime,
    client_of,
    fails,
    predict,
    ready,
    run,
    says,
    serving,
)
from tests.processes import free_port


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes until a connection is seen to be taken."""
    monkeypatch.setattr(lookout, "CONNECT_LIMIT_S", GUARD_S)


def watching(client: RuntimeClient) -> tuple[asyncio.Task[None], asyncio.Queue[str]]:
    told: asyncio.Queue[str] = asyncio.Queue()
    return asyncio.create_task(client.watch(lambda event: told.put_nowait(event.text))), told


def test_lost_connection_is_told_without_any_call() -> None:
    """Each time again; and what is to be seen then is asked for without a word to the runtime."""

    async def scene() -> None:
        port = free_port()
        async with client_of(f"localhost:{port}") as client:
            async with serving(servicer=FakeRuntime(), address=f"localhost:{port}"):
                await client.start(poll_s=0)
                watch, told = watching(client)
                assert await client.probe(Probe(7)) == RuntimeProbed(7, Finding.OPEN)
                assert told.empty()
            for _ in range(2):
                assert await told.get() == f"the connection to localhost:{port} ended"
                assert await client.probe(Probe(8)) == RuntimeProbed(8, Finding.REFUSED)
                runtime = FakeRuntime()
                async with serving(servicer=runtime, address=f"localhost:{port}"):
                    assert (await client.renew()).target == f"localhost:{port}"
                    assert len(runtime.asked) == 1
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    run(scene())


def test_connection_lost_before_anybody_watches_is_told_too() -> None:
    async def scene() -> None:
        async with client_of(f"localhost:{(port := free_port())}") as client:
            async with serving(servicer=FakeRuntime(), address=f"localhost:{port}"):
                await client.start(poll_s=0)
            state = client._managing.get_state()
            if state is grpc.ChannelConnectivity.READY:
                await client._managing.wait_for_state_change(state)
            watch, told = watching(client)
            assert (await told.get()).endswith(" ended")
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    run(scene())


def test_runtime_that_serves_elsewhere_is_back_when_it_serves_there() -> None:
    """Models that nobody answers for need not be loaded yet; the wait for it has the same end."""

    async def scene() -> None:
        apart, runtime = f"localhost:{free_port()}", FakeRuntime(ready(), ready())
        async with serving(servicer=runtime) as target, client_of(target, serving_target=apart) as client:
            await client.start(poll_s=0)
            with pytest.raises(RuntimeUnusable) as caught:
                await client.renew(limit_s=0.2, poll_s=0.01)
            text = f"Model server container did not start after 0.2 seconds: nobody listens at {apart}"
            assert (str(caught.value), len(runtime.asked)) == (text, 1)
            assert (await client.probe(Probe(1))).finding is Finding.REFUSED
            renewing = asyncio.create_task(client.renew(poll_s=0.01))
            async with serving(Echo(), address=apart):
                assert (await renewing).target == target
                assert len(runtime.asked) == 2
                assert (await client.probe(Probe(1))).finding is Finding.OPEN

    run(scene())


def test_methods_for_sizes_are_asked_for_anew_after_a_restart() -> None:
    async def scene() -> None:
        runtime = FakeRuntime(ready(), ready())
        runtime.answers["predict"] = fails(grpc.StatusCode.UNIMPLEMENTED)
        async with serving(servicer=runtime) as target, client_of(target) as client:
            await client.start(poll_s=0)
            assert await client.predict(predict()) == Predicted("m", 3, 0)
            await client.renew(poll_s=0)
            runtime.answers["predict"] = says(spi.PredictModelSizeResponse(sizeInBytes=5))
            assert await client.predict(predict()) == Predicted("m", 3, 5)

    run(scene())
