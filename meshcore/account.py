"""Which of the decisions that are kept answer a question about a model: why a copy is there, the last wait, the last
eviction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshcore.reasons import Rule

APART_MS = 5_000
"""A copy's load begins so soon after the decision that brought it, clocks that differ included."""

_UNASKED = frozenset({Rule.FILL, Rule.SECOND_COPY, Rule.SCALE_UP})


@dataclass(frozen=True, slots=True)
class Told:
    """What a question needs of one decision."""

    instance: str
    """Who decided."""
    rule: str
    chosen: str
    at: int
    has_ready: bool = True
    """For ``holder``: whether a copy was ready."""


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
    """The newest one after which a request, or a command to load, had to wait: no copy was ready, or there was none.
    A load that the mesh began of itself is none of these."""
    unasked = [told for told in decisions if told.rule in _UNASKED]

    def is_wait(told: Told) -> bool:
        if told.rule == Rule.HOLDER:
            return not told.has_ready
        return told.rule == Rule.PLACE and not any(
            told.instance == cause.instance and 0 <= told.at - cause.at <= APART_MS for cause in unasked
        )

    return _last(decisions, is_wait)


def why_unknown(unreachable: Sequence[str]) -> str:
    """Why no decision is told of a copy that is there."""
    if unreachable:
        return f"not known: {', '.join(unreachable)} did not answer, and those that did keep no decision about it"
    return "not known: the decision is kept no longer, or its instance started anew since"


def _last(decisions: Sequence[Told], is_it: Callable[[Told], bool]) -> int | None:
    return next((at for at in reversed(range(len(decisions))) if is_it(decisions[at])), None)
