"""What registrations ask for and cannot be had here: it is accepted, and told of."""

from __future__ import annotations

from typing import Protocol

from meshcore.cache import Cache
from meshcore.reasons import Reason, Rule


class Surroundings(Protocol):
    """What this needs of the node around it."""

    @property
    def me(self) -> str: ...
    def explain(self, reason: Reason) -> Reason: ...


class Unsatisfied:
    """Tells when pinned copies begin to take more than there is, and when that is over."""

    def __init__(self, around: Surroundings, cache: Cache) -> None:
        self._around, self._cache = around, cache
        self._is_told = False

    def judge(self) -> None:
        """What is pinned, or what there is, may be another."""
        units = self._cache.unsatisfied_units
        if bool(units) == self._is_told:
            return
        self._is_told = bool(units)
        cause = "pinned models take more than there is for models" if units else "pinned models fit again"
        self._around.explain(Reason(Rule.UNSATISFIED, "", self._around.me, cause, inputs={"units": units}))

    def refused(self, model: str, text: str) -> None:
        """There is no room for a pinned model."""
        self._around.explain(Reason(Rule.UNSATISFIED, model, self._around.me, text))
