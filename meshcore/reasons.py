"""Why a choice was made: the record that travels with every command, and the bounded log of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

CANDIDATES_KEPT = 16
KEPT_PER_MODEL = 8
KEPT_IN_ALL = 50_000
MODELS_KEPT = 5_000
"""Models whose last reasons are kept beside the ring: those decided about last, as many as an instance may hold."""


class Rule(StrEnum):
    """The rule that decided."""

    HOLDER = "holder"  # which copy answers a request
    PLACE = "place"  # which instance loads a model
    ACCEPT = "accept"  # this instance takes a load
    REFUSE = "refuse"  # this instance does not take a load
    DECLINE = "decline"  # this instance leaves a load to another one
    LOAD = "load"  # a queued load starts
    WAIT = "wait"  # a client's request has to wait for a load
    EVICT = "evict"  # a copy makes room
    READY = "ready"  # a copy answers requests
    FAIL = "fail"  # a load went wrong
    EXPIRE = "expire"  # a load that went wrong is too long ago to count
    REMOVE = "remove"  # a copy goes for another cause than room
    SECOND_COPY = "second-copy"  # a model that is used regularly gets a second copy
    SCALE_UP = "scale-up"  # a model that is used much gets further copies
    SCALE_DOWN = "scale-down"  # a model has a copy more than it needs
    UNLOAD = "unload"  # a runtime gives memory back
    SUSPECT = "suspect"  # the runtime may have restarted
    RESTART = "restart"  # the runtime did restart: its copies are gone
    DEREGISTER = "deregister"  # a record stops naming a copy
    PRUNE = "prune"  # a record stops naming somebody else's lost copy
    REGISTER = "register"
    UNREGISTER = "unregister"
    TOUCH = "touch"  # a registration's last use is refreshed
    VMODEL = "vmodel"  # a virtual model is to be answered by other models, or is, or is no more
    PUBLISH = "publish"  # this instance's record is written
    DRAIN = "drain"  # this instance is going
    CORDON = "cordon"  # this instance takes no loads, or takes them again
    LEAD = "lead"  # another instance leads
    HOLD = "hold"  # nothing is taken off records for a while
    FILL = "fill"  # a model is loaded before anybody asks for it
    UNSATISFIED = "unsatisfied"  # what a registration asks for, copies or memory, cannot be had
    UNREADABLE = "unreadable"  # a record in the store is passed over
    SETTINGS = "settings"  # numbers that the rules go by are others
    GATE = "gate"  # this instance waits, or no longer, before it says that it is ready
    FAILFAST = "failfast"  # this instance is not ready any more, for good
    STORE = "store"  # the store went away, came back, takes no writes, takes them again


class Rejected(StrEnum):
    """Why a candidate was not chosen."""

    TRIED = "tried"  # this request was there already
    HOLDS = "holds"  # has a copy
    FAILED = "failed"  # failed to load this model
    EXCLUDED = "excluded"  # the caller said so
    AWAY = "away"  # its runtime is not back yet
    UNREACHABLE = "unreachable"
    OUT_OF_RANGE = "out-of-range"  # too far behind the best
    BUSY = "busy"  # too many requests a minute
    NOT_PREFERRED = "not-preferred"  # models of this type had better be elsewhere
    ZONE = "zone"  # a copy is in its zone, and there is a zone without one
    NODE = "node"  # a copy is on its node, and there is a node without one
    NOT_READY = "not-ready"  # still loading while another copy is ready
    OUTSTANDING = "outstanding"  # has more calls under way
    NOT_DRAWN = "not-drawn"  # equal, the draw fell elsewhere
    RENDEZVOUS = "rendezvous"  # comes later in the order that all share
    TOO_SMALL = "too-small"  # can never hold the model
    IN_USE = "in-use"  # answering requests, others go first
    LOADING = "loading"  # half loaded: others are evicted first, an older load is waited for first
    NEWER = "newer"  # used more recently than what was chosen


@dataclass(frozen=True, slots=True)
class Candidate:
    """One alternative: its score (first difference decides) and, if not chosen, why not."""

    id: str
    score: tuple[int | str, ...] = ()
    rejected: Rejected | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: ``seq`` and ``at`` are stamped when the reason is logged."""

    rule: Rule
    model: str
    chosen: str
    cause: str
    view_revision: int = 0
    inputs: Mapping[str, int | str] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    more: int = 0
    """Candidates beyond those listed."""
    seq: int = 0
    at: int = 0


def trimmed(candidates: list[Candidate]) -> tuple[tuple[Candidate, ...], int]:
    """The candidates to keep in a Reason and how many were left out."""
    return tuple(candidates[:CANDIDATES_KEPT]), max(0, len(candidates) - CANDIDATES_KEPT)


def _least_telling(kept: list[Reason], rule: Rule) -> int:
    """The place of the oldest one that the same rule decided anew since, by ``rule`` at last; else of the oldest: what
    is decided again and again does not hide the one reason for it."""
    rules = [*(reason.rule for reason in kept), rule]
    return next((place for place in range(len(kept)) if rules[place] in rules[place + 1 :]), 0)


class ReasonLog:
    """The latest reasons: a ring for the instance and the last few of each model, the last of every rule first."""

    NOT_STATE = frozenset({"_ring", "_by_model"})  # told, never decided by

    def __init__(self, kept: int = KEPT_IN_ALL, kept_per_model: int = KEPT_PER_MODEL) -> None:
        self._ring: deque[Reason] = deque(maxlen=kept)
        self._by_model: dict[str, list[Reason]] = {}
        self._kept_per_model = kept_per_model
        self._seq = 0

    def add(self, reason: Reason, now: int) -> Reason:
        """Stamp ``reason`` with its number and instant, keep it and return it as kept."""
        self._seq += 1
        stamped = Reason(
            reason.rule, reason.model, reason.chosen, reason.cause, reason.view_revision,
            reason.inputs, reason.candidates, reason.more, self._seq, now,
        )  # fmt: skip
        self._ring.append(stamped)
        if stamped.model:
            kept = self._by_model.pop(stamped.model, None)
            if kept is None:
                kept = []
                if len(self._by_model) >= MODELS_KEPT:
                    del self._by_model[next(iter(self._by_model))]
            if len(kept) == self._kept_per_model:
                del kept[_least_telling(kept, stamped.rule)]
            kept.append(stamped)
            self._by_model[stamped.model] = kept  # at the end: decided about last
        return stamped

    def forget(self, model: str) -> None:
        """Drop what is kept for a model that is gone; the ring keeps its own."""
        self._by_model.pop(model, None)

    def of(self, model: str) -> tuple[Reason, ...]:
        """The last reasons about ``model``, oldest first."""
        return tuple(self._by_model.get(model, ()))

    @property
    def newest(self) -> int:
        """The number of the latest reason; 0: there was none."""
        return self._seq

    def since(self, seq: int) -> Iterator[Reason]:
        """Reasons numbered above ``seq`` that are still kept, oldest first."""
        newest = list(islice(reversed(self._ring), max(0, self._seq - seq)))
        return reversed(newest)
