"""The store that all instances share: commits take their time, and each instance sees them a little later."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from sys import intern
from typing import Any, Protocol

import simpy

from meshcore import kv
from meshcore.asks import Clashed, StoreSilent, Wrote
from meshcore.events import Event, InstancesSeen, LeaderSeen, RegistrySeen, Seen
from meshcore.leadership import candidate, leader

REGISTRY = "registry/"
INSTANCES = "instances/"
LATCH = "leaderLatch/"
SESSION_MS = 10_000
DEADLINE_MS = 3_500
"""Within this long a question has an answer, or none."""
SILENT = StoreSilent("the store is away")


class Delays(Protocol):
    """How far an instance is from the store: pure answers, whole milliseconds of at least 1."""

    def commit_ms(self, instance: str, key: str, expect: int) -> int: ...
    def read_ms(self, instance: str, key: str) -> int: ...
    def watch_ms(self, instance: str) -> int: ...


Later = Callable[[int, Callable[[], None]], object]
"""Have something done in so many milliseconds."""


class Records:
    """What the store holds, and who is told of it when."""

    def __init__(self, delays: Delays, later: Later) -> None:
        self._kv, self._delays, self._later = kv.Kv(history=1), delays, later
        self._watching: dict[int, dict[str, Callable[[Event], None]]] = {}
        self._leases: dict[str, int] = {}
        self.commits = self.publishes = self.conflicts = 0
        """Writes of models' records and of instances' records, and those of the first that clashed."""
        self._deaf: set[str] = set()
        """Instances that are told nothing."""

    def register(self, model: str, value: bytes) -> None:
        """A registration that was there before anybody looked."""
        self._kv.commit([kv.Write(REGISTRY + model, kv.ANY, value)])

    def watch(self, instance: str, feed: Callable[[Event], None], now: int) -> None:
        """``instance`` starts: it sees all there is, from then on what changes."""
        self._leases[instance] = self._kv.grant(SESSION_MS, now)
        self._tell_all(feed)
        self._watching.setdefault(self._delays.watch_ms(instance), {})[instance] = feed
        self._kv.commit([kv.Write(LATCH + candidate(instance), kv.ANY, b"", leased=True)], self._leases[instance])
        feed(self._leader())
        self._tell(self._leader())

    def unwatch(self, instance: str) -> None:
        """``instance`` is gone: it is told nothing more, and its lease goes on until it is lost."""
        del self._watching[self._delays.watch_ms(instance)][instance]

    def deafen(self, instances: frozenset[str]) -> None:
        """These are told nothing until they listen again."""
        self._deaf |= instances

    def listen(self, instance: str, feed: Callable[[Event], None]) -> None:
        """``instance`` sees all there is, and from then on what changes again."""
        self._deaf.discard(instance)
        self._tell_all(feed)
        feed(self._leader())

    def _tell_all(self, feed: Callable[[Event], None]) -> None:
        feed(RegistrySeen(self._kv.revision, self._all(REGISTRY), is_whole=True))
        feed(InstancesSeen(self._kv.revision, self._all(INSTANCES), is_whole=True))

    def resign(self, instance: str) -> None:
        """``instance`` is going: another leads."""
        self._kv.commit([kv.Write(LATCH + candidate(instance), kv.ANY, kv.DELETE)])
        self._tell(self._leader())

    def leave(self, instance: str) -> None:
        """``instance`` ends its session: its record goes, and it is told nothing more."""
        self.unwatch(instance)
        self.end_lease(instance)

    def end_lease(self, instance: str) -> None:
        """The lease is over, and the instance's record goes."""
        self._kv.revoke(self._leases.pop(instance))
        self._tell(InstancesSeen(self._kv.revision, (Seen(instance, None, self._kv.revision),)))
        self._tell(self._leader())

    def lease(self, instance: str) -> int:
        """Which lease an instance has; 0: none."""
        return self._leases.get(instance, 0)

    def lose_leases(self, instances: Iterable[str]) -> None:
        """The leases of these are over: their records go, and each has a new lease when it asks for one."""
        gone = [instance for instance in self._leases if instance in set(instances)]
        for instance in gone:
            self._kv.revoke(self._leases[instance])
        self._tell(InstancesSeen(self._kv.revision, tuple(Seen(each, None, self._kv.revision) for each in gone)))
        for instance in gone:
            lease = self._leases[instance] = self._kv.grant(SESSION_MS, 0)
            self._kv.commit([kv.Write(LATCH + candidate(instance), kv.ANY, b"", leased=True)], lease)
        self._tell(self._leader())

    def _leader(self) -> LeaderSeen:
        pairs = self._kv.snapshot(LATCH).pairs
        return LeaderSeen(leader({pair.key.removeprefix(LATCH): pair.create for pair in pairs}))

    def _all(self, prefix: str) -> tuple[Seen, ...]:
        pairs = self._kv.snapshot(prefix).pairs
        names = (intern(pair.key.removeprefix(prefix)) for pair in pairs)  # what all look up by is one and the same
        return tuple(Seen(name, pair.value, pair.mod) for name, pair in zip(names, pairs, strict=True))

    def write(self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()) -> Wrote | Clashed:
        """Write, or delete, a model's record if it stands at ``expect`` and no instance of ``gone`` has one."""
        writes = [kv.Write(REGISTRY + model, expect, kv.DELETE if value is None else value)]
        writes += [kv.Write(INSTANCES + instance, kv.ABSENT, kv.KEEP) for instance in gone]
        outcome = self._kv.commit(writes)
        if isinstance(outcome, kv.Conflict):
            self.conflicts += 1
            stands = outcome.pairs[0]
            return Clashed(None, 0) if stands is None else Clashed(stands.value, stands.mod)
        self.commits += 1
        self._tell(RegistrySeen(outcome.revision, (Seen(model, value, outcome.revision),)))
        return Wrote(outcome.revision)

    def publish(self, instance: str, value: bytes) -> None:
        """Write an instance's record under its lease; without one nothing is written."""
        lease = self._leases.get(instance)
        if lease is None:
            return
        write = kv.Write(INSTANCES + instance, kv.ANY, value, leased=True)
        outcome = self._kv.commit([write], lease)
        assert isinstance(outcome, kv.Committed)
        self.publishes += 1
        self._tell(InstancesSeen(outcome.revision, (Seen(instance, value, outcome.revision),)))

    def read(self, model: str) -> Seen:
        """A model's record as it stands."""
        pair = self._kv.get(REGISTRY + model)
        return Seen(model, None, 0) if pair is None else Seen(model, pair.value, pair.mod)

    def _tell(self, event: Event) -> None:
        for watch_ms, feeds in self._watching.items():
            self._later(watch_ms, partial(self._telling, feeds, event))

    def _telling(self, feeds: dict[str, Callable[[Event], None]], event: Event) -> None:
        for instance, feed in list(feeds.items()):
            if instance not in self._deaf:
                feed(event)


class Client:
    """The store as one instance reaches it."""

    def __init__(self, env: simpy.Environment, instance: str, records: Records, delays: Delays) -> None:
        self._env, self._instance, self._records, self._delays = env, instance, records, delays
        self.is_away = self.is_known_away = False
        """Whether the store answers nothing, and whether that is known, so that it is not asked."""

    def write(
        self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()
    ) -> Generator[simpy.Event, Any, Wrote | Clashed | StoreSilent]:
        """Write a model's record."""
        yield from self._reach(self._delays.commit_ms(self._instance, REGISTRY + model, expect))
        return SILENT if self.is_away else self._records.write(model, expect, value, gone)

    def read(self, model: str) -> Generator[simpy.Event, Any, Seen | StoreSilent]:
        """Read a model's record linearisably."""
        yield from self._reach(self._delays.read_ms(self._instance, REGISTRY + model))
        return SILENT if self.is_away else self._records.read(model)

    def publish(self, value: bytes) -> Generator[simpy.Event, Any, str]:
        """Write the instance's record."""
        yield from self._reach(self._delays.commit_ms(self._instance, INSTANCES + self._instance, kv.ANY))
        if self.is_away:
            return SILENT.text
        self._records.publish(self._instance, value)
        return ""

    def _reach(self, delay_ms: int) -> Generator[simpy.Event, Any, None]:
        """Be there, or find after some time that it does not answer: at once where that is known."""
        if self.is_away:
            yield self._env.timeout(1 if self.is_known_away else DEADLINE_MS)
        else:
            yield self._env.timeout(delay_ms)
