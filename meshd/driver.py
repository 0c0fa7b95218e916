"""Executes what one node decides, on asyncio: commands as tasks, flows as coroutines; it decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from meshcore.asks import (
    Asked,
    AwaitLoaded,
    Clashed,
    Done,
    Failed,
    Forward,
    Infer,
    Outcome,
    Pause,
    Put,
    Read,
    Settled,
    StoreSilent,
    TimedOut,
    Wrote,
)
from meshcore.commands import (
    Begin,
    CancelLoad,
    Command,
    Commit,
    Depart,
    Greet,
    Load,
    Measure,
    Peers,
    Predict,
    Probe,
    Publish,
    Route,
    Settle,
    Stop,
    Targets,
    Unload,
    Withdraw,
)
from meshcore.errors import MeshError
from meshcore.events import (
    CommitFailed,
    Committed,
    Conflicted,
    Drained,
    Event,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    PublishFailed,
    RuntimeBack,
    RuntimeProbed,
    Seen,
    Ticked,
    Unloaded,
    UnloadFailed,
    Usage,
    Used,
)
from meshcore.node import Node
from meshcore.units import NEVER
from meshcore.vmodel_asks import AwaitVModel, Overtaken, PutVModel, ReadVModel, VModelRead

_log = logging.getLogger(__name__)


class Runtime(Protocol):
    """The model runtime beside this instance; every method answers with the command's event, never raises."""

    def load(self, command: Load) -> Coroutine[Any, Any, Loaded | LoadFailed]: ...
    def cancel_load(self, model: str, gen: int) -> None: ...
    def predict(self, command: Predict) -> Coroutine[Any, Any, Predicted]: ...
    def measure(self, command: Measure) -> Coroutine[Any, Any, Measured]: ...
    def unload(self, command: Unload) -> Coroutine[Any, Any, Unloaded | UnloadFailed]: ...
    def probe(self, command: Probe) -> Coroutine[Any, Any, RuntimeProbed]: ...
    def greet(self) -> Coroutine[Any, Any, RuntimeBack]: ...


class Registry(Protocol):
    """The records in the store; never raises."""

    def write(
        self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()
    ) -> Coroutine[Any, Any, Wrote | Clashed | StoreSilent]: ...  # ``gone``: as Commit has it
    def read(self, model: str) -> Coroutine[Any, Any, Seen | StoreSilent]: ...
    def read_vmodel(self, step: ReadVModel) -> Coroutine[Any, Any, VModelRead | StoreSilent]: ...
    def write_vmodel(self, step: PutVModel) -> Coroutine[Any, Any, Wrote | Overtaken | StoreSilent]: ...
    def publish(self, value: bytes) -> Coroutine[Any, Any, str]: ...  # empty: done; else why not


class Plane(Protocol):
    """What serves requests by the table it is given."""

    def apply(self, route: Route) -> None: ...
    def peers(self, peers: Peers) -> None: ...
    def retarget(self, targets: Targets) -> None: ...
    def withdraw(self, model: str, gen: int, deadline_s: float) -> Coroutine[Any, Any, None]: ...
    def drain_usage(self) -> tuple[Usage, ...]: ...


class Call(Protocol):
    """One request on hold: the steps that need its body."""

    def waits(self) -> None: ...
    def infer(self, step: Infer) -> Coroutine[Any, Any, Outcome]: ...
    def forward(self, step: Forward) -> Coroutine[Any, Any, Outcome]: ...


class Driver:
    """Feeds events to the node and executes its commands, each answered by exactly one event.

    ``now`` answers epoch milliseconds; ``begin`` makes a Call for requests of the node's own; ``observe`` is shown
    every command, ``on_depart`` is called when a node that goes has handed over what it can, ``on_stop`` when it has
    nothing left to do.
    """

    def __init__(
        self,
        node: Node,
        now: Callable[[], int],
        runtime: Runtime,
        registry: Registry,
        plane: Plane,
        own_call: Callable[[], Call],
        observe: Callable[[Command], None],
        on_stop: Callable[[], None],
        on_depart: Callable[[], None],
    ) -> None:
        self.node, self._now = node, now
        self._runtime, self._registry, self._plane = runtime, registry, plane
        self._own_call, self._observe, self._on_stop = own_call, observe, on_stop
        self._on_depart = on_depart
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[tuple[str, int], list[asyncio.Future[MeshError | None]]] = {}
        self._following: dict[str, list[asyncio.Future[None]]] = {}
        """Who waits for another record of a virtual model."""
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = NEVER

    async def close(self) -> None:
        """End everything under way."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- events in, commands out -----------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the node what happened, and do what it wants."""
        now = self.take_usage()
        self._execute(self.node.step(event, now))
        self._arm(now)

    def take_usage(self) -> int:
        """Before every decision the node hears what the plane served; the instant of the decision."""
        now = self._now()
        if usages := self._plane.drain_usage():
            self._execute(self.node.step(Used(usages), now))
        return now

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            self._observe(command)
            match command:
                case Route():
                    self._plane.apply(command)
                case Peers():
                    self._plane.peers(command)
                case Targets():
                    self._plane.retarget(command)
                    for changed in self._following.pop(command.vmodel, ()):
                        if not changed.done():
                            changed.set_result(None)
                case Settle():
                    for waiting in self._waiting.pop((command.model, command.gen), ()):
                        if not waiting.done():
                            waiting.set_result(command.outcome)
                case CancelLoad():
                    self._runtime.cancel_load(command.model, command.gen)
                case Load():
                    self._spawn(self._answer(self._runtime.load(command)))
                case Predict():
                    self._spawn(self._answer(self._runtime.predict(command)))
                case Measure():
                    self._spawn(self._answer(self._runtime.measure(command)))
                case Unload():
                    self._spawn(self._answer(self._runtime.unload(command)))
                case Probe():
                    self._spawn(self._answer(self._runtime.probe(command)))
                case Greet():
                    self._spawn(self._answer(self._runtime.greet()))
                case Withdraw():
                    self._spawn(self._withdraw(command))
                case Commit():
                    self._spawn(self._commit(command))
                case Publish():
                    self._spawn(self._publish(command))
                case Begin():
                    self._spawn(self._begin(command))
                case Depart():
                    self._on_depart()
                case Stop():
                    self._on_stop()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (defect := task.exception()) is not None:
            _log.error("a command has no answer", exc_info=defect)

    async def _answer(self, asked: Coroutine[Any, Any, Event]) -> None:
        self.feed(await asked)

    async def _withdraw(self, command: Withdraw) -> None:
        await self._plane.withdraw(command.model, command.gen, command.deadline_ms / 1000)
        self.feed(Drained(command.model, command.gen))

    async def _commit(self, command: Commit) -> None:
        outcome = await self._registry.write(command.model, command.expect, command.value, command.gone)
        match outcome:
            case Wrote(mod):
                self.feed(Committed(command.ticket, mod))
            case Clashed(value, mod):
                self.feed(Conflicted(command.ticket, value, mod))
            case StoreSilent(text, is_refused):
                self.feed(CommitFailed(command.ticket, text, is_refused))

    async def _publish(self, command: Publish) -> None:
        problem = await self._registry.publish(command.value)
        self.feed(PublishFailed(command.seq, problem) if problem else Published(command.seq))

    async def _begin(self, command: Begin) -> None:
        await self.run(command.request, self._own_call())

    def _arm(self, now: int) -> None:
        """Have the node woken when it wants to be."""
        wake_at = self.node.next_wake(now)
        if wake_at == self._wake_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_at = wake_at
        if wake_at != NEVER:
            self._timer = self._loop.call_later(max(0, wake_at - now) / 1000, self._tick)

    def _tick(self) -> None:
        self._timer, self._wake_at = None, NEVER
        self.feed(Ticked())

    @property
    def is_awaited(self) -> bool:
        """Whether any request waits for a load here."""
        return bool(self._waiting)

    # -- flows -------------------------------------------------------------------------------------------

    async def run(self, asked: Asked, call: Call) -> Done | Failed:
        """Take one request to its end; cancelling this is the client going away."""
        flow = self.node.serve(asked)
        outcome: Outcome | None = None
        try:
            while True:
                now = self.take_usage()
                step, commands = self.node.resume(flow, outcome, now)
                self._execute(commands)
                self._arm(now)
                match step:
                    case Done() | Failed():
                        return step
                    case Infer():
                        outcome = await call.infer(step)
                    case Forward():
                        outcome = await call.forward(step)
                    case AwaitLoaded():
                        if step.is_cold_start:
                            call.waits()
                        outcome = await self._loaded(step)
                    case Pause(ms):
                        await asyncio.sleep(ms / 1000)
                        outcome = TimedOut()
                    case Read():
                        outcome = await self._registry.read(step.model)
                    case Put():
                        outcome = await self._registry.write(step.model, step.expect, step.value)
                    case ReadVModel():
                        outcome = await self._registry.read_vmodel(step)
                    case PutVModel():
                        outcome = await self._registry.write_vmodel(step)
                    case AwaitVModel():
                        outcome = await self._followed(step)
        finally:
            self.node.leave(flow)

    async def _followed(self, step: AwaitVModel) -> Settled | TimedOut:
        changed: asyncio.Future[None] = self._loop.create_future()
        following = self._following.setdefault(step.vmodel, [])
        following.append(changed)
        try:
            async with asyncio.timeout(step.deadline_ms / 1000):
                await changed
                return Settled(None)
        except TimeoutError:
            return TimedOut()
        finally:
            following.remove(changed)
            if not following and self._following.get(step.vmodel) is following:
                del self._following[step.vmodel]

    async def _loaded(self, step: AwaitLoaded) -> Settled | TimedOut:
        settled: asyncio.Future[MeshError | None] = self._loop.create_future()
        copy = step.model, step.gen
        waiting = self._waiting.setdefault(copy, [])
        waiting.append(settled)
        try:
            async with asyncio.timeout(step.deadline_ms / 1000):
                return Settled(await settled)
        except TimeoutError:
            return TimedOut()
        finally:
            waiting.remove(settled)
            if not waiting and self._waiting.get(copy) is waiting:
                del self._waiting[copy]
