"""What an instance changes in a model's record: pure edits, applied again to whatever stands there.

An edit says what should hold, not what to write, so a conflict costs a second application and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from meshcore.errors import CopyGone, CopyNeeded, MeshError, UnknownModel
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

    Given up when a live copy appeared that the request did not know of, and with it there are as many others as there
    shall be copies: the request then chooses again. Ghosts go on the way: the record is written anyhow, and anyone may
    take them out.
    """

    instance: str
    load_ts: int
    last_used: int
    known: Mapping[str, int]
    """The copies that the request saw, live or not."""
    is_live: Callable[[str, int], bool]
    is_ghost: Callable[[str, int], bool]
    copies: int = 1
    """How many there shall be."""

    @property
    def if_absent(self) -> MeshError | None:
        return UnknownModel()

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        others = {i: ts for i, ts in record.copies.items() if i != self.instance and self.is_live(i, ts)}
        is_news = any(self.known.get(instance) != load_ts for instance, load_ts in others.items())
        if is_news and len(others) >= self.copies:
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
class DropFailure:
    """The failure of ``at`` is too old to count."""

    instance: str
    at: int
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        failure = record.failures.get(self.instance)
        if failure is None or failure.at != self.at:
            return record
        return record.without_failure(self.instance)


@dataclass(frozen=True, slots=True)
class Deregister:
    """The copy is not, or no longer, here (also used on somebody else's: a lost copy, D-01)."""

    instance: str
    load_ts: int
    last_used: int = 0
    unloaded_at: int = 0
    """When the copy, which answered requests, was let go; 0: it did not answer any."""
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        if record.copies.get(self.instance) != self.load_ts:
            return record
        without = record.without_copy(self.instance, self.load_ts).used_at(self.last_used)
        return without.unloaded_at(self.unloaded_at) if self.unloaded_at else without


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This instance's copy is one too many: it leaves the record first, and then the runtime.

    Given up when the copies are others than those that the decision was made by, or too few of them would be left that
    answer: two instances may decide this at once.
    """

    instance: str
    load_ts: int
    last_used: int
    at: int
    known: Mapping[str, int]
    """The copies as they were."""
    can_answer: Callable[[str, int], bool]
    """Whether a copy elsewhere that is ready can be reached and is there to stay."""
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        if record.copies != self.known:
            return CopyNeeded("other copies came or went meanwhile")
        left = [i for i, ts in record.copies.items() if i != self.instance and record.is_ready(i)]
        if sum(self.can_answer(i, record.copies[i]) for i in left) < max(1, record.min_copies):
            return CopyNeeded("too few other copies answer")
        without = record.without_copy(self.instance, self.load_ts)
        return without.used_at(self.last_used).unloaded_at(self.at)


@dataclass(frozen=True, slots=True)
class HandOver:
    """This instance goes, and others answer in place of its copy: the record stops naming it.

    Given up when fewer than ``least`` of them do by the time it is written.
    """

    instance: str
    load_ts: int
    last_used: int
    at: int
    least: int
    can_answer: Callable[[str, int], bool]
    """As for GiveUp."""
    if_absent: MeshError | None = None

    def apply(self, record: ModelRecord) -> ModelRecord | MeshError:
        if record.copies.get(self.instance) != self.load_ts:
            return record
        others = [i for i in record.copies if i != self.instance and record.is_ready(i)]
        if sum(self.can_answer(i, record.copies[i]) for i in others) < self.least:
            return CopyNeeded("too few other copies answer")
        without = record.without_copy(self.instance, self.load_ts)
        return without.used_at(self.last_used).unloaded_at(self.at)


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
