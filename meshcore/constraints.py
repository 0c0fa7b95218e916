"""Labels that models of a type require or prefer of an instance, and what they make of an instance's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

DEFAULT = "_default"
"""Stands for the types that are not listed."""

PROHIBITED_WEIGHT = 4
"""An instance that one more type cannot use is the better place for the others by this many types that want it."""


@dataclass(frozen=True, slots=True)
class TypeConstraint:
    """Labels that an instance needs for models of a type (all of them), and those that make it a better place (any).
    Both sorted."""

    required: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()

    @classmethod
    def of(cls, required: Iterable[str], preferred: Iterable[str]) -> Self:
        """From labels in any order and perhaps more than once; one that is required and preferred is required."""
        needs = set(required)
        return cls(tuple(sorted(needs)), tuple(sorted(set(preferred) - needs)))


@dataclass(frozen=True, slots=True)
class Partition:
    """Instances that the same types may use and the same prefer; both by listed type, in the order of the list."""

    prohibits: tuple[str, ...] = ()
    preferred_by: tuple[str, ...] = ()

    @property
    def score(self) -> int:
        """The higher, the better a place for models that want nothing of it: others have little use for it."""
        return PROHIBITED_WEIGHT * len(self.prohibits) - len(self.preferred_by)


ANYWHERE = Partition()
"""Where every instance is while nothing is constrained."""


class Constraints:
    """The constraints in force; ``DEFAULT`` is one as any other, for all types that are not listed."""

    def __init__(self) -> None:
        self._listed: dict[str, TypeConstraint] = {}

    def put(self, constraints: Mapping[str, TypeConstraint]) -> None:
        """Put ``constraints`` in force in place of the former; one that asks for nothing is as good as not listed."""
        self._listed = {name: each for name, each in sorted(constraints.items()) if each.required or each.preferred}

    def name(self, model_type: str) -> str:
        """The listed type that ``model_type`` goes by; empty: it is not constrained."""
        if model_type in self._listed:
            return model_type
        return DEFAULT if DEFAULT in self._listed else ""

    def required(self, model_type: str) -> tuple[str, ...]:
        """What an instance needs for models of ``model_type``."""
        return self._listed.get(self.name(model_type), TypeConstraint()).required

    def allow(self, model_type: str, labels: Iterable[str]) -> bool:
        """Whether models of ``model_type`` may be loaded where these labels are."""
        return set(self.required(model_type)) <= set(labels)

    def partition(self, labels: Iterable[str]) -> Partition:
        """Where an instance with these labels belongs."""
        has = set(labels)
        prohibits = tuple(name for name, each in self._listed.items() if not has.issuperset(each.required))
        preferred_by = tuple(
            name for name, each in self._listed.items() if name not in prohibits and not has.isdisjoint(each.preferred)
        )
        return Partition(prohibits, preferred_by)
