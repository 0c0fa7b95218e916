"""Edits of model records on their way to the store: one commit at a time per model, merged, repeated on conflict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from meshcore.commands import Commit
from meshcore.edits import Accept, Edit, GiveUp, Prune
from meshcore.errors import BadRecord, MeshError, StoreAway
from meshcore.reasons import Reason
from meshcore.records import ModelRecord
from meshcore.units import NEVER

Ended = Callable[[MeshError | None], None]
"""Called once per edit: None when it stands in the store (or was true already), or why it was given up."""


class Records(Protocol):
    """The part of the cluster view that a writer needs."""

    def record(self, model: str) -> ModelRecord | None: ...
    def mod(self, model: str) -> int: ...
    def see_model(self, model: str, value: bytes | None, mod: int) -> bool: ...


@dataclass(slots=True)
class _Queued:
    edit: Edit
    why: Reason
    ended: Ended | None


@dataclass(slots=True)
class _Line:
    """The edits of one model; the first ``under_way`` of them are in the commit with ``value``."""

    queued: list[_Queued] = field(default_factory=list)
    under_way: int = 0
    value: bytes = b""
    expect: int = 0

    def take_out(self, *kinds: type[Edit]) -> list[_Queued]:
        """The edits of those kinds, which are not in the line any more."""
        taken = [queued for queued in self.queued if isinstance(queued.edit, kinds)]
        self.queued = [queued for queued in self.queued if not isinstance(queued.edit, kinds)]
        return taken


class Writer:
    """Turns edits into Commit commands for ``send``; a model waits in line only behind itself.

    ``seen`` is called with a model whose record moved on through an answer to a commit.
    """

    NOT_STATE = frozenset({"_retry_ms"})  # a setting

    def __init__(
        self, records: Records, send: Callable[[Commit], None], seen: Callable[[str], None], retry_ms: int
    ) -> None:
        self._records, self._send, self._seen, self._retry_ms = records, send, seen, retry_ms
        self._lines: dict[str, _Line] = {}
        self._tickets: dict[int, str] = {}
        self._parked: dict[str, None] = {}  # models whose write the store did not take
        self._retry_at = NEVER
        self._ticket = 0

    def __len__(self) -> int:
        """Models with an edit that has not ended."""
        return len(self._lines)

    def has_on_its_way(self, model: str, is_meant: Callable[[Edit], bool]) -> bool:
        """Whether an edit of the model that is meant has not ended."""
        line = self._lines.get(model)
        return line is not None and any(is_meant(queued.edit) for queued in line.queued)

    def next_wake(self) -> int:
        """The instant at which writes that the store did not take are tried again."""
        return self._retry_at

    def submit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None:
        """Bring ``edit`` about; it joins the next commit of its model."""
        line = self._lines.setdefault(model, _Line())
        line.queued.append(_Queued(edit, why, ended))
        if not line.under_way and model not in self._parked:
            self._advance(model, line)

    def committed(self, ticket: int, mod: int) -> None:
        """The commit stands: its edits have ended."""
        model, line = self._answered(ticket)
        self._records.see_model(model, line.value, mod)
        done, line.queued = line.queued[: line.under_way], line.queued[line.under_way :]
        line.under_way = 0
        self._seen(model)
        for queued in done:
            _end(queued, None)
        self._advance(model, line)

    def conflicted(self, ticket: int, value: bytes | None, mod: int) -> None:
        """Somebody else wrote: the edits are applied to what stands there now.

        Nobody did, and an instance that was to be gone is there: nothing is taken off for it.
        """
        model, line = self._answered(ticket)
        self._records.see_model(model, value, mod)
        line.under_way = 0
        given_up = line.take_out(Prune) if value is not None and mod == line.expect else []
        self._seen(model)
        for queued in given_up:
            _end(queued, None)
        self._advance(model, line)

    def failed(self, ticket: int, text: str, now: int) -> None:
        """The store did not take it: a load, or to part with a copy, is given up; what only states a fact waits and is
        repeated."""
        model, line = self._answered(ticket)
        line.under_way = 0
        given_up = line.take_out(Accept, GiveUp)
        self._parked[model] = None
        self._retry_at = min(self._retry_at, now + self._retry_ms)
        for queued in given_up:
            _end(queued, StoreAway(text))
        if not line.queued:
            del self._parked[model]
            self._drop(model, line)

    def retry(self, now: int) -> None:
        """Try again what the store did not take, if it is time."""
        if now < self._retry_at:
            return
        parked, self._parked, self._retry_at = self._parked, {}, NEVER
        for model in parked:
            if line := self._lines.get(model):  # an edit that ended just now may have brought it on already
                self._advance(model, line)

    def _answered(self, ticket: int) -> tuple[str, _Line]:
        model = self._tickets.pop(ticket)
        return model, self._lines[model]

    def _advance(self, model: str, line: _Line) -> None:
        """Send the next commit of ``model``, or end what needs none."""
        while line.queued and not line.under_way:
            try:
                record = self._records.record(model)
            except BadRecord as unreadable:  # never overwritten
                ended, line.queued = line.queued, []
                for queued in ended:
                    _end(queued, unreadable)
                break
            self._apply(model, line, record)
        if not line.queued:
            self._drop(model, line)

    def _drop(self, model: str, line: _Line) -> None:
        """Forget an empty line; who was told of an ended edit may have begun another meanwhile."""
        if self._lines.get(model) is line:
            del self._lines[model]

    def _apply(self, model: str, line: _Line, record: ModelRecord | None) -> None:
        wanted, kept = record, []
        ended: list[tuple[_Queued, MeshError | None]] = []
        for queued in line.queued:
            after = queued.edit.if_absent if wanted is None else queued.edit.apply(wanted)
            if isinstance(queued.edit, Prune) and after is wanted:
                ended.append((queued, None))  # it sets a condition, and nothing is to be had for it
            elif isinstance(after, ModelRecord):
                wanted = after
                kept.append(queued)
            else:
                ended.append((queued, after))
        line.queued = kept
        if wanted is None or wanted == record:  # nothing to write
            ended += [(queued, None) for queued in kept]
            line.queued = []
        else:
            line.value, line.under_way = wanted.encode(), len(kept)
            self._ticket += 1
            self._tickets[self._ticket] = model
            line.expect = self._records.mod(model)
            gone = tuple(dict.fromkeys(queued.edit.instance for queued in kept if isinstance(queued.edit, Prune)))
            self._send(Commit(self._ticket, model, line.expect, line.value, kept[0].why, gone))
        for queued, error in ended:
            _end(queued, error)


def _end(queued: _Queued, error: MeshError | None) -> None:
    if queued.ended is not None:
        queued.ended(error)
