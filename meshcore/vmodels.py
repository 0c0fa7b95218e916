"""The virtual models as this instance knows them, and what the plane is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.commands import Targets
from meshcore.errors import BadRecord
from meshcore.events import Seen, VModelsSeen
from meshcore.mirror import Mirror
from meshcore.reasons import Reason, Rule
from meshcore.vmodel_record import VModelRecord

if TYPE_CHECKING:
    from meshcore.node import Node


class VModels:
    """Records mirrored from the store as bytes; each is read when it comes and when it is asked for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._mirror = Mirror()
        self.bad: dict[str, str] = {}
        """Those whose record cannot be read, and what is wrong with it."""

    def __len__(self) -> int:
        return len(self._mirror)

    @property
    def revision(self) -> int:
        """The watch has told everything up to this revision."""
        return self._mirror.revision

    def record(self, vmodel: str) -> VModelRecord | None:
        """The record as it is known; None: there is none known. Raises BadRecord."""
        value = self._mirror.value(vmodel)
        return None if value is None else VModelRecord.decode(value, f"vmodels/{vmodel}")

    def mod(self, vmodel: str) -> int:
        """The revision that wrote it; 0: none known."""
        return self._mirror.mod(vmodel)

    def items(self) -> list[tuple[str, bytes, int]]:
        """All of them: (id, value, revision), ascending by id."""
        return self._mirror.items()

    def referring(self, model: str) -> list[tuple[str, VModelRecord]]:
        """Those that refer to a model, ascending by id: every one is looked at."""
        mark, found = model.encode(), []
        for vmodel, value, _ in self._mirror.items():
            if mark in value and vmodel not in self.bad:
                record = VModelRecord.decode(value)
                if model in record.roles:
                    found.append((vmodel, record))
        return found

    # -- what is seen ------------------------------------------------------------------------------

    def see(self, seen: Seen) -> None:
        """A flow read or wrote one."""
        if self._mirror.see(seen.id, seen.value, seen.mod):
            self._changed(seen.id)

    def told(self, event: VModelsSeen) -> None:
        """The watch told of some, or of all."""
        see = self._mirror.reset if event.is_whole else self._mirror.advance
        for vmodel in see(event.revision, event.vmodels):
            self._changed(vmodel)

    def _changed(self, vmodel: str) -> None:
        node = self._node
        self.bad.pop(vmodel, None)
        try:
            record = self.record(vmodel)
        except BadRecord as unreadable:
            self.bad[vmodel] = unreadable.text
            node.explain(Reason(Rule.UNREADABLE, vmodel, "", unreadable.text, self.revision))
            node.transitions.vmodel_seen(vmodel, None)
            return  # what answered goes on to
        if record is None:
            node.emit(Targets(vmodel))
        else:
            shares = record.shares
            node.emit(Targets(vmodel, record.active, shares if len(shares) > 1 else {}, record.shadow))
        node.transitions.vmodel_seen(vmodel, record)
