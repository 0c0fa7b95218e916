"""Whether a model could do without its copy here: others answer in its place, and as many as it must have."""

from __future__ import annotations

from meshcore.commands import Holder
from meshcore.records import ModelRecord
from meshcore.view import ClusterView


def is_redundant(view: ClusterView, record: ModelRecord | None, holders: tuple[Holder, ...]) -> bool:
    """Whether of ``holders``, live copies with the one here among them, one more is ready than must be.

    A copy on an instance that is going counts only here, where it is what is asked about.
    """
    ready = [holder.instance for holder in holders if holder.is_ready]
    if record is None or view.me not in ready:
        return False
    staying = [instance for instance in ready if instance == view.me or not is_going(view, instance)]
    return len(staying) > max(1, record.min_copies)


def is_going(view: ClusterView, instance: str) -> bool:
    """Whether an instance has begun to go, and its copies with it."""
    record = view.instance(instance)
    return record is not None and record.is_shutting_down
