"""Load failures of this instance that stand in records, and when each is too old to keep a model from it.

A failure counts for ``failure_expiry_ms``, and half as long for a model that is wanted: then the next try is due. A
request wants it whether it was served or refused (D-14).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from meshcore.edits import DropFailure
from meshcore.reasons import Reason, Rule
from meshcore.records import Failure
from meshcore.settings import Settings
from meshcore.units import NEVER, age_ms

if TYPE_CHECKING:
    from meshcore.node import Node


def keeps_out(failure: Failure, now: int, settings: Settings, is_use: bool) -> bool:
    """Whether a failure on record still keeps its instance from loading the model; ``is_use``: for a request that
    wants the model now."""
    limit_ms = settings.failure_expiry_ms // 2 if is_use else settings.failure_expiry_ms
    return age_ms(failure.at, now) < limit_ms


class Failures:
    """Takes this instance's own failures out of the records on time; others' are their instances' business."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._kept: dict[str, tuple[int, int, int]] = {}
        """By model: when its load failed here, when it was last wanted here (0: not since), when it is looked at."""
        self._due: list[tuple[int, str]] = []
        """Heap of (when, model), with some that are not true any more."""

    def seen(self, model: str) -> None:
        """A model's record is another one."""
        node = self._node
        if not node.view.names_failures(model) and model not in self._kept:
            return  # most models
        record = node.record_or_none(model)
        failure = record.failures.get(node.me) if record is not None else None
        kept = self._kept.get(model)
        if failure is None:
            self._kept.pop(model, None)
        elif kept is None or kept[0] != failure.at:
            self._keep(model, failure.at, 0)

    def used(self, model: str) -> None:
        """A request wants the model."""
        if kept := self._kept.get(model):
            self._keep(model, kept[0], self._node.now)

    def _keep(self, model: str, failed_at: int, used_at: int) -> None:
        due = self._when(failed_at, used_at)
        kept = self._kept.get(model)
        if kept is None or kept[2] != due:
            heappush(self._due, (due, model))
        self._kept[model] = failed_at, used_at, due

    def _when(self, failed_at: int, used_at: int) -> int:
        settings = self._node.settings
        early = max(failed_at + settings.failure_expiry_ms // 2, used_at)
        if used_at and early - used_at <= settings.failure_in_use_ms:
            return early
        return failed_at + settings.failure_expiry_ms

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """When the next one is looked at."""
        return self._due[0][0] if self._due else NEVER

    def tick(self) -> None:
        """Take out what does not count any more."""
        node = self._node
        while self._due and self._due[0][0] <= node.now:
            due, model = heappop(self._due)
            kept = self._kept.get(model)
            if kept is None or kept[2] != due:
                continue
            del self._kept[model]
            inputs: dict[str, int | str] = {"age_ms": age_ms(kept[0], node.now)}
            cause = "its failure is too old to count"
            why = node.explain(Reason(Rule.EXPIRE, model, node.me, cause, node.view.revision, inputs))
            node.edit(model, DropFailure(node.me, kept[0]), why)
