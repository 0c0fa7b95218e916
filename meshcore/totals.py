"""What the instances that may take loads add up to, kept up to date record by record."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

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


class Tally:
    """Totals of a changing set of records: each is added once and removed as it was added."""

    def __init__(self) -> None:
        self._instances = self._copies = self._capacity_units = self._free_units = 0
        self._lrus: list[int] = []

    def add(self, record: InstanceRecord) -> None:
        """Count ``record``."""
        self._change(record, 1)
        if record.lru_ms > 0:
            insort(self._lrus, record.lru_ms)

    def remove(self, record: InstanceRecord) -> None:
        """Count ``record`` no longer."""
        self._change(record, -1)
        if record.lru_ms > 0:
            del self._lrus[bisect_left(self._lrus, record.lru_ms)]

    def totals(self) -> Totals:
        """The sums as they are now; an instant that is not positive is none."""
        return Totals(
            self._instances,
            self._copies,
            self._capacity_units,
            self._free_units,
            self._lrus[0] if self._lrus else NEVER,
        )

    def _change(self, record: InstanceRecord, sign: int) -> None:
        self._instances += sign
        self._copies += sign * record.count
        self._capacity_units += sign * record.capacity_units
        if not record.is_full:
            self._free_units += sign * record.free_units
