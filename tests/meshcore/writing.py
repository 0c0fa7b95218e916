"""A writer of edits, with what it sent and what it told of."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.commands import Commit
from meshcore.edits import Accept, Prune
from meshcore.errors import MeshError
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.view import ClusterView
from meshcore.writer import Ended, Writer
from tests.builders import NOW

RETRY_MS = 1_000


@dataclass
class Store:
    """How the store is, as far as the instance knows."""

    is_away: bool = False
    refusal: str = ""

    @property
    def is_blind(self) -> bool:
        return self.is_away or bool(self.refusal)

    def took(self) -> None:
        self.refusal = ""


class Desk:
    """A writer, what it sent, and what it told of."""

    def __init__(self, **records: ModelRecord) -> None:
        self.view = ClusterView("a", NOW, Settings(), 0)
        for name, record in records.items():
            self.view.see_model(name, record.encode(), 5)
        self.sent: list[Commit] = []
        self.seen: list[str] = []
        self.ended: list[tuple[str, MeshError | None]] = []
        self.store = Store()
        self.writer = Writer("a", self.view, self.store, self.sent.append, self.seen.append, RETRY_MS)

    def told(self, name: str) -> Ended:
        return lambda error: self.ended.append((name, error))

    def stands(self, model: str) -> ModelRecord | None:
        return self.view.record(model)

    def written(self, at: int = -1) -> ModelRecord:
        value = self.sent[at].value
        assert value is not None
        return ModelRecord.decode(value)


def why(cause: str = "") -> Reason:
    return Reason(Rule.READY, "m", "a", cause)


def accept(load_ts: int = 9) -> Accept:
    return Accept("a", load_ts, 0, {}, lambda *_: True, lambda *_: False)


def prune(instance: str, is_gone: bool = True) -> Prune:
    return Prune(instance, lambda *_: is_gone)
