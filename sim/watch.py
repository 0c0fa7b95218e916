"""Looks at the mesh at fixed instants of a run: memory, copies, and what was counted when the warm-up ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sim.answers import INTERVALS
from sim.mesh import Mesh
from sim.trip import Instance

Told = Callable[[float], None]
"""Called with the part of a run that is done."""


class Watch:
    """Looks once in the middle of each of INTERVALS equal parts of ``duration_ms``; changes nothing that it sees."""

    def __init__(self, mesh: Mesh, from_ms: float, duration_ms: float, told: Told | None = None) -> None:
        self._mesh, self._told = mesh, told
        self.memory: list[float | None] = [None] * INTERVALS
        """The part of all instances' memory that is in use; None: the run was over."""
        self.copies: list[float | None] = [None] * INTERVALS
        """Copies of a model that has any, on average; those that are loading count. None: no model has."""
        self._middles_ms = [(number + 0.5) * duration_ms / INTERVALS for number in range(INTERVALS)]
        self._from_ms = from_ms
        self.copies_at_first = 0
        """That a model had when the warm-up ended and that answered, of all models the most."""
        self._served_before: dict[str, tuple[Instance, int]] = {}
        self._stored_before = (0, 0, 0)
        mesh.later(int(from_ms), self._begin)
        mesh.later(int(self._middles_ms[0]), self._look)
        self._count = 0

    def _begin(self) -> None:
        for instance in self._mesh.instances:
            self._served_before[instance.name] = instance, instance.node.served
        self._stored_before = self._stored()
        known = (each for instance in self._mesh.present() for each in instance.plane.known.values())
        ready = (sum(holder.is_ready for holder in each.route.holders) for each in known)
        self.copies_at_first = max(ready, default=0)

    def _look(self) -> None:
        number = self._count
        there = self._mesh.present()
        capacity = sum(instance.node.cache.capacity_units for instance in there)
        if capacity:
            self.memory[number] = sum(instance.node.cache.used_units for instance in there) / capacity
        copies: Counter[str] = Counter()
        for instance in there:
            copies.update(instance.node.cache.entries.keys())
        if copies:
            self.copies[number] = copies.total() / len(copies)
        self._count += 1
        if self._count < INTERVALS:
            self._mesh.later(int(self._middles_ms[self._count]) - int(self._middles_ms[number]), self._look)
        if self._told is not None:
            self._told(self._count / INTERVALS)

    def counted(self, series: list[float | None]) -> list[float]:
        """What of a series was seen after the warm-up."""
        seen = zip(self._middles_ms, series, strict=True)
        return [value for at_ms, value in seen if value is not None and at_ms >= self._from_ms]

    def served(self) -> list[int]:
        """Requests that each instance's runtime got since the warm-up, or since it is back from a restart."""
        found = []
        for instance in self._mesh.instances:
            before, count = self._served_before.get(instance.name, (instance, 0))
            late = sum(usage.count for usage in instance.plane.drain_usage())
            found.append(instance.node.served + late - (count if before is instance else 0))
        return found

    def stored(self) -> tuple[int, int, int]:
        """Since the warm-up: writes of models' records, of instances' records, and writes of the first that clashed."""
        commits, publishes, conflicts = self._stored_before
        now = self._stored()
        return now[0] - commits, now[1] - publishes, now[2] - conflicts

    def _stored(self) -> tuple[int, int, int]:
        records = self._mesh.records
        return records.commits, records.publishes, records.conflicts
