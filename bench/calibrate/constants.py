"""What the simulator has to be told of a mesh: how long its store, its planes and its runtimes take."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from statistics import fmean, pstdev
from typing import Any

import grpc.aio

from bench.calibrate.figures import Answer
from bench.calibrate.mesh import Mesh
from demo.scrape import Counted, mean
from meshcore.kv import ANY, Write
from meshd.store.connect import open_store, parse_kv_store
from protos import model_runtime_pb2 as spi
from sim.scenario import Scenario

PROBE_S = 0.2
"""How often the store and the runtimes are tried while requests are played."""
KEY = "/calibrate"
MOST_CV = 10.0
"""The widest spread that a scenario may have."""


@dataclass(slots=True)
class Seen:
    """Milliseconds that were observed."""

    commit: list[float] = field(default_factory=list)
    watch: list[float] = field(default_factory=list)
    """From the answer to a commit until a watch shows it."""
    size: list[float] = field(default_factory=list)


async def probe(mesh: Mesh, seen: Seen) -> None:
    """Commit to the store, watch it and have runtimes predict sizes, as `meshd` does, until cancelled."""
    store = open_store(parse_kv_store(mesh.kv_store), Random())
    committed: dict[bytes, float] = {}

    async def watch(after: int) -> None:
        async with aclosing(store.changes(KEY, after)) as batches:
            async for batch in batches:
                now = time.perf_counter()
                for change in batch:
                    for pair in change.pairs:
                        shown[pair.value] = now  # type: ignore[union-attr]

    shown: dict[bytes, float] = {}
    channels = [grpc.aio.insecure_channel(instance.runtime) for instance in mesh.instances]
    predict = [
        channel.unary_unary(
            "/mmesh.ModelRuntime/predictModelSize",
            request_serializer=spi.PredictModelSizeRequest.SerializeToString,
            response_deserializer=spi.PredictModelSizeResponse.FromString,
        )
        for channel in channels
    ]
    watching = asyncio.create_task(watch((await store.snapshot(KEY)).revision))
    try:
        number = 0
        while True:
            await asyncio.sleep(PROBE_S)
            number += 1
            value, began = b"%d" % number, time.perf_counter()
            await store.commit(Write(KEY, ANY, value))
            committed[value] = time.perf_counter()
            seen.commit.append((committed[value] - began) * 1000)
            began = time.perf_counter()
            await predict[number % len(predict)](
                spi.PredictModelSizeRequest(modelId="model-0", modelPath="fake:?size=1")
            )
            seen.size.append((time.perf_counter() - began) * 1000)
    finally:
        seen.watch += [(shown[value] - at) * 1000 for value, at in committed.items() if value in shown]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for channel in channels:
            await channel.close()
        await store.close()


async def loads_by_model(mesh: Mesh) -> dict[str, int]:
    """How often the runtimes have loaded each model."""
    loads: dict[str, int] = {}
    for instance in mesh.instances:
        async with grpc.aio.insecure_channel(instance.runtime) as channel:
            stats = json.loads(await channel.unary_unary("/fake.Control/Stats")(b"", timeout=10))
        for model, counts in stats["models"].items():
            loads[model] = loads.get(model, 0) + counts["loads"]
    return loads


@dataclass(frozen=True, slots=True)
class Constants:
    """The delays of one run's world, milliseconds; the simulator counts those of the store and the network whole.

    ``plane_ms`` is what a request takes in the plane and the client beside the runtime's work, ``load_ms`` what a load
    takes longer than the runtime was told.
    """

    commit_ms: float
    commit_cv: float
    """How unlike the times are that commits take, as a part of their mean."""
    watch_ms: float
    size_ms: float
    unload_ms: float
    load_ms: float
    plane_ms: float
    hop_ms: float
    service_cv: float
    """How unlike the times are that requests take, as a part of their mean."""

    def parts(self, scenario: Scenario) -> dict[str, Any]:
        """The parts of a scenario that say so."""
        base_ms, mean_ms = scenario.runtime.load.base_ms, scenario.runtime.service.mean_ms
        return {
            "runtime": {
                "load": {"base_ms": max(0, round(base_ms + self.load_ms))},
                "service": {"mean_ms": mean_ms + self.plane_ms, "cv": self.service_cv},
                "unload_ms": whole(self.unload_ms),
                "size_ms": whole(self.size_ms),
            },
            "network": {"delay_ms": whole(self.hop_ms)},
            "store": {
                "commit_ms": whole(self.commit_ms),
                "commit_cv": self.commit_cv,
                "watch_ms": whole(self.watch_ms),
            },
        }


def whole(ms: float) -> int:
    """As the simulator counts delays."""
    return max(1, round(ms))


def constants(
    seen: Seen,
    warm: Sequence[Answer],
    counted: Sequence[Counted],
    loads: Mapping[str, int],
    load_ms: Mapping[str, float],
    service_ms: float,
) -> Constants:
    """From what was observed; ``warm`` are the answers that did not wait, ``load_ms`` is how long loads should take."""
    here = [each.took_ms for each in warm if each.by == each.entry]
    there = [each.took_ms for each in warm if each.by != each.entry]
    local_ms = fmean(here) if here else service_ms
    told_ms = sum(load_ms[model] * count for model, count in loads.items()) / max(1, sum(loads.values()))
    unloads = sum(each.total("modelmesh_unloadmodel_milliseconds_count") for each in counted)
    return Constants(
        commit_ms=fmean(seen.commit),
        commit_cv=min(pstdev(seen.commit) / fmean(seen.commit), MOST_CV),
        watch_ms=fmean(seen.watch),
        size_ms=fmean(seen.size),
        unload_ms=mean(counted, "modelmesh_unloadmodel_milliseconds") if unloads else 0.0,
        load_ms=mean(counted, "modelmesh_loadmodel_milliseconds") - told_ms,
        plane_ms=local_ms - service_ms,
        hop_ms=(fmean(there) - local_ms) / 2 if there else 0.0,
        service_cv=pstdev(here) / local_ms if here else 0.0,
    )
