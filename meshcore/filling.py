"""How many models are loaded before anybody asks for them, and which: a rule over instances' records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshcore.constraints import Partition
from meshcore.records import InstanceRecord
from meshcore.units import NEVER, age_ms

KEPT_FREE = 8
"""One in so many units of an instance is left for models that are asked for."""
HALF = 2
"""Of the rest one in so many is filled at a time."""
LOADS_PER_THREAD = 50
REPLACED = 20
"""One in so many units of the capacity may be filled with models that push others out (D-16)."""
FEW, SOME = 3, 10
"""Below so many copies their average size says nothing, up to so many half as much as the default."""
NEWER_PART = 3
NEWER_MS = 20 * 60_000


@dataclass(frozen=True, slots=True)
class Filling:
    """What may be loaded in advance on a set of instances."""

    free: int
    """Models that fit into room nobody needs."""
    most: int
    """Models in all; those beyond ``free`` only if used since ``newer_than``."""
    newer_than: int
    """0: any."""

    def takes(self, place: int, last_used: int) -> bool:
        """Whether the model that comes at ``place`` (from 0) when the latest used comes first is among them."""
        return place < self.free or (place < self.most and last_used >= self.newer_than)


LOOKED_AT = 2
"""So many models are looked at, at most, for each that may be loaded."""


@dataclass(slots=True)
class Share:
    """What a plan that is being made has for the instances of one partition."""

    partition: Partition
    want: Filling
    chosen: int = 0
    looked: int = 0
    is_open: bool = True

    def looks_at(self, last_used: int) -> bool:
        """Whether it takes the next model, the latest used first, if its instances can have it."""
        self.looked += 1
        is_looked_at = self.looked <= LOOKED_AT * self.want.most and self.want.takes(self.chosen, last_used)
        self.is_open = self.is_open and is_looked_at
        return self.is_open


def filling(records: Iterable[InstanceRecord], default_units: int, now: int) -> Filling:
    """What to load on the instances with these records, all of which may take loads.

    Half of the room beyond an eighth of each instance is filled, as far as its queue has place; beyond that up to a
    twentieth of the capacity may be replaced, also where nobody has room (D-16), by models used a good deal later than
    the least recently used copy: by a third of its age, and by 20 minutes.
    """
    given = list(records)
    capacity = sum(record.capacity_units for record in given)
    if not capacity:
        return Filling(0, 0, 0)
    copies = sum(record.count for record in given)
    average = sum(record.used_units for record in given) // max(1, copies)
    size = max(1, default_units if copies < FEW else (average + default_units) // 2 if copies <= SOME else average)
    room = sum(_room(record, size) for record in given)
    free = room // HALF // size
    oldest = min((record.lru_ms for record in given if record.lru_ms > 0), default=NEVER)
    newer_than = 0 if oldest == NEVER else oldest + max(age_ms(oldest, now) // NEWER_PART, NEWER_MS)
    return Filling(free, max(free, capacity // REPLACED // size), newer_than)


def _room(record: InstanceRecord, size: int) -> int:
    if record.is_full:
        return 0
    loads = LOADS_PER_THREAD * record.load_threads - record.loads_in_progress
    return max(0, min(record.free_units - record.capacity_units // KEPT_FREE, loads * size))
