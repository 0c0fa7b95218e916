"""What the instances that may take loads add up to, kept up to date record by record."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from meshcore.records import InstanceRecord
from meshcore.units import NEVER


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums at one moment, sizes in cache units."""

    instances: int
    copies: int
    capacity_units: int
    free_units: int
    """Of those that are not full."""
    lru_ms: int
    """The oldest of their least recently used instants; NEVER: all are empty, or there are none."""


@dataclass(slots=True)
class Tally:
    """Totals of a changing set of records: each is added once and removed as it was added."""

    instances: int = 0
    copies: int = 0
    capacity_units: int = 0
    free_units: int = 0
    lrus: list[int] = field(default_factory=list)
    """The least recently used instants, ascending; one that is not positive is none."""

    def add(self, record: InstanceRecord) -> None:
        """Count ``record``."""
        self._change(record, 1)
        if record.lru_ms > 0:
            insort(self.lrus, record.lru_ms)

    def remove(self, record: InstanceRecord) -> None:
        """Count ``record`` no longer."""
        self._change(record, -1)
        if record.lru_ms > 0:
            del self.lrus[bisect_left(self.lrus, record.lru_ms)]

    def _change(self, record: InstanceRecord, sign: int) -> None:
        self.instances += sign
        self.copies += sign * record.count
        self.capacity_units += sign * record.capacity_units
        if not record.is_full:
            self.free_units += sign * record.free_units


def summed(tallies: Iterable[Tally]) -> Totals:
    """What ``tallies`` of different records add up to."""
    instances = copies = capacity_units = free_units = 0
    lru_ms = NEVER
    for tally in tallies:
        instances += tally.instances
        copies += tally.copies
        capacity_units += tally.capacity_units
        free_units += tally.free_units
        if tally.lrus:
            lru_ms = min(lru_ms, tally.lrus[0])
    return Totals(instances, copies, capacity_units, free_units, lru_ms)
