"""The model server beside one instance: how long it loads and unloads, what it says of sizes, when it fails."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

import simpy

from meshcore.commands import Load, Measure, Predict, Unload
from meshcore.events import Failing, Loaded, LoadFailed, Measured, Predicted, Unloaded, UnloadFailed
from sim.disk import Disk
from sim.driver import Gate

CANCELLED = "CANCELLED: nobody waits for this load any more"
TOO_LATE = "DEADLINE_EXCEEDED: not loaded after {:g} s"


class Ways(Protocol):
    """How a model server behaves: pure answers, whole milliseconds of at least 1."""

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, int, str]:
        """How long the load that begins at ``at_ms`` takes; how long it then reads, if nobody else does, from what all
        loads of the instance share (0: nothing); and why it fails, empty: it does not."""

    def unload_ms(self, instance: str, model: str, gen: int) -> int: ...
    def size_ms(self, instance: str, model: str, gen: int) -> int: ...
    def size_bytes(self, model: str) -> int: ...
    def predicted_bytes(self, model: str) -> int: ...
    def max_concurrency(self, model: str) -> int: ...  # requests that a copy takes at once; 0: it is not said


def load_answer(ways: Ways, instance: str, command: Load, at_ms: int) -> tuple[int, int, Loaded | LoadFailed]:
    """How long until the load is answered, of which the second part is read from what is shared, and how."""
    takes_ms, read_ms, problem = ways.load(instance, command.model, command.gen, at_ms)
    if takes_ms > command.deadline_ms:
        return command.deadline_ms, 0, too_late(command)
    if problem:
        return takes_ms, read_ms, LoadFailed(command.model, command.gen, problem)
    return takes_ms, read_ms, Loaded(command.model, command.gen, max_concurrency=ways.max_concurrency(command.model))


def too_late(command: Load) -> LoadFailed:
    """What becomes of a load at its deadline."""
    text = TOO_LATE.format(command.deadline_ms / 1000)
    return LoadFailed(command.model, command.gen, text, Failing.LATE)


class ModelServer:
    """Answers the commands of one instance."""

    def __init__(self, env: simpy.Environment, instance: str, ways: Ways) -> None:
        self._env, self._instance, self._ways = env, instance, ways
        self._loads: dict[tuple[str, int], Gate] = {}
        self._disk = Disk(env)

    def load(self, command: Load) -> Generator[simpy.Event, Any, Loaded | LoadFailed]:
        """Load a copy."""
        gate = self._loads[command.model, command.gen] = Gate(self._env)
        return self._load(command, gate)

    def _load(self, command: Load, gate: Gate) -> Generator[simpy.Event, Any, Loaded | LoadFailed]:
        takes_ms, read_ms, answer = load_answer(self._ways, self._instance, command, int(self._env.now))
        if read_ms:
            self._env.timeout(command.deadline_ms).callbacks.append(lambda _: gate.open(too_late(command)))
            self._env.timeout(takes_ms).callbacks.append(lambda _: self._disk.read(read_ms, gate, answer))
        else:
            self._env.timeout(takes_ms).callbacks.append(lambda _: gate.open(answer))
        given: Loaded | LoadFailed = yield gate
        del self._loads[command.model, command.gen]
        return given

    def cancel_load(self, model: str, gen: int) -> None:
        """End a load that is under way; ``load`` answers that it failed."""
        if gate := self._loads.get((model, gen)):
            gate.open(LoadFailed(model, gen, CANCELLED))

    def predict(self, command: Predict) -> Generator[simpy.Event, Any, Predicted]:
        """Ask for the size of a model before it is loaded."""
        size_bytes = yield from self._size(command, self._ways.predicted_bytes)
        return Predicted(command.model, command.gen, size_bytes)

    def measure(self, command: Measure) -> Generator[simpy.Event, Any, Measured]:
        """Ask for the size of a loaded copy."""
        size_bytes = yield from self._size(command, self._ways.size_bytes)
        return Measured(command.model, command.gen, size_bytes)

    def _size(self, command: Predict | Measure, size_bytes: Callable[[str], int]) -> Generator[simpy.Event, Any, int]:
        takes_ms = self._ways.size_ms(self._instance, command.model, command.gen)
        yield self._env.timeout(min(takes_ms, command.deadline_ms))
        return size_bytes(command.model) if takes_ms <= command.deadline_ms else 0

    def unload(self, command: Unload) -> Generator[simpy.Event, Any, Unloaded | UnloadFailed]:
        """Give a copy's memory back."""
        yield self._env.timeout(self._ways.unload_ms(self._instance, command.model, command.gen))
        return Unloaded(command.model, command.gen)
