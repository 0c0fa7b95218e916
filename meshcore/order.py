"""The order in which instances are offered a load, kept so that only its head need be looked at."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

from meshcore.records import InstanceRecord, Phase
from meshcore.units import age_ms

_AWAY = (Phase.STARTING, Phase.DRAINING, Phase.STOPPING)

Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One instance as placement sees it: its record, less what is on its way to it."""

    id: str
    record: InstanceRecord
    free_units: int
    """Free cache units beyond those reserved; negative: more is on its way than fits without eviction."""
    count: int
    """Models, those on their way included."""
    loads: int
    """Loads in progress or waiting, those on their way included."""
    is_full: bool
    key: Key
    """Smaller is offered first, within the same version and fullness."""

    @property
    def load_permille(self) -> int:
        """Loads in progress per load thread, in thousandths."""
        return self.loads * 1000 // max(1, self.record.load_threads)


def why_no_loads(record: InstanceRecord, is_me: bool) -> str:
    """Why an instance may not be offered loads at all; empty: it may.

    Its phase counts for others only: an instance that starts or ends knows better than its record what it can take.
    """
    if not record.is_ours:
        return "not ours"
    if record.is_shutting_down:
        return Phase.DRAINING
    return record.phase if record.phase in _AWAY and not is_me else ""


def ranked(instance: str, record: InstanceRecord, reserved_units: int = 0, reserved_loads: int = 0) -> Ranked:
    """Rank ``instance`` by its own record, its fullness by its own threshold (D-08).

    A full one by: least recently used model oldest, fewest models, most free space. One that is not full by: fewest
    models, most free space, least recently used model oldest. Then both by free load threads, fewest loads, largest,
    least busy, id (docs/design.md, placement).
    """
    free = record.free_units - reserved_units
    count = record.count + reserved_loads
    loads = record.loads_in_progress + reserved_loads
    is_full = free < record.min_space_units
    head: Key = (record.lru_ms, count, -free) if is_full else (count, -free, record.lru_ms)
    tail: Key = (loads - record.load_threads, loads, -record.capacity_units, record.rpm, instance)
    return Ranked(instance, record, free, count, loads, is_full, head + tail)


_key = attrgetter("key")


class PlacementOrder:
    """Instances that may take loads, in buckets of one version and fullness, each sorted by a key without time.

    Time only decides the order of the buckets, so walking costs what is walked and changing costs one bucket.
    """

    def __init__(self, churn_age_ms: int) -> None:
        self.churn_age_ms = churn_age_ms
        self._by_id: dict[str, Ranked] = {}
        self._buckets: dict[tuple[int, bool], list[Ranked]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, instance: str) -> Ranked | None:
        """How ``instance`` is ranked; None: it takes no loads."""
        return self._by_id.get(instance)

    def put(self, entry: Ranked) -> None:
        """Rank an instance, instead of as before if it was ranked."""
        self.discard(entry.id)
        self._by_id[entry.id] = entry
        insort(self._buckets.setdefault((entry.record.version, entry.is_full), []), entry, key=_key)

    def discard(self, instance: str) -> None:
        """Take an instance out."""
        entry = self._by_id.pop(instance, None)
        if entry is None:
            return
        name = entry.record.version, entry.is_full
        bucket = self._buckets[name]
        del bucket[bisect_left(bucket, entry.key, key=_key)]
        if not bucket:
            del self._buckets[name]

    def place(self, instance: str, now: int) -> tuple[bool, int, bool, Key] | None:
        """Where ``instance`` stands in ``walk``: who comes before it has a smaller one; None: it takes no loads."""
        entry = self._by_id.get(instance)
        if entry is None:
            return None
        if entry.is_full and self._is_saturated(self._buckets[entry.record.version, True], now):
            return True, 0, True, entry.key
        return False, -entry.record.version, entry.is_full, entry.key

    def _is_saturated(self, full: list[Ranked], now: int) -> bool:
        return age_ms(full[0].record.lru_ms, now) < 2 * self.churn_age_ms

    def walk(self, now: int) -> Iterator[Ranked]:
        """Most desirable first; nothing may change meanwhile.

        Newer versions come first, within a version those that are not full. The full ones of a version are saturated
        if their head's least recently used model was used within twice the churn age: these come last, all versions'
        together, as a newer version is no reason to evict what was just used (D-07).
        """
        saturated = []
        for version, is_full in sorted(self._buckets, key=_newest_first):
            bucket = self._buckets[version, is_full]
            if is_full and self._is_saturated(bucket, now):
                saturated.append(bucket)
            else:
                yield from bucket
        yield from merge(*saturated, key=_key)


def _newest_first(name: tuple[int, bool]) -> tuple[int, bool]:
    version, is_full = name
    return -version, is_full
