"""Loads of the SDK that are coroutines run side by side, as many as may, and end when they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc

from protos import model_runtime_pb2 as pb
from runtimes import sdk
from tests.runtimes.shelf import Shelf, T, load, refused, served, unload


class SlowCoroutines(Shelf):
    """Its loads are coroutines and end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.finish: dict[str, asyncio.Event] = {}
        self.at_once = 0
        self.most_at_once = 0
        self.is_stubborn = False

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:  # type: ignore[override]
        self.calls.append(f"load {model.id}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.started.put_nowait(model.id)
        try:
            await self.finish.setdefault(model.id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.calls.append(f"cancelled {model.id}")
            if not self.is_stubborn:
                raise
        finally:
            self.at_once -= 1
        return sdk.Loaded(1)


def test_as_many_models_load_at_once_as_the_author_allows() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loads = [stub.loadModel(load(name)) for name in "abcd"]
        tasks = [asyncio.ensure_future(call) for call in map(_answer, loads)]
        for _ in loads:
            runtime.finish[await runtime.started.get()].set()
        await asyncio.gather(*tasks)
        first, second = runtime.calls[:2]
        assert first != second
        assert runtime.most_at_once <= 2

    served(SlowCoroutines, test)


async def _answer(call: Awaitable[T]) -> T:
    return await call


def test_two_loads_run_side_by_side() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loads = [asyncio.ensure_future(_answer(stub.loadModel(load(name)))) for name in "ab"]
        names = {await runtime.started.get(), await runtime.started.get()}
        assert runtime.at_once == 2
        for name in names:
            runtime.finish[name].set()
        await asyncio.gather(*loads)

    served(SlowCoroutines, test)


def test_a_load_cancelled_by_its_deadline_is_given_up_too() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        await stub.runtimeStatus(pb.RuntimeStatusRequest())
        code, _ = await refused(stub.loadModel(load("a"), timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await stub.unloadModel(unload("a"))
        assert runtime.calls in (["load a", "cancelled a"], []), "none if it did not come through in time"

    served(SlowCoroutines, test)


def test_a_cancelled_coroutine_is_cancelled() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loading = stub.loadModel(load("a"))
        await runtime.started.get()
        loading.cancel()
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "cancelled a"]

    served(SlowCoroutines, test)


def test_a_coroutine_that_loads_on_after_it_was_cancelled_is_unloaded() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        runtime.is_stubborn = True
        loading = stub.loadModel(load("a"))
        await runtime.started.get()
        loading.cancel()
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "cancelled a", "unload a"]

    served(SlowCoroutines, test)
