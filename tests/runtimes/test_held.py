from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

import pytest

from runtimes.held import Dropped, Held
from runtimes.runtime import Loaded, ModelInfo, Runtime

HANG_S = 30
A, B, C = (ModelInfo(name) for name in "abc")


class Slow(Runtime):
    """Its loads run in threads, and end when the test says so; writes down what it was asked."""

    capacity_bytes = 1 << 30

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.finish = threading.Event()
        self.failure: Exception | None = None
        self.unload_failure: Exception | None = None
        self.calls: list[str] = []

    def load(self, model: ModelInfo) -> Loaded:
        self.calls.append(f"load {model.id}")
        self.loop.call_soon_threadsafe(self.started.put_nowait, model.id)
        assert self.finish.wait(HANG_S)
        self.calls.append(f"loaded {model.id}")
        if self.failure:
            raise self.failure
        return Loaded(10)

    def unload(self, model_id: str) -> None:
        self.calls.append(f"unload {model_id}")
        if self.unload_failure:
            raise self.unload_failure


def held(test: Callable[[Slow, Held], Awaitable[None]], loads_at_once: int = 2) -> None:
    async def run() -> None:
        async with asyncio.timeout(HANG_S):
            runtime = Slow()
            runtime.max_loading_concurrency = loads_at_once
            models = Held(runtime)
            await test(runtime, models)
            runtime.finish.set()
            runtime.failure = runtime.unload_failure = None
            await models.close()

    asyncio.run(run())


async def settle() -> None:
    """Let every task go on until it waits for something that only the test or a thread can bring."""
    for _ in range(10):
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[Loaded]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_load_is_unloaded_when_its_thread_ends() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(loading)
        unloading = asyncio.create_task(models.unload("a"))
        await settle()
        assert not unloading.done()
        runtime.finish.set()
        await unloading
        assert runtime.calls == ["load a", "loaded a", "unload a"]
        assert "a" not in models

    held(test)


def test_a_load_after_a_cancelled_one_starts_afresh() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(loading)
        again = asyncio.create_task(models.load(A))
        runtime.finish.set()
        assert await again == Loaded(10)
        assert runtime.calls == ["load a", "loaded a", "unload a", "load a", "loaded a"]
        assert "a" in models

    held(test)


def test_a_cancelled_load_that_fails_leaves_nothing_to_unload() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(loading)
        runtime.failure = ValueError("broken")
        runtime.finish.set()
        await models.unload("a")
        assert runtime.calls == ["load a", "loaded a"]

    held(test)


def test_a_cancelled_load_that_cannot_be_unloaded_counts_as_loaded(caplog: pytest.LogCaptureFixture) -> None:
    """So that the unload which the mesh sends next has something to repeat."""

    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(loading)
        runtime.unload_failure = RuntimeError("stuck")
        runtime.finish.set()
        with pytest.raises(RuntimeError, match="stuck"):
            await models.unload("a")
        assert "a" in models
        runtime.unload_failure = None
        await models.unload("a")
        assert runtime.calls == ["load a", "loaded a", "unload a", "unload a", "unload a"]

    with caplog.at_level(logging.ERROR):
        held(test)
    assert "a was loaded in vain and cannot be unloaded" in caplog.text


def test_a_cancelled_load_keeps_its_place_until_its_thread_ends() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        first = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(first)
        second = asyncio.create_task(models.load(B))
        await settle()
        assert runtime.started.empty()
        runtime.finish.set()
        await second
        assert runtime.calls == ["load a", "loaded a", "unload a", "load b", "loaded b"]

    held(test, loads_at_once=1)


def test_a_load_that_waits_for_its_place_can_be_cancelled() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        others = [asyncio.create_task(models.load(model)) for model in (A, B)]
        await runtime.started.get()
        await runtime.started.get()
        third = asyncio.create_task(models.load(C))
        await settle()
        await cancelled(third)
        await models.unload("c")
        runtime.finish.set()
        await asyncio.gather(*others)
        assert "load c" not in runtime.calls

    held(test)


def test_unload_waits_for_the_load_of_the_same_model_only() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        runtime.finish.set()
        await models.load(B)
        await runtime.started.get()
        runtime.finish.clear()
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        unloading = asyncio.create_task(models.unload("a"))
        await models.unload("b")
        assert not unloading.done()
        runtime.finish.set()
        await loading
        await unloading
        assert runtime.calls == ["load b", "loaded b", "load a", "unload b", "loaded a", "unload a"]

    held(test)


def test_an_unload_goes_on_when_its_caller_goes_away() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        unloading = asyncio.create_task(models.unload("a"))
        await settle()
        unloading.cancel()
        runtime.finish.set()
        await loading
        await models.unload("a")
        assert runtime.calls == ["load a", "loaded a", "unload a"]

    held(test)


def test_clearing_ends_loads_that_are_under_way() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        clearing = [asyncio.create_task(models.clear()) for _ in range(2)]
        await settle()
        assert not any(task.done() for task in clearing)
        runtime.finish.set()
        with pytest.raises(Dropped, match="the load of a was dropped"):
            await loading
        await asyncio.gather(*clearing)
        assert runtime.calls == ["load a", "loaded a", "unload a"]
        assert "a" not in models

    held(test)


def test_clearing_waits_for_the_cleaning_up_of_cancelled_loads() -> None:
    """A second cancellation of the same load must not cut its cleaning up short."""

    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        await cancelled(loading)
        clearing = asyncio.create_task(models.clear())
        await settle()
        assert not clearing.done()
        runtime.finish.set()
        await clearing
        assert runtime.calls == ["load a", "loaded a", "unload a"]

    held(test)


def test_a_size_is_asked_for_in_the_models_turn() -> None:
    async def test(runtime: Slow, models: Held) -> None:
        loading = asyncio.create_task(models.load(A))
        await runtime.started.get()
        asking = asyncio.create_task(models.size("a"))
        await settle()
        assert not asking.done()
        runtime.finish.set()
        assert (await loading).size_bytes == await asking == 10
        with pytest.raises(KeyError):
            await models.size("b")

    held(test)
