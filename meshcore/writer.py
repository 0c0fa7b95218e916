"""Edits of model records on their way to the store: one commit at a time per model, merged, repeated on conflict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from meshcore.commands import Commit
from meshcore.edits import Edit, GiveUp, Prune
from meshcore.errors import BadRecord, MeshError, StoreAway
from meshcore.intents import Intent, merged
from meshcore.reasons import Reason
from meshcore.records import ModelRecord
from meshcore.units import NEVER

Ended = Callable[[MeshError | None], None]
"""Called once per edit: None when it stands in the store (or was true already), or is kept for it; else why it was
given up."""

SLICE, PAUSE_MS = 100, 10
"""So many kept models at once are written when the store is back, and so long after them the next."""


class Records(Protocol):
    """The part of the cluster view that a writer needs."""

    def record(self, model: str) -> ModelRecord | None: ...
    def mod(self, model: str) -> int: ...
    def see_model(self, model: str, value: bytes | None, mod: int) -> bool: ...


class StoreState(Protocol):
    """The part of ``meshcore.outage`` that a writer needs."""

    is_away: bool
    refusal: str

    @property
    def is_blind(self) -> bool: ...
    def took(self) -> None: ...


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
        self, me: str, records: Records, store: StoreState, send: Callable[[Commit], None],
        seen: Callable[[str], None], retry_ms: int,
    ) -> None:  # fmt: skip
        self._me, self._records, self._store = me, records, store
        self._send, self._seen, self._retry_ms = send, seen, retry_ms
        self._lines: dict[str, _Line] = {}
        self._tickets: dict[int, str] = {}
        self._parked: dict[str, None] = {}
        """Models whose write the store did not take, each with one intent: as many as were touched here meanwhile."""
        self._retry_at = NEVER
        self._ticket = 0

    def __len__(self) -> int:
        """Models with an edit that has not ended."""
        return len(self._lines)

    def has_on_its_way(self, model: str, is_meant: Callable[[Edit], bool]) -> bool:
        """Whether an edit of the model that is meant has not ended."""
        line = self._lines.get(model)
        return line is not None and any(is_meant(queued.edit) for queued in line.queued)

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes of waiting for it: all is written, or nothing can be."""
        return not self._lines or (self._store.is_away and not self._tickets)

    def next_wake(self) -> int:
        """The instant at which writes that the store did not take are tried again."""
        return NEVER if self._store.is_away else self._retry_at

    def submit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None:
        """Bring ``edit`` about; it joins the next commit of its model, or what is kept while there can be none."""
        line = self._lines.setdefault(model, _Line())
        queued = _Queued(edit, why, ended)
        if not line.under_way and self._store.is_blind:
            self._keep(model, line, queued)
            return
        line.queued.append(queued)
        if not line.under_way and model not in self._parked:
            self._advance(model, line)

    def committed(self, ticket: int, mod: int) -> None:
        """The commit stands: its edits have ended."""
        model, line = self._answered(ticket)
        if self._store.refusal:
            self._store.took()
            self._retry_at = 0 if self._parked else NEVER
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
        """The store did not take it: to part with a copy is given up; what this instance states is kept and repeated,
        and a load goes on without being in the record."""
        model, line = self._answered(ticket)
        line.under_way = 0
        given_up = line.take_out(GiveUp)
        ended = self._merge(line)
        if self._store.is_blind:  # what is somebody else's to say is found out again
            ended += [queued for queued in line.queued if not isinstance(queued.edit, Intent)]
            line.queued = [queued for queued in line.queued if isinstance(queued.edit, Intent)]
        self._park(model, line)
        self._retry_at = min(self._retry_at, now + self._retry_ms)
        for queued in given_up:
            _end(queued, StoreAway(text))
        for queued in ended:
            _end(queued, None)

    def retry(self, now: int) -> None:
        """Try again what the store did not take, if it is time: some at a time, one if it will most likely refuse."""
        if now < self.next_wake():
            return
        is_refusing = bool(self._store.refusal)
        self._retry_at = NEVER
        for model in list(islice(self._parked, 1 if is_refusing else SLICE)):
            del self._parked[model]
            self._advance(model, self._lines[model])
        if is_refusing and not self._parked and not self._tickets:
            self._store.took()  # nothing is left that it could refuse
        elif self._parked:
            self._retry_at = now + (self._retry_ms if is_refusing else PAUSE_MS)

    def go_on(self, now: int) -> None:
        """The store is back."""
        self._retry_at = now if self._parked else NEVER

    def _keep(self, model: str, line: _Line, queued: _Queued) -> None:
        """Have what is kept for a model say what ``queued`` states; what it does not state is not brought about."""
        line.queued.append(queued)
        is_kept = bool(self._merge(line))
        if not is_kept:
            line.queued.pop()
        self._park(model, line)
        if self._retry_at == NEVER and not self._tickets:
            self._retry_at = 0  # what it says now is told, or shows that nothing is taken yet
        _end(queued, StoreAway("the store is away") if isinstance(queued.edit, GiveUp) else None)

    def _merge(self, line: _Line) -> list[_Queued]:
        """Make one intent of what this instance states in a line; what it is made of, but for former intents."""
        intent, why, made_of, rest = Intent(self._me), None, list[_Queued](), list[_Queued]()
        for queued in line.queued:
            if isinstance(queued.edit, Intent):
                intent, why = queued.edit, queued.why
            elif (more := merged(intent, queued.edit)) is not None:
                intent, why = more, queued.why
                made_of.append(queued)
            else:
                rest.append(queued)
        if why is not None:
            rest.insert(0, _Queued(intent, why, None))
        line.queued = rest
        return made_of

    def _park(self, model: str, line: _Line) -> None:
        if line.queued:
            self._parked[model] = None
        else:
            self._drop(model, line)

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
