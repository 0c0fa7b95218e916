"""Somebody registers and unregisters models while the instances run: each is asked of an instance, until it is done."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import simpy

from meshcore.asks import Done, Register, Unregister
from sim.trip import Network, Trip

RETRY_MS = 1000
"""What failed is asked again after this, of another instance perhaps."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is asked for, and when; whole milliseconds from the start."""

    at_ms: int
    asked: Register | Unregister


class Registrar:
    """Asks instances drawn from all that are there."""

    def __init__(self, network: Network, rng: Random) -> None:
        self._network, self._rng = network, rng
        self._latest: dict[str, Errand] = {}
        """By model: what was asked for last; what came before is not tried again."""

    def play(self, errands: Iterable[Errand]) -> Generator[simpy.Event, Any, None]:
        """Begin each errand at its time."""
        env = self._network.env
        for errand in errands:
            if errand.at_ms > env.now:
                yield env.timeout(errand.at_ms - env.now)
            self._latest[errand.asked.model] = errand
            env.process(self._run(errand))

    def _run(self, errand: Errand) -> Generator[simpy.Event, Any, None]:
        asked = errand.asked
        while self._latest[asked.model] is errand:
            there = list(self._network.instances.values())
            if there:
                instance = there[int(self._rng.random() * len(there))]
                try:
                    with instance.hosting(self._network.env):
                        how = yield from instance.driver.run(asked, Trip(self._network, instance))
                    if isinstance(how, Done):
                        return
                except simpy.Interrupt:
                    pass  # the instance is gone; nothing is known of what it did
            yield self._network.env.timeout(RETRY_MS)
