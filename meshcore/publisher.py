"""When an instance writes its own record, and what stands in it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from meshcore.cache import Cache
from meshcore.loadqueue import LoadQueue
from meshcore.me import Me
from meshcore.novelty import is_worth_writing
from meshcore.records import InstanceRecord, Phase
from meshcore.settings import Settings
from meshcore.units import NEVER

INSTANCES_PER_SECOND = 25
"""The whole cluster's records are written at most about this often (D-17)."""

JITTER = 0.2


class Publisher:
    """Throttled with a trailing edge: what is asked for too early is written when the gap is over, none is lost."""

    def __init__(self, me: Me, settings: Callable[[], Settings], rng: Random) -> None:
        self._me, self._in_force, self._rng = me, settings, rng
        self._seq = 0
        self._answered = 0
        self._written: InstanceRecord | None = None
        """What stands in the store, as far as is known; None: it is to be written whatever it says."""
        self._last = 0
        self._due = 0
        self.accepted = 0
        """Loads taken on since the start."""
        self.rpm = 0
        """How busy this instance is."""
        self.phase: str = Phase.READY
        self.is_cordoned = False
        """Whether somebody wants no more loads here."""

    def record(self, cache: Cache, queue: LoadQueue) -> InstanceRecord:
        """This instance as it is now; what queued loads will take is as good as taken."""
        me = self._me
        return InstanceRecord(
            start_ms=me.start_ms, version=me.version, location=me.location, zone=me.zone, labels=me.labels,
            is_actionable=True, lru_ms=cache.oldest_ms, count=cache.count, capacity_units=cache.capacity_units,
            used_units=min(cache.capacity_units, cache.used_units + queue.pending_units),
            load_threads=cache.params.load_threads, loads_in_progress=queue.in_progress, rpm=self.rpm,
            is_shutting_down=self.is_going, address=me.address, grpc=me.grpc, http=me.http,
            replica_set=me.replica_set, phase=self.phase, data_plane=me.data_plane, build=me.build,
            accepted=self.accepted, min_space_units=cache.params.min_space_units,
            lost_units=cache.lost_units, is_cordoned=self.is_cordoned,
        )  # fmt: skip

    @property
    def _settings(self) -> Settings:
        return self._in_force()

    @property
    def is_going(self) -> bool:
        """Whether this instance is to end."""
        return self.phase in (Phase.DRAINING, Phase.STOPPING)

    def ask(self, now: int, instances: int) -> None:
        """Something changed that the others should see, as soon as the gap allows."""
        gap_ms = max(self._settings.publish_gap_ms, instances * 1000 // INSTANCES_PER_SECOND)
        spread = 1 + JITTER * (2 * self._rng.random() - 1)
        self._due = min(self._due, max(now, self._last + int(gap_ms * spread)))

    def ask_now(self, now: int) -> None:
        """As ``ask`` without the gap: the record is gone, or this instance is going."""
        self._due = now
        self._written = None

    def next_wake(self) -> int:
        """The instant of the next write; NEVER while one is under way."""
        return self._due if self._answered == self._seq else NEVER

    def take(self, record: InstanceRecord, now: int) -> int | None:
        """The number of the write to make now with ``record``; None: it says nothing new that matters."""
        self._due = now + self._settings.publish_period_ms
        if self._written is not None and not is_worth_writing(self._written, record, self._last, now):
            return None
        self._last, self._written = now, record
        self._seq += 1
        return self._seq

    def published(self, seq: int) -> None:
        """The write stands."""
        self._answered = seq

    def failed(self, seq: int, now: int) -> None:
        """The store did not take it."""
        self._answered = seq
        self._written = None
        self._due = now + self._settings.store_retry_ms
