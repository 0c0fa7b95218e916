"""The record of a virtual model: a name for one model, or for several by weight, on its way to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from meshcore.attributes import Attributes, by_key, encode, without_defaults
from meshcore.split import MOST_TARGETS, WHOLE, heaviest


class VModelStatus(StrEnum):
    """A virtual model's status as the management API names it."""

    NOT_FOUND = "NOT_FOUND"
    DEFINED = "DEFINED"
    TRANSITIONING = "TRANSITIONING"
    TRANSITION_FAILED = "TRANSITION_FAILED"


Weights = Mapping[str, int]
"""Models with the share of requests that each gets, in percent."""


@dataclass(frozen=True, slots=True)
class VModelRecord:
    """One virtual model (docs/design.md, virtual models).

    Who knows of one model only, as a Java pod, reads and writes ``active`` and ``target`` and keeps the rest as it is.
    So weights count only as long as their heaviest model is the one that stands there. Of those that do not all others
    are still referred to, until the record is written again.
    """

    owner: str = ""
    active: str = ""
    """The model that answers, or the heaviest of those that do."""
    target: str = ""
    """The model that shall answer; the same as ``active`` when no transition is under way."""
    has_failed: bool = False
    """What shall answer cannot be loaded."""
    split: Weights = field(default_factory=dict)
    """Of the models that answer, where they are several."""
    next_split: Weights = field(default_factory=dict)
    """Of those that shall answer, where they are several."""
    shadow: str = ""
    """A model that sees a copy of each request."""
    extra: Mapping[str, object] = field(default_factory=dict)
    extra_meshd: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def decode(cls, value: bytes, key: str = "") -> VModelRecord:
        """The record in ``value``; raises BadRecord, which names ``key`` and what is wrong."""
        read = Attributes.parse(value, key)
        ours = read.inner("meshd")
        return cls(
            owner=read.text("o"),
            active=read.text("amid"),
            target=read.text("tmid"),
            has_failed=read.flag("failed"),
            split=ours.numbers("split"),
            next_split=ours.numbers("next"),
            shadow=ours.text("shadow"),
            extra=read.rest(),
            extra_meshd=ours.rest(),
        )

    def encode(self) -> bytes:
        """The record as JSON, upstream's attributes first and in its order."""
        ours = {"split": by_key(self.split), "next": by_key(self.next_split), "shadow": self.shadow}
        theirs = {"o": self.owner, "amid": self.active, "tmid": self.target, "failed": self.has_failed}
        meshd = {**without_defaults(ours), **self.extra_meshd}
        return encode({**without_defaults(theirs), **self.extra, **without_defaults({"meshd": meshd})})

    @property
    def shares(self) -> Weights:
        """The models that answer and their weights; the active one alone has all."""
        return self.split if _counts(self.split, self.active) else {self.active: WHOLE}

    @property
    def wanted(self) -> Weights:
        """The models that shall answer and their weights."""
        if _counts(self.next_split, self.target):
            return self.next_split
        return self.shares if self.target == self.active else {self.target: WHOLE}

    @property
    def is_in_transition(self) -> bool:
        """Whether others shall answer than do, or with other weights."""
        return self.wanted != self.shares

    @property
    def status(self) -> VModelStatus:
        """What it is doing."""
        if not self.is_in_transition:
            return VModelStatus.DEFINED
        return VModelStatus.TRANSITION_FAILED if self.has_failed else VModelStatus.TRANSITIONING

    @property
    def roles(self) -> frozenset[str]:
        """The models that it refers to, each once whatever it is to the virtual model."""
        shared = (*_referred(self.split, self.active), *_referred(self.next_split, self.target))
        return frozenset({self.active, self.target, self.shadow, *shared} - {""})

    def aimed_at(self, weights: Weights) -> VModelRecord:
        """The same with ``weights`` as what shall answer; what answers is as it was."""
        shares = self.shares
        return replace(
            self, target=heaviest(weights), has_failed=False, split=_several(shares),
            next_split={} if weights == shares else _several(weights) or _marked(weights, shares),
        )  # fmt: skip

    def switched(self) -> VModelRecord:
        """The same with what shall answer in the place of what does."""
        weights = self.wanted
        active = heaviest(weights)
        return replace(self, active=active, target=active, has_failed=False, split=_several(weights), next_split={})


def _several(weights: Weights) -> Weights:
    """As it is stored: one model alone is its name."""
    return weights if len(weights) > 1 else {}


def _marked(weights: Weights, shares: Weights) -> Weights:
    """One model alone that shall take over from several of which it is the heaviest: its name would say that nothing
    is to change."""
    return weights if heaviest(weights) == heaviest(shares) else {}


def _referred(weights: Weights, first: str) -> list[str]:
    """The models of stored weights that are referred to: whoever puts another one in the place of their heaviest, as a
    Java pod does, lets that one go and knows of no other."""
    return [model for model in weights if model == first or model != heaviest(weights)]


def _counts(weights: Weights, first: str) -> bool:
    """Whether stored weights say anything: they are whole, and nobody has put another model in their place."""
    return (
        0 < len(weights) <= MOST_TARGETS
        and all(weight > 0 for weight in weights.values())
        and sum(weights.values()) == WHOLE
        and heaviest(weights) == first
    )
