"""What this instance wants a record to say of it, kept while the store does not take it: one statement for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshcore.edits import Accept, Deregister, DropFailure, Edit, MarkFailed, MarkReady, Touch
from meshcore.errors import MeshError
from meshcore.records import ModelRecord
from meshcore.units import NEVER


@dataclass(frozen=True, slots=True)
class Intent:
    """The last wanted state of this instance's part of a record. It takes the place of any number of edits.

    It holds whatever stood there before: nobody but the instance itself brings a copy or a failure of its own there.
    """

    instance: str
    load_ts: int | None = None
    """The copy here; 0: there is none; None: as the record has it."""
    is_ready: bool = False
    failed_at: int | None = None
    """The failure here; 0: there is none; None: as the record has it."""
    text: str = ""
    last_used: int = 0
    unloaded_at: int = 0
    """When a copy that answered was let go last; 0: none was."""
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        if self.load_ts:
            record = record.with_copy(self.instance, self.load_ts)
            record = record.with_ready(self.instance, self.load_ts) if self.is_ready else record
        elif self.load_ts == 0 and self.instance in record.copies:
            record = record.without_copy(self.instance)
            record = record.unloaded_at(self.unloaded_at) if self.unloaded_at else record
        if self.failed_at:
            record = record.with_failure(self.instance, self.failed_at, self.text, NEVER)
        elif self.failed_at == 0:
            record = record.without_failure(self.instance)
        return record.used_at(self.last_used)


def merged(intent: Intent, edit: Edit) -> Intent | None:
    """``intent`` with what ``edit`` states of the same instance's part, or of the last use; None: it states neither."""
    if isinstance(edit, Touch):
        return replace(intent, last_used=max(intent.last_used, edit.at))
    if getattr(edit, "instance", None) != intent.instance:
        return None
    match edit:
        case Accept(load_ts=load_ts, last_used=last_used):
            return _with_copy(intent, load_ts, False, last_used)
        case MarkReady(load_ts=load_ts):
            return _with_copy(intent, load_ts, True, 0)
        case MarkFailed(at=at, text=text, last_used=last_used):
            used = max(intent.last_used, last_used)
            return replace(intent, load_ts=0, is_ready=False, failed_at=at, text=text, last_used=used)
        case DropFailure(at=at):
            return replace(intent, failed_at=0, text="") if intent.failed_at in (None, at) else intent
        case Deregister(load_ts=load_ts, last_used=last_used, unloaded_at=unloaded_at):
            if intent.load_ts not in (None, load_ts):
                return intent  # of a copy that is gone from it already
            used, unloaded = max(intent.last_used, last_used), max(intent.unloaded_at, unloaded_at)
            return replace(intent, load_ts=0, is_ready=False, last_used=used, unloaded_at=unloaded)
        case _:
            return None


def _with_copy(intent: Intent, load_ts: int, is_ready: bool, last_used: int) -> Intent:
    used = max(intent.last_used, last_used)
    return replace(intent, load_ts=load_ts, is_ready=is_ready, failed_at=0, text="", last_used=used)
