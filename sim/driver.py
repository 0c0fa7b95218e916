"""Executes what one node decides, on simpy: commands and flows as processes; it decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

import simpy
from simpy.events import URGENT

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
from meshcore.errors import Code, MeshError
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
    Seen,
    Ticked,
    Unloaded,
    UnloadFailed,
    Usage,
    Used,
)
from meshcore.node import Node
from meshcore.units import NEVER
from meshcore.vmodel_asks import AwaitVModel, PutVModel, ReadVModel

Waits = Generator[simpy.Event, Any, Any]
"""A part of a simpy process; what it returns is said where it is used."""


class Gate(simpy.Event):
    """Lets go on who waits for it, at once: before any other timer of the instant at which it opens."""

    def open(self, value: object) -> None:
        """Let them go on with ``value``; a gate that is open stays as it is."""
        if not self.triggered:
            self._ok, self._value = True, value
            self.env.schedule(self, URGENT)


class Runtime(Protocol):
    """The model server beside this instance; each returns the command's event."""

    def load(self, command: Load) -> Generator[simpy.Event, Any, Loaded | LoadFailed]: ...
    def cancel_load(self, model: str, gen: int) -> None: ...
    def predict(self, command: Predict) -> Generator[simpy.Event, Any, Predicted]: ...
    def measure(self, command: Measure) -> Generator[simpy.Event, Any, Measured]: ...
    def unload(self, command: Unload) -> Generator[simpy.Event, Any, Unloaded | UnloadFailed]: ...


class Registry(Protocol):
    """The records in the store."""

    def write(
        self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()
    ) -> Generator[simpy.Event, Any, Wrote | Clashed | StoreSilent]: ...  # ``gone``: as Commit has it
    def read(self, model: str) -> Generator[simpy.Event, Any, Seen | StoreSilent]: ...
    def publish(self, value: bytes) -> Generator[simpy.Event, Any, str]: ...  # empty: done; else why not


class Plane(Protocol):
    """What serves requests by the table it is given."""

    def apply(self, route: Route) -> None: ...
    def peers(self, peers: Peers) -> None: ...
    def busy_ms(self, model: str, gen: int) -> int: ...
    def drain_usage(self) -> tuple[Usage, ...]: ...


class Call(Protocol):
    """One request on hold: the steps that need its body."""

    def waits(self) -> None: ...
    def infer(self, step: Infer) -> Generator[simpy.Event, Any, Outcome]: ...
    def forward(self, step: Forward) -> Generator[simpy.Event, Any, Outcome]: ...


class Driver:
    """Feeds events to the node and executes its commands, each answered by exactly one event.

    The environment counts whole milliseconds from the instant ``start_ms``; ``begin`` makes a Call for requests of
    the node's own; ``observe`` is shown every command, ``on_depart`` is called when a node that goes has handed over
    what it can, ``on_stop`` when it has nothing left to do.
    """

    def __init__(
        self,
        node: Node,
        env: simpy.Environment,
        start_ms: int,
        runtime: Runtime,
        registry: Registry,
        plane: Plane,
        own_call: Callable[[], Call],
        observe: Callable[[Command], None],
        on_stop: Callable[[], None],
        on_depart: Callable[[], None],
    ) -> None:
        self.node, self._env, self._start_ms = node, env, start_ms
        self._runtime, self._registry, self._plane = runtime, registry, plane
        self._own_call, self._observe, self._on_stop = own_call, observe, on_stop
        self._on_depart = on_depart
        self._waiting: dict[tuple[str, int], list[Gate]] = {}
        self._timer: simpy.Event | None = None
        self._wake_at = NEVER
        self._is_closed = False
        self._held: list[Event] = []
        self._thaw: Gate | None = None
        """Opens when an instance that stands still goes on."""
        self.open = 0
        """Requests on hold."""

    # -- events in, commands out -----------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the node what happened, and do what it wants."""
        if self._is_closed:
            return
        if self._thaw is not None:
            self._held.append(event)
            return
        now = self.take_usage()
        self._execute(self.node.step(event, now))
        self._arm(now)

    def take_usage(self) -> int:
        """Before every decision the node hears what the plane served; the instant of the decision."""
        now = self._start_ms + int(self._env.now)
        if self._thaw is not None or self._is_closed:
            return now
        if usages := self._plane.drain_usage():
            self._execute(self.node.step(Used(usages), now))
        return now

    @property
    def is_frozen(self) -> bool:
        """Whether the instance stands still."""
        return self._thaw is not None

    def freeze(self) -> None:
        """Stand still: what happens is heard of later."""
        self._thaw = Gate(self._env)

    def thaw(self) -> None:
        """Go on, and hear of what has happened."""
        gate, self._thaw = self._thaw, None
        assert gate is not None
        held, self._held = self._held, []
        for event in held:
            self.feed(event)
        gate.open(None)

    def awake(self) -> Waits:
        """Wait until the instance does not stand still."""
        while self._thaw is not None:
            yield self._thaw

    def close(self) -> None:
        """The node is gone: whatever happens from now on, it is not told."""
        self._is_closed = True

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            self._observe(command)
            match command:
                case Route():
                    self._plane.apply(command)
                case Peers():
                    self._plane.peers(command)
                case Settle():
                    for gate in self._waiting.pop((command.model, command.gen), ()):
                        gate.open(Settled(command.outcome))
                case CancelLoad():
                    self._runtime.cancel_load(command.model, command.gen)
                case Load():
                    self._env.process(self._answer(self._runtime.load(command)))
                case Predict():
                    self._env.process(self._answer(self._runtime.predict(command)))
                case Measure():
                    self._env.process(self._answer(self._runtime.measure(command)))
                case Unload():
                    self._env.process(self._answer(self._runtime.unload(command)))
                case Withdraw():
                    self._env.process(self._withdraw(command))
                case Commit():
                    self._env.process(self._commit(command))
                case Publish():
                    self._env.process(self._publish(command))
                case Begin():
                    self._env.process(self.run(command.request, self._own_call()))
                case Depart():
                    self._on_depart()
                case Stop():
                    self._on_stop()
                case Probe() | Greet() | Targets():
                    raise AssertionError("model servers do not restart here, and no models are virtual")

    def _answer(self, asked: Waits) -> Waits:
        self.feed((yield from asked))

    def _withdraw(self, command: Withdraw) -> Waits:
        if busy_ms := min(self._plane.busy_ms(command.model, command.gen), command.deadline_ms):
            yield self._env.timeout(busy_ms)
        self.feed(Drained(command.model, command.gen))

    def _commit(self, command: Commit) -> Waits:
        outcome = yield from self._registry.write(command.model, command.expect, command.value, command.gone)
        match outcome:
            case Wrote(mod):
                self.feed(Committed(command.ticket, mod))
            case Clashed(value, mod):
                self.feed(Conflicted(command.ticket, value, mod))
            case StoreSilent(text, is_refused):
                self.feed(CommitFailed(command.ticket, text, is_refused))

    def _publish(self, command: Publish) -> Waits:
        problem = yield from self._registry.publish(command.value)
        self.feed(PublishFailed(command.seq, problem) if problem else Published(command.seq))

    def _arm(self, now: int) -> None:
        """Have the node woken when it wants to be."""
        wake_at = self.node.next_wake(now)
        if wake_at == self._wake_at:
            return
        self._timer, self._wake_at = None, wake_at
        if wake_at != NEVER:
            self._timer = self._env.timeout(max(0, wake_at - now))
            self._timer.callbacks.append(self._tick)

    def _tick(self, timer: simpy.Event) -> None:
        if timer is self._timer:  # and not one that another took the place of
            self._timer, self._wake_at = None, NEVER
            self.feed(Ticked())

    # -- flows -------------------------------------------------------------------------------------------

    def run(self, asked: Asked, call: Call) -> Generator[simpy.Event, Any, Done | Failed]:
        """Take one request to its end; an interrupt is the client going away."""
        flow = self.node.serve(asked)
        outcome: Outcome | None = None
        self.open += 1
        try:
            while True:
                yield from self.awake()
                if self._is_closed:
                    return Failed(MeshError("this instance is gone", Code.UNAVAILABLE))
                now = self.take_usage()
                step, commands = self.node.resume(flow, outcome, now)
                self._execute(commands)
                self._arm(now)
                match step:
                    case Done() | Failed():
                        return step
                    case Infer():
                        outcome = yield from call.infer(step)
                    case Forward():
                        outcome = yield from call.forward(step)
                    case AwaitLoaded():
                        if step.is_cold_start:
                            call.waits()
                        outcome = yield from self._loaded(step)
                    case Pause(ms):
                        yield self._env.timeout(ms)
                        outcome = TimedOut()
                    case Read():
                        outcome = yield from self._registry.read(step.model)
                    case Put():
                        outcome = yield from self._registry.write(step.model, step.expect, step.value)
                    case ReadVModel() | PutVModel() | AwaitVModel():
                        raise AssertionError("no models are virtual here")
        finally:
            self.open -= 1
            self.node.leave(flow)

    def _loaded(self, step: AwaitLoaded) -> Generator[simpy.Event, Any, Settled | TimedOut]:
        gate = Gate(self._env)
        waiting = self._waiting.setdefault((step.model, step.gen), [])
        waiting.append(gate)
        self._env.timeout(step.deadline_ms).callbacks.append(lambda _: gate.open(TimedOut()))
        try:
            settled: Settled | TimedOut = yield gate
            return settled
        finally:
            if gate in waiting:
                waiting.remove(gate)
