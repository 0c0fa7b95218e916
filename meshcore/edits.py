"""What an instance changes in a model's record: pure edits, applied again to whatever stands there.

An edit says what should hold, not what to write, so a conflict costs a second application and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from meshcore.errors import CopyGone, MeshError, UnknownModel
from meshcore.records import ModelRecord


class Edit(Protocol):
    """One change to a record that exists (an edit of an absent record is answered by ``if_absent``)."""

    @property
    def if_absent(self) -> MeshError | None:
        """The edit's end when there is no record: an error, or None where that is as good as done."""

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        """The record as it should be (itself: nothing to do), or why the edit is given up."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Name this instance's copy before it loads: the cluster-wide single flight of loads of one model.

    Given up when a live copy appeared that the request did not know of: it then chooses again. Ghosts go on the way:
    the record is written anyhow, and anyone may take them out.
    """

    instance: str
    load_ts: int
    last_used: int
    known: Mapping[str, int]
    """The copies that the request saw, live or not."""
    is_live: Callable[[str, int], bool]
    is_ghost: Callable[[str, int], bool]

    @property
    def if_absent(self) -> MeshError | None:
        return UnknownModel()

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        for instance, load_ts in record.copies.items():
            is_news = self.known.get(instance) != load_ts and instance != self.instance
            if is_news and self.is_live(instance, load_ts):
                return CopyGone("another instance is loading the model")
        fresh = record.without_failure(self.instance).with_copy(self.instance, self.load_ts)
        for instance, load_ts in record.copies.items():
            if instance != self.instance and self.is_ghost(instance, load_ts):
                fresh = fresh.without_copy(instance, load_ts)
        return fresh.used_at(self.last_used)


@dataclass(frozen=True, slots=True)
class MarkReady:
    """The copy answers requests."""

    instance: str
    load_ts: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        return record.with_copy(self.instance, self.load_ts).with_ready(self.instance, self.load_ts)


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """The load failed: others see why, and that this instance is no place for the model now."""

    instance: str
    load_ts: int
    at: int
    text: str
    last_used: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        return record.with_failure(self.instance, self.at, self.text, self.load_ts).used_at(self.last_used)


@dataclass(frozen=True, slots=True)
class Deregister:
    """The copy is not, or no longer, here (also used on somebody else's: a lost copy, D-01)."""

    instance: str
    load_ts: int
    last_used: int = 0
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        if record.copies.get(self.instance) != self.load_ts:
            return record
        return record.without_copy(self.instance, self.load_ts).used_at(self.last_used)


@dataclass(frozen=True, slots=True)
class Prune:
    """Whatever the record says of an instance that is gone goes, where ``is_gone`` (instance, instant) says so.

    It is asked again whenever the edit is applied, and the write itself is made only while the instance has no record.
    """

    instance: str
    is_gone: Callable[[str, int], bool]
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        load_ts, failure = record.copies.get(self.instance), record.failures.get(self.instance)
        if load_ts is not None and self.is_gone(self.instance, load_ts):
            record = record.without_copy(self.instance, load_ts)
        if failure is not None and self.is_gone(self.instance, failure.at):
            record = record.without_failure(self.instance)
        return record


@dataclass(frozen=True, slots=True)
class Forgive:
    """The failure of ``at`` no longer says anything."""

    instance: str
    at: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        failure = record.failures.get(self.instance)
        return record.without_failure(self.instance) if failure is not None and failure.at == self.at else record


@dataclass(frozen=True, slots=True)
class Touch:
    """The model was last used at ``at``, or later."""

    at: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        return record.used_at(self.at)


@dataclass(frozen=True, slots=True)
class Rewind:
    """A last use later than ``above`` cannot be: ``at`` takes its place (D-22)."""

    above: int
    at: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        return replace(record, last_used=self.at) if record.last_used > self.above else record
