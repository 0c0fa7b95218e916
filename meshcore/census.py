"""How many models are in which state, and with which of them something is wrong, counted over all registrations.

Most registrations name neither copies nor failures nor a least number of copies: of these only the number matters,
which is told without reading them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest

from meshcore.errors import BadRecord
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.units import age_ms
from meshcore.view import COPIES_MARK, FAILURES_MARK, MINIMUM_MARK

EXAMPLES = 5
"""So many of each kind are named."""


def is_plain(registration: bytes) -> bool:
    """Whether it names none of these, told without reading it; what cannot be read may be plain, too."""
    return COPIES_MARK not in registration and FAILURES_MARK not in registration and MINIMUM_MARK not in registration


@dataclass(frozen=True, slots=True)
class FailedModel:
    """A model without a copy whose load failed lately on an instance that is there, and its newest such failure."""

    model: str
    instance: str
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class StuckLoad:
    """A copy that is loading for longer than a load may take."""

    model: str
    instance: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class ShortModel:
    """A model with fewer copies, loaded or loading, than it is to have at least."""

    model: str
    copies: int
    min_copies: int


@dataclass(frozen=True, slots=True)
class Counted:
    """All of it at one moment. ``loaded``, ``loading``, ``failed`` are apart: who has a loaded copy is loaded.

    ``gone`` are instances that records name and that are not there, with the number of models.
    """

    registered: int = 0
    loaded: int = 0
    loading: int = 0
    failed: int = 0
    unreadable: int = 0
    stuck: int = 0
    short: int = 0
    copies: int = 0
    failed_models: tuple[FailedModel, ...] = ()
    """The newest failures."""
    stuck_loads: tuple[StuckLoad, ...] = ()
    """The longest."""
    short_models: tuple[ShortModel, ...] = ()
    gone: tuple[tuple[str, int], ...] = ()
    revision: int = 0
    """Of the newest registration."""
    at_ms: int = 0


class Count:
    """One count under way: every registration is added once, then it is ``done``."""

    def __init__(
        self, instances: Mapping[str, InstanceRecord], now: int, load_timeout_ms: int, failure_expiry_ms: int
    ) -> None:
        """Java pods are among ``instances``: what they hold does not count."""
        self._instances, self._now = instances, now
        self._load_timeout_ms, self._failure_expiry_ms = load_timeout_ms, failure_expiry_ms
        self._tally: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()
        self._revision = 0
        self._failed: list[FailedModel] = []
        self._stuck: list[StuckLoad] = []
        self._short: list[ShortModel] = []

    def add(self, model: str, value: bytes, revision: int) -> None:
        """Count one registration as the store has it since ``revision``."""
        self.add_revision(revision)
        if is_plain(value):
            self.add_plain(1)
            return
        try:
            self.add_record(model, ModelRecord.decode(value, model))
        except BadRecord:
            self.add_unreadable(1)

    def add_revision(self, revision: int) -> None:
        """Some registration was written then."""
        self._revision = max(self._revision, revision)

    def add_plain(self, number: int) -> None:
        """Count so many registrations that name neither copies nor failures nor a least number of copies."""
        self._tally["registered"] += number

    def add_unreadable(self, number: int) -> None:
        """Count so many that cannot be read."""
        self._tally["registered"] += number
        self._tally["unreadable"] += number

    def add_record(self, model: str, record: ModelRecord) -> None:
        """Count one registration."""
        ready = loading = 0
        for name, load_ts in record.copies.items():
            instance = self._instances.get(name)
            if instance is None:
                self._gone[name] += 1
            elif not instance.is_ours or load_ts < instance.start_ms:
                continue
            elif record.is_ready(name):
                ready += 1
            else:
                loading += 1
                if age_ms(load_ts, self._now) > self._load_timeout_ms:
                    self._stuck.append(StuckLoad(model, name, load_ts))
        self._tally["registered"] += 1
        self._tally["copies"] += ready + loading
        if ready or loading:
            self._tally["loaded" if ready else "loading"] += 1
        elif newest := self._newest_failure(model, record):
            self._failed.append(newest)
        if ready + loading < record.min_copies:
            self._short.append(ShortModel(model, ready + loading, record.min_copies))

    def done(self) -> Counted:
        """What was counted."""
        tally, failed, stuck, short = self._tally, self._failed, self._stuck, self._short
        return Counted(
            registered=tally["registered"], loaded=tally["loaded"], loading=tally["loading"], failed=len(failed),
            unreadable=tally["unreadable"], stuck=len(stuck), short=len(short), copies=tally["copies"],
            failed_models=tuple(nsmallest(EXAMPLES, failed, key=lambda each: (-each.at_ms, each.model))),
            stuck_loads=tuple(nsmallest(EXAMPLES, stuck, key=lambda each: (each.since_ms, each.model))),
            short_models=tuple(nsmallest(EXAMPLES, short, key=lambda each: each.model)),
            gone=tuple(nsmallest(EXAMPLES, self._gone.items(), key=lambda each: (-each[1], each[0]))),
            revision=self._revision, at_ms=self._now,
        )  # fmt: skip

    def _newest_failure(self, model: str, record: ModelRecord) -> FailedModel | None:
        """What failed on an instance that is gone says nothing about those that are there, as after a rollback."""
        recent = [
            (failure.at, name)
            for name, failure in record.failures.items()
            if name in self._instances and age_ms(failure.at, self._now) < self._failure_expiry_ms
        ]
        if not recent:
            return None
        at, name = max(recent)
        return FailedModel(model, name, at, record.failures[name].text)


class Census:
    """Registrations as they change: those that count for more than one are kept read, so a count costs these alone."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._kept: dict[str, ModelRecord] = {}
        self._bad: set[str] = set()
        self._revision = 0

    def see(self, model: str, value: bytes | None, revision: int) -> None:
        """The registration of ``model`` is this one since ``revision``; None: there is none any more."""
        self._revision = max(self._revision, revision)
        self._plain.discard(model)
        self._bad.discard(model)
        self._kept.pop(model, None)
        if value is None:
            return
        if is_plain(value):
            self._plain.add(model)
            return
        try:
            self._kept[model] = ModelRecord.decode(value, model)
        except BadRecord:
            self._bad.add(model)

    def into(self, count: Count) -> Counted:
        """The count with all of them."""
        count.add_revision(self._revision)
        count.add_plain(len(self._plain))
        count.add_unreadable(len(self._bad))
        for model, record in self._kept.items():
            count.add_record(model, record)
        return count.done()
