"""The instances that may take loads, by what their labels allow: who may load a type, who had better, what all have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshcore.constraints import Constraints, Partition, TypeConstraint
from meshcore.records import InstanceRecord
from meshcore.totals import Tally, Totals, summed

PLACED_KEPT = 1024
"""Sets of labels whose partition is remembered; instances of one deployment have the same labels."""


@dataclass(frozen=True, slots=True)
class Eligible:
    """Partitions that have instances now and whose instances may load models of one type."""

    candidates: frozenset[Partition]
    preferred: frozenset[Partition]
    """Those of them that are better places; empty: all are alike."""


class Partitions:
    """Counts each instance in its partition, so that what holds for a type costs as many steps as there are those.

    An instance belongs where its labels put it whenever it came (D-09), and is taken out where it was put in, whoever
    was there first (D-25).
    """

    NOT_STATE = frozenset({"_eligible", "_placed"})  # can be worked out again

    def __init__(self) -> None:
        self.constraints = Constraints()
        self._tallies: dict[Partition, Tally] = {}
        self._eligible: dict[str, Eligible] = {}
        """By listed type, as long as no partition comes or goes."""
        self._placed: dict[tuple[str, ...], Partition] = {}
        """By labels, as long as no partition comes or goes."""

    def constrain(self, constraints: Mapping[str, TypeConstraint]) -> None:
        """Put other constraints in force; every instance is to be added anew."""
        self.constraints.put(constraints)
        self._tallies.clear()
        self._forget()

    def of(self, labels: tuple[str, ...]) -> Partition:
        """Where an instance with these labels belongs."""
        partition = self._placed.get(labels)
        if partition is None:
            if len(self._placed) >= PLACED_KEPT:
                self._placed.clear()
            partition = self._placed[labels] = self.constraints.partition(labels)
        return partition

    def add(self, record: InstanceRecord) -> None:
        """Count an instance."""
        partition = self.of(record.labels)
        tally = self._tallies.get(partition)
        if tally is None:
            tally = self._tallies[partition] = Tally()
            self._forget()
        tally.add(record)

    def remove(self, record: InstanceRecord) -> None:
        """Count an instance no longer, as it was added."""
        partition = self.of(record.labels)
        tally = self._tallies[partition]
        tally.remove(record)
        if not tally.instances:
            del self._tallies[partition]
            self._forget()

    def eligible(self, model_type: str) -> Eligible:
        """Where models of ``model_type`` may be loaded, and where they had better be."""
        name = self.constraints.name(model_type)
        eligible = self._eligible.get(name)
        if eligible is None:
            eligible = self._eligible[name] = eligible_among(name, self._tallies)
        return eligible

    def totals(self) -> Totals:
        """What all of them add up to."""
        return summed(self._tallies.values())

    def totals_for(self, model_type: str) -> Totals:
        """What those add up to that may load models of ``model_type``."""
        candidates = self.eligible(model_type).candidates
        return summed(tally for partition, tally in self._tallies.items() if partition in candidates)

    def by_room(self) -> list[Partition]:
        """All that have instances, those with most free space first, then those with the oldest models."""

        def place(partition: Partition) -> tuple[int, int, int]:
            totals = summed([self._tallies[partition]])
            return -totals.free_units, totals.lru_ms, -totals.capacity_units

        return sorted(self._tallies, key=place)

    def is_allowed(self, model_type: str, partition: Partition) -> bool:
        """Whether instances of ``partition`` may load models of ``model_type``."""
        return self.constraints.name(model_type) not in partition.prohibits

    def _forget(self) -> None:
        self._eligible.clear()
        self._placed.clear()


def eligible_among(name: str, partitions: Iterable[Partition]) -> Eligible:
    """Which of ``partitions`` may, and had better, take models of the listed type ``name`` (empty: an unlisted one).

    A type whose preferred labels nobody has, or that names none, prefers instances that others cannot use or do not
    want, if there are such: those with what is special stay free for whom it is special.
    """
    candidates = [partition for partition in partitions if name not in partition.prohibits]
    preferred = [partition for partition in candidates if name in partition.preferred_by]
    if not preferred and candidates:
        best = max(partition.score for partition in candidates)
        preferred = [partition for partition in candidates if partition.score == best]
    if len(preferred) == len(candidates):
        preferred = []
    return Eligible(frozenset(candidates), frozenset(preferred))
