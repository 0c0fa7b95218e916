"""The order in which instances are offered a load, kept so that only its head need be looked at."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

from meshcore.constraints import ANYWHERE, Partition
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
    partition: Partition = ANYWHERE
    is_replaced: bool = False
    """Its replica set is about to go."""

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
    if record.is_cordoned:
        return "cordoned"
    return record.phase if record.phase in _AWAY and not is_me else ""


def ranked(
    instance: str, record: InstanceRecord, reserved_units: int = 0, reserved_loads: int = 0,
    partition: Partition = ANYWHERE, is_replaced: bool = False,
) -> Ranked:  # fmt: skip
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
    return Ranked(instance, record, free, count, loads, is_full, head + tail, partition, is_replaced)


_key = attrgetter("key")


_Name = tuple[Partition, bool, int, bool]


class PlacementOrder:
    """Instances that may take loads, in buckets of one partition, version and fullness, being replaced or not.

    Each is sorted by a key without time; time only decides the order of the buckets. So walking costs what is walked,
    whoever may not be walked to, and changing costs one bucket.
    """

    def __init__(self, churn_age_ms: int) -> None:
        self.churn_age_ms = churn_age_ms
        self._by_id: dict[str, Ranked] = {}
        self._buckets: dict[_Name, list[Ranked]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, instance: str) -> Ranked | None:
        """How ``instance`` is ranked; None: it takes no loads."""
        return self._by_id.get(instance)

    def put(self, entry: Ranked) -> None:
        """Rank an instance, instead of as before if it was ranked."""
        self.discard(entry.id)
        self._by_id[entry.id] = entry
        insort(self._buckets.setdefault(_name(entry), []), entry, key=_key)

    def discard(self, instance: str) -> None:
        """Take an instance out."""
        entry = self._by_id.pop(instance, None)
        if entry is None:
            return
        bucket = self._buckets[_name(entry)]
        del bucket[bisect_left(bucket, entry.key, key=_key)]
        if not bucket:
            del self._buckets[_name(entry)]

    def place(self, instance: str, now: int) -> tuple[bool, bool, int, bool, Key] | None:
        """Where ``instance`` stands in ``walk`` over all: who comes before it has a smaller one; who is being replaced
        comes last. None: it takes no loads."""
        entry = self._by_id.get(instance)
        if entry is None:
            return None
        version, is_full = entry.record.version, entry.is_full
        heads = [bucket[0].record.lru_ms for name, bucket in self._buckets.items() if name[2:] == (version, True)]
        is_saturated = is_full and self._is_saturated(min(heads), now)
        return entry.is_replaced, is_saturated, 0 if is_saturated else -version, is_full, entry.key

    def _is_saturated(self, head_ms: int, now: int) -> bool:
        return age_ms(head_ms, now) < 2 * self.churn_age_ms

    def count(self, among: Container[Partition], is_replaced: bool) -> int:
        """How many instances of these partitions are being replaced, or are not."""
        return sum(
            len(bucket)
            for (partition, is_going, _, _), bucket in self._buckets.items()
            if partition in among and is_going == is_replaced
        )

    def walk(self, now: int, among: Container[Partition] | None = None, with_replaced: bool = True) -> Iterator[Ranked]:
        """Most desirable first, of all or of some partitions; nothing may change meanwhile.

        Newer versions come first, within a version those that are not full. The full ones of a version are saturated
        if their head's least recently used model was used within twice the churn age: these come last, all versions'
        together, as a newer version is no reason to evict what was just used (D-07).
        """
        by_rank: dict[tuple[int, bool], list[list[Ranked]]] = {}
        for (partition, is_replaced, version, is_full), bucket in self._buckets.items():
            if (among is None or partition in among) and (with_replaced or not is_replaced):
                by_rank.setdefault((-version, is_full), []).append(bucket)
        saturated = []
        for rank in sorted(by_rank):
            buckets = by_rank[rank]
            head_ms = min(bucket[0].record.lru_ms for bucket in buckets)
            if rank[1] and self._is_saturated(head_ms, now):
                saturated += buckets
            else:
                yield from merge(*buckets, key=_key)
        yield from merge(*saturated, key=_key)


def _name(entry: Ranked) -> _Name:
    return entry.partition, entry.is_replaced, entry.record.version, entry.is_full
