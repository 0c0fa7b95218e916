"""Which of the decisions that are kept answer a question about a model: why a copy is there, the last wait, the last
eviction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshcore.reasons import Rule

APART_MS = 5_000
"""A copy's load begins so soon after the decision that brought it, clocks that differ included."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a question needs of one decision."""

    instance: str
    """Who decided."""
    rule: str
    chosen: str
    at: int
    load_ts: int = 0
    """For ``wait``: when the load began that was waited for."""


def brought(decisions: Sequence[Told], instance: str, load_ts: int) -> int | None:
    """Where in ``decisions`` (oldest first) stands what brought the copy to ``instance``: its placement, or that it
    was taken there; None: neither is known, and nothing else may stand for it."""
    for rule in (Rule.PLACE, Rule.ACCEPT):
        for at in reversed(range(len(decisions))):
            told = decisions[at]
            if told.rule == rule and told.chosen == instance and abs(told.at - load_ts) <= APART_MS:
                return at
    return None


def last_eviction(decisions: Sequence[Told]) -> int | None:
    """The newest one that took a copy for room."""
    return _last(decisions, lambda told: told.rule == Rule.EVICT)


def last_wait(decisions: Sequence[Told]) -> int | None:
    """What brought the copy that a client's request waited for last; that it waited, where nobody knows that."""
    at = _last(decisions, lambda told: told.rule == Rule.WAIT)
    if at is None:
        return None
    place = brought(decisions, decisions[at].instance, decisions[at].load_ts)
    return at if place is None else place


def why_unknown(unreachable: Sequence[str]) -> str:
    """Why no decision is told of a copy that is there."""
    if unreachable:
        return f"not known: {', '.join(unreachable)} did not answer, and those that did keep no decision about it"
    return "not known: the decision is kept no longer, or its instance started anew since"


def _last(decisions: Sequence[Told], is_it: Callable[[Told], bool]) -> int | None:
    return next((at for at in reversed(range(len(decisions))) if is_it(decisions[at])), None)
