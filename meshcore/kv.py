"""A revisioned key-value machine with leases, and the words in which every store speaks."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

ANY: Final = -1
"""``Write.expect``: whatever the key holds, or nothing."""

ABSENT: Final = 0
"""``Write.expect``: the key does not exist."""

MOST_WRITES: Final = 128
"""Keys in one commit; etcd's own limit for a transaction."""


class Act(Enum):
    """What a Write does instead of putting a value."""

    DELETE = "delete"
    KEEP = "keep"


DELETE: Final = Act.DELETE
KEEP: Final = Act.KEEP
"""Leaves the key as it is and only asks for its revision: a guard."""


class Compacted(Exception):
    """The changes after that revision are gone, or never were: take a new snapshot."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"no complete history after revision {revision}")
        self.revision = revision


class LeaseGone(Exception):
    """There is no such lease, or it has expired."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"lease {lease} is gone")
        self.lease = lease


@dataclass(frozen=True, slots=True)
class Pair:
    """A key that exists: ``mod`` and ``create`` are revisions, ``lease`` 0 is none."""

    key: str
    value: bytes
    mod: int
    create: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Deleted:
    """A key that ceased to exist at revision ``mod``."""

    key: str
    mod: int


@dataclass(frozen=True, slots=True)
class Write:
    """What to do to one key while it stands at ``expect``: a ``Pair.mod``, ABSENT or ANY.

    ``leased``: the key goes when the writer's session does.
    """

    key: str
    expect: int
    value: bytes | Literal[Act.DELETE, Act.KEEP]
    leased: bool = False

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("a key has at least one character")
        if self.expect < ANY:
            raise ValueError(f"{self.key!r}: expect is a revision, ABSENT or ANY, not {self.expect}")
        if self.leased and isinstance(self.value, Act):
            raise ValueError(f"{self.key!r}: only a value can be leased")

    def has_expected(self, pair: Pair | None) -> bool:
        """Whether the key stands at ``expect`` when it now holds ``pair``."""
        return self.expect == ANY or self.expect == (ABSENT if pair is None else pair.mod)


@dataclass(frozen=True, slots=True)
class Committed:
    """All writes were done at ``revision``; where nothing changed, the store's revision then."""

    revision: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was done; what each key holds, in the order of the writes."""

    pairs: tuple[Pair | None, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One revision as a whole: all that it did to the keys asked for, in order."""

    revision: int
    pairs: tuple[Pair | Deleted, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pairs that existed at ``revision``, by key."""

    revision: int
    pairs: tuple[Pair, ...]


@dataclass(slots=True)
class _Lease:
    ttl_ms: int
    good_until: int
    keys: dict[str, None] = field(default_factory=dict)


def checked(writes: Iterable[Write]) -> tuple[Write, ...]:
    """The writes of one commit; ValueError unless they are 1 to MOST_WRITES different keys."""
    checked = tuple(writes)
    if not 1 <= len(checked) <= MOST_WRITES:
        raise ValueError(f"a commit has 1 to {MOST_WRITES} writes, not {len(checked)}")
    if len({write.key for write in checked}) < len(checked):
        raise ValueError("a commit names each key once")
    return checked


class Kv:
    """What a store holds: pairs, leases and the last ``history`` revisions (docs/design.md, store).

    Revisions count from 1, the empty store; each commit that changes something is one more.
    """

    def __init__(self, history: int = 10_000) -> None:
        self._pairs: dict[str, Pair] = {}
        self._sorted: list[str] = []
        self._fresh: list[str] = []  # keys not yet in _sorted: many new ones are sorted in at once
        self._history: deque[Change] = deque()
        self._limit = history
        self._leases: dict[int, _Lease] = {}
        self._last_lease = 0
        self.revision = 1
        self.compacted = 0

    def get(self, key: str) -> Pair | None:
        """What ``key`` holds."""
        return self._pairs.get(key)

    def read(self, keys: Sequence[str]) -> Snapshot:
        """Those of ``keys`` that exist."""
        found = (self._pairs.get(key) for key in sorted(keys))
        return Snapshot(self.revision, tuple(pair for pair in found if pair is not None))

    def snapshot(self, prefix: str) -> Snapshot:
        """Every pair whose key starts with ``prefix``."""
        self._sort_in()
        first = last = bisect_left(self._sorted, prefix)
        while last < len(self._sorted) and self._sorted[last].startswith(prefix):
            last += 1
        return Snapshot(self.revision, tuple(self._pairs[key] for key in self._sorted[first:last]))

    def commit(self, writes: Iterable[Write], lease: int = 0) -> Committed | Conflict:
        """Do all writes at one revision, or none.

        Raises:
            LeaseGone: a leased write, and ``lease`` is not alive.
            ValueError: see ``checked``.
        """
        writes = checked(writes)
        if any(write.leased for write in writes) and lease not in self._leases:
            raise LeaseGone(lease)
        pairs = tuple(self._pairs.get(write.key) for write in writes)
        if not all(write.has_expected(pair) for write, pair in zip(writes, pairs, strict=True)):
            return Conflict(pairs)
        revision = self.revision + 1
        done: list[Pair | Deleted] = []
        for write, old in zip(writes, pairs, strict=True):
            if write.value is KEEP:
                continue
            if write.value is not DELETE:
                create = revision if old is None else old.create
                new = Pair(write.key, write.value, revision, create, lease if write.leased else 0)
                self._put(old, new)
                done.append(new)
            elif old is not None:
                self._remove(old)
                done.append(Deleted(write.key, revision))
        self._record(done)
        return Committed(self.revision)

    def changes_after(self, prefix: str, revision: int) -> list[Change]:
        """What was done to keys that start with ``prefix`` after ``revision``, oldest first.

        Raises:
            Compacted: part of it is gone, or this store has never reached ``revision``.
        """
        if not self.compacted <= revision <= self.revision:
            raise Compacted(revision)
        found = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            pairs = tuple(pair for pair in change.pairs if pair.key.startswith(prefix))
            if pairs:
                found.append(Change(change.revision, pairs))
        return found[::-1]

    def compact(self, revision: int) -> None:
        """Forget the changes up to and including ``revision``; ValueError for one to come."""
        if revision > self.revision:
            raise ValueError(f"revision {revision} is ahead of {self.revision}")
        while self._history and self._history[0].revision <= revision:
            self._history.popleft()
        self.compacted = max(self.compacted, revision)

    def grant(self, ttl_ms: int, now: int) -> int:
        """A new lease that is good for ``ttl_ms`` from ``now``."""
        if ttl_ms <= 0:
            raise ValueError(f"a lease lasts at least 1 ms, not {ttl_ms}")
        self._last_lease += 1
        self._leases[self._last_lease] = _Lease(ttl_ms, now + ttl_ms)
        return self._last_lease

    def keep_alive(self, lease: int, now: int) -> None:
        """Let ``lease`` be good for its whole time again; LeaseGone when it is not alive."""
        held = self._leases.get(lease)
        if held is None or held.good_until <= now:
            raise LeaseGone(lease)
        held.good_until = now + held.ttl_ms

    def revoke(self, lease: int) -> None:
        """End ``lease`` and delete its keys at one revision; LeaseGone when it is not alive."""
        held = self._leases.pop(lease, None)
        if held is None:
            raise LeaseGone(lease)
        revision = self.revision + 1
        keys = sorted(held.keys)
        for key in keys:
            self._remove(self._pairs[key])
        self._record([Deleted(key, revision) for key in keys])

    def expire(self, now: int) -> list[int]:
        """Revoke every lease that is over at ``now``, the oldest first, and name them."""
        over = [lease for lease, held in self._leases.items() if held.good_until <= now]
        for lease in over:
            self.revoke(lease)
        return over

    def next_expiry(self) -> int | None:
        """The instant at which the next lease is over, unless it is kept alive."""
        return min((held.good_until for held in self._leases.values()), default=None)

    def _put(self, old: Pair | None, new: Pair) -> None:
        if old is None:
            self._fresh.append(new.key)
        else:
            self._unlease(old)
        self._pairs[new.key] = new
        if new.lease:
            self._leases[new.lease].keys[new.key] = None

    def _remove(self, old: Pair) -> None:
        self._sort_in()
        del self._sorted[bisect_left(self._sorted, old.key)]
        del self._pairs[old.key]
        self._unlease(old)

    def _unlease(self, old: Pair) -> None:
        if old.lease in self._leases:
            del self._leases[old.lease].keys[old.key]

    def _sort_in(self) -> None:
        if len(self._fresh) > 16:
            self._sorted += self._fresh
            self._sorted.sort()  # two sorted runs at worst almost so: linear, where inserting is quadratic
        else:
            for key in self._fresh:
                insort(self._sorted, key)
        self._fresh.clear()

    def _record(self, done: list[Pair | Deleted]) -> None:
        if not done:
            return
        self.revision += 1
        self._history.append(Change(self.revision, tuple(done)))
        if len(self._history) > self._limit:
            self.compacted = self._history.popleft().revision
