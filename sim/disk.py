"""What all loads of an instance read from: each has an equal part of it."""

from __future__ import annotations

from math import ceil

import simpy

from sim.driver import Gate

NOTHING_MS = 1e-6


class Disk:
    """Opens the gates of those that have read what they wanted; a gate that somebody else opened reads no more."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._left_ms: dict[Gate, float] = {}
        """What each would still need, were it alone."""
        self._answers: dict[Gate, object] = {}
        self._at = 0.0
        self._plan = 0

    def read(self, alone_ms: float, gate: Gate, answer: object) -> None:
        """Read for as long as ``alone_ms`` takes beside the others, then open ``gate``."""
        if gate.triggered:
            return
        self._go_on()
        self._left_ms[gate], self._answers[gate] = alone_ms, answer
        assert gate.callbacks is not None
        gate.callbacks.append(lambda _: self._drop(gate))
        self._look_ahead()

    def _drop(self, gate: Gate) -> None:
        """A load was given up, or has read all."""
        if gate in self._left_ms:
            self._go_on()
            del self._left_ms[gate], self._answers[gate]
            self._look_ahead()

    def _go_on(self) -> None:
        """All have read for the time since it was looked last."""
        passed_ms, self._at = self._env.now - self._at, self._env.now
        if self._left_ms:
            each_ms = passed_ms / len(self._left_ms)
            self._left_ms = {gate: left_ms - each_ms for gate, left_ms in self._left_ms.items()}

    def _look_ahead(self) -> None:
        self._plan += 1
        if self._left_ms:
            plan, soonest_ms = self._plan, min(self._left_ms.values()) * len(self._left_ms)
            self._env.timeout(max(0, ceil(soonest_ms))).callbacks.append(lambda _: self._look(plan))

    def _look(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._go_on()
        for gate in [gate for gate, left_ms in self._left_ms.items() if left_ms <= NOTHING_MS]:
            del self._left_ms[gate]
            gate.open(self._answers.pop(gate))
        self._look_ahead()
