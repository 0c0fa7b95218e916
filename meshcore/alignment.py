"""What is here and what a model's record says of it, brought into line: of the copy here the cache is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.edits import Deregister, Edit, MarkFailed, MarkReady
from meshcore.entry import Entry, State
from meshcore.intents import Intent
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord

if TYPE_CHECKING:
    from meshcore.node import Node


class Alignment:
    """Looks at one model at a time, whenever its record is another one."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def align(self, model: str) -> None:
        """Bring what is here into line with a model's record."""
        node = self._node
        node.failures.seen(model)
        entry = node.cache.entries.get(model)
        if entry is None and model not in node.routes and not node.view.names_copies(model):
            node.view.loads_of(model, None)
            return  # most models: registered, loaded nowhere
        record = node.record_or_none(model)
        node.view.loads_of(model, record)
        if model in node.bad:
            return  # passed over: what is in use goes on as before it was spoilt
        if record is not None and (entry is None or _is_of(entry, record)):
            self._heal(model, record)
            node.copies.reprioritise(model, record)
        elif entry is not None:
            node.copies.remove(model, "registered as another" if record is not None else "unregistered")
        node.routes.update(model, record)

    def _heal(self, model: str, record: ModelRecord) -> None:
        """The record and the cache disagree about the copy here: the cache is right (D-01)."""
        node = self._node
        entry, named = node.cache.entries.get(model), record.copies.get(node.me)

        def is_told(edit: Edit) -> bool:
            """It is no disagreement where the store is only about to hear of it."""
            if isinstance(edit, Intent):
                return True  # it says whatever is so here
            kinds = Deregister | MarkFailed | MarkReady
            load_ts = entry.load_ts if entry is not None and entry.is_serving else named
            return isinstance(edit, kinds) and (edit.instance, edit.load_ts) == (node.me, load_ts)

        if node.writer.has_on_its_way(model, is_told) or (entry is not None and entry.is_leaving):
            return
        if named is not None and (entry is None or entry.load_ts != named or entry.state is State.FAILED):
            why = node.explain(Reason(Rule.DEREGISTER, model, node.me, "registered here but not here"))
            node.edit(model, Deregister(node.me, named), why)
        elif entry is not None and entry.is_serving and not record.is_ready(node.me):
            why = node.explain(Reason(Rule.READY, model, node.me, "here but not registered here"))
            node.edit(model, MarkReady(node.me, entry.load_ts), why)
        elif named is None and entry is not None and entry.state is State.FAILED and node.me not in record.failures:
            node.copies.remove(model, "its failure is no longer on record")


def _is_of(entry: Entry, record: ModelRecord) -> bool:
    """Whether a copy is what the registration says, which may have been made anew under the same id."""
    return (entry.type, entry.path, entry.key) == (record.type, record.path, record.key)
