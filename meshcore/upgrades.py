"""Which replica sets are about to be replaced: while one comes in, those of the same labels that it follows go."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from meshcore.records import InstanceRecord
from meshcore.units import NEVER, age_ms

ROLLS_MS = 600_000
"""A replica set whose latest instance started within this is coming in."""
ROLLS_ON_MS = 1_200_000
"""So is one whose latest started within this, as long as those before it change too."""
SETTLES_MS = 900_000
"""A replica set that nothing happened to for this long stays, whatever came in since."""
OF_A_POD = re.compile(r"([a-z0-9]{6})-[a-z0-9]{5}")
"""An id made from the name of a Deployment's pod: its first part names the replica set."""


def replica_set_of(instance: str) -> str:
    """The replica set that an id tells; empty: it tells none, as those that people give."""
    found = OF_A_POD.fullmatch(instance)
    return found[1] if found else ""


@dataclass(slots=True)
class ReplicaSet:
    """Instances that one deployment started with one template."""

    first_start: int
    last_start: int
    changed: int
    """When one of them started, or was seen to be gone, last."""
    members: dict[str, int] = field(default_factory=dict)
    """When each of them started."""
    replaced_until: int = 0
    """Until then it counts as being replaced; 0: it does not."""


class Upgrades:
    """Follows who comes and goes (D-18), in each set of labels by itself (D-19).

    An instance counts from when it is first seen: what it publishes later, or a restart under the same id, says nothing
    about upgrades. Of one set of labels the newest replica set is the one whose first instance started last. Another is
    being replaced if all its instances started before that one's first, and the newest is coming in. It stays so for
    ``SETTLES_MS`` after the last that came, or the last of its own that went.
    """

    def __init__(self) -> None:
        self._sets: dict[tuple[str, ...], dict[str, ReplicaSet]] = {}
        self._homes: dict[str, tuple[tuple[str, ...], str]] = {}
        self._due = NEVER
        """No upgrade is over before this."""

    def see(self, instance: str, record: InstanceRecord | None, now: int) -> list[str]:
        """The store holds ``record`` (None: nothing) for ``instance``; who is judged otherwise for it, ascending."""
        home = _home(instance, record)
        former = self._homes.get(instance)
        if home == former:
            return []
        changed: dict[str, int] = {}
        if former is not None:
            changed |= self._went(instance, *former, now)
        if home is not None:
            assert record is not None
            changed |= self._came(instance, *home, min(record.start_ms, now), now)
            if former is not None:
                changed[instance] = now  # what held for its former labels holds no more
        return sorted(changed)

    def is_replaced(self, instance: str) -> bool:
        """Whether loads had better go to others than ``instance``."""
        home = self._homes.get(instance)
        return home is not None and self._sets[home[0]][home[1]].replaced_until > 0

    def expire(self, now: int) -> list[str]:
        """End the upgrades that nothing was heard of for long; the instances that stay after all, ascending."""
        if now < self._due:
            return []
        changed: dict[str, int] = {}
        self._due = NEVER
        for replica_sets in self._sets.values():
            for each in replica_sets.values():
                if 0 < each.replaced_until <= now:
                    each.replaced_until = 0
                    changed |= each.members
                elif each.replaced_until:
                    self._due = min(self._due, each.replaced_until)
        return sorted(changed)

    def _came(self, instance: str, labels: tuple[str, ...], name: str, start: int, now: int) -> dict[str, int]:
        self._homes[instance] = labels, name
        replica_sets = self._sets.setdefault(labels, {})
        its = replica_sets.setdefault(name, ReplicaSet(start, start, start))
        its.members[instance] = start
        its.first_start = min(its.first_start, start)
        its.last_start = max(its.last_start, start)
        its.changed = max(its.changed, start)
        newest, changed = _newest(replica_sets), _outlived(replica_sets)
        for each in replica_sets.values():
            if _is_before(each, newest) and _is_coming_in(newest, each, now):
                if not each.replaced_until:
                    changed |= each.members
                each.replaced_until = now + SETTLES_MS
                self._due = min(self._due, each.replaced_until)
        if its.replaced_until:
            changed[instance] = start
        return changed

    def _went(self, instance: str, labels: tuple[str, ...], name: str, now: int) -> dict[str, int]:
        del self._homes[instance]
        replica_sets = self._sets[labels]
        its = replica_sets[name]
        del its.members[instance]
        its.changed = now
        if its.replaced_until:
            its.replaced_until = now + SETTLES_MS
        if not its.members:
            del replica_sets[name]
        if not replica_sets:
            del self._sets[labels]
            return {}
        return _outlived(replica_sets)


def _home(instance: str, record: InstanceRecord | None) -> tuple[tuple[str, ...], str] | None:
    """The labels and the replica set of an instance; None: it tells none."""
    if record is None or not record.is_ours:
        return None
    name = record.replica_set or replica_set_of(instance)
    return (record.labels, name) if name else None


def _newest(replica_sets: dict[str, ReplicaSet]) -> ReplicaSet:
    return max(replica_sets.values(), key=lambda each: (each.first_start, each.last_start))


def _is_before(one: ReplicaSet, newest: ReplicaSet) -> bool:
    return one.last_start < newest.first_start


def _is_coming_in(newest: ReplicaSet, before: ReplicaSet, now: int) -> bool:
    age = age_ms(newest.last_start, now)
    return age < ROLLS_MS or (age < ROLLS_ON_MS and age_ms(before.changed, now) < SETTLES_MS)


def _outlived(replica_sets: dict[str, ReplicaSet]) -> dict[str, int]:
    """Let those stay that nothing newer is there for any more; their instances."""
    newest = _newest(replica_sets)
    changed: dict[str, int] = {}
    for each in replica_sets.values():
        if each.replaced_until and not _is_before(each, newest):
            each.replaced_until = 0
            changed |= each.members
    return changed
