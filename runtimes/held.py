"""The models a runtime holds: loads and unloads one at a time per model, and what becomes of a cancelled load."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from runtimes.runtime import Loaded, ModelInfo, Runtime

T = TypeVar("T")

log = logging.getLogger(__name__)

UNLOAD_THREADS = 4
"""Threads beside those that load, so that an unload never waits for a load of another model."""


@dataclass(slots=True)
class Turn:
    """Whose turn it is with one model; exists while somebody has it or waits for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Held:
    """Loads and unloads on behalf of callers that may go away.

    Every operation runs to a clean end in a task of its own, whatever becomes of its caller.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._models: dict[str, tuple[ModelInfo, Loaded]] = {}
        self._turns: dict[str, Turn] = {}
        self._loading = asyncio.Semaphore(runtime.max_loading_concurrency)
        self._threads = ThreadPoolExecutor(runtime.max_loading_concurrency + UNLOAD_THREADS, "runtime")
        self._loads: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clearing: asyncio.Task[None] | None = None

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._models

    async def load(self, model: ModelInfo) -> Loaded:
        """Load a model, or say what the load of the very same came to before.

        A model that is held with another type, path or key is unloaded first. Cancelling the caller cancels the load.
        Raises what the runtime raises, and Dropped when `clear` ended the load.
        """
        task = self._start(self._load(model))
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if _is_cancelled_itself():
                _cancel(task)
                raise
            raise Dropped(model.id) from None

    async def unload(self, model_id: str) -> None:
        """Unload a model if it is held, after its load has ended. Raises what the runtime raises; it is held still."""
        await asyncio.shield(self._start(self._unload(model_id)))

    async def clear(self) -> None:
        """Cancel all loads and unload everything; callers at the same time share one clearing."""
        if self._clearing is None or self._clearing.done():
            self._clearing = self._start(self._clear())
        await asyncio.shield(self._clearing)

    async def size(self, model_id: str) -> int:
        """Bytes a held model takes. Raises KeyError when it is not held, and what the runtime raises."""
        return await asyncio.shield(self._start(self._size(model_id)))

    async def predict(self, model: ModelInfo) -> int:
        """Bytes a model will take, as the runtime guesses."""
        return int(await self._call(self._runtime.predict_size, model))

    async def close(self) -> None:
        """Cancel what is under way and unload everything; a failing unload is left at that."""
        await asyncio.gather(self.clear(), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()

    async def _size(self, model_id: str) -> int:
        async with self._turn(model_id):
            known = self._models[model_id][1].size_bytes
            return known or int(await self._call(self._runtime.model_size, model_id))

    async def _load(self, model: ModelInfo) -> Loaded:
        async with self._turn(model.id), self._loading:
            before = self._models.get(model.id)
            if before is not None:
                if before[0] == model and self._runtime.is_loaded(model.id):
                    return before[1]
                await self._drop(model.id)
            work = asyncio.ensure_future(self._call(self._runtime.load, model))
            try:
                loaded: Loaded = await asyncio.shield(work)
            except asyncio.CancelledError:
                await self._abandon(work, model)
                raise
            if not isinstance(loaded, Loaded):
                raise TypeError(f"{type(self._runtime).__name__}.load returned {loaded!r} instead of a Loaded")
            self._models[model.id] = (model, loaded)
            return loaded

    async def _abandon(self, work: asyncio.Future[Loaded], model: ModelInfo) -> None:
        """See a load to its end that nobody waits for any more, and unload what it brings.

        A thread cannot be stopped. Its model keeps its turn and its place among the loads until it has ended.
        """
        if inspect.iscoroutinefunction(self._runtime.load):
            work.cancel()
        await asyncio.wait([work])
        if work.cancelled() or work.exception() is not None:
            return
        self._models[model.id] = (model, work.result())
        try:
            await self._drop(model.id)
        except Exception:
            log.exception("%s was loaded in vain and cannot be unloaded; it counts as loaded", model.id)

    async def _unload(self, model_id: str) -> None:
        async with self._turn(model_id):
            if model_id in self._models:
                await self._drop(model_id)

    async def _drop(self, model_id: str) -> None:
        if self._runtime.is_loaded(model_id):
            await self._call(self._runtime.unload, model_id)
        del self._models[model_id]

    async def _clear(self) -> None:
        loads = list(self._loads)
        for task in loads:
            _cancel(task)
        await asyncio.gather(*loads, return_exceptions=True)
        outcomes = await asyncio.gather(*map(self._unload, list(self._models)), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that went away leaves nobody to look at it

    @asynccontextmanager
    async def _turn(self, model_id: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(model_id, Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if turn.users == 0:
                del self._turns[model_id]

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if inspect.iscoroutinefunction(function):
            work: Awaitable[Any] = function(*arguments)
        else:
            work = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        return await work


class Dropped(Exception):
    """A load ended because the runtime was told to drop everything."""

    def __init__(self, model_id: str) -> None:
        super().__init__(f"the load of {model_id} was dropped: the mesh that asked for it has started again")


def _cancel(load: asyncio.Task[Any]) -> None:
    """Cancel a load once: a second time would cut short what the first one has it clean up."""
    if not load.cancelling():
        load.cancel()


def _is_cancelled_itself() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
