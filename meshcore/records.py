"""The records in the store: models and instances, as upstream writes them and with what is ours.

The layout is that of docs/design.md, store: upstream's attributes and names, ours in one nested object ``meshd``,
defaults left out, attributes nobody here knows kept as they came. All instants are epoch ms, sizes are cache units
unless a name ends in ``_bytes``. Mappings belong to the record: read them, never change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from meshcore.attributes import INT32, INT64, Attributes, by_key, encode, without_defaults
from meshcore.units import NEVER, UNIT_BYTES

_Value = TypeVar("_Value")

DEFAULT_TYPE = "NLCLASSIFIER"
"""The type of a model whose record names none: so old that there was only one."""

DEFAULT_PRIORITY = 5

HIGHEST_PRIORITY = 9

MOST_COUNTED = INT32 - 1
FEW_COPIES = 2
"""Of anything that a record counts."""

MOST_UNITS = (INT64 - 1) // UNIT_BYTES
"""Cache units whose bytes can still be told."""

PROTOCOL_VERSION = 1
"""The version of what instances say to each other."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that failed: when, and the text that clients are shown."""

    at: int
    text: str
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One registered model: what it is and where its copies are.

    ``copies`` names each instance from the moment it accepts a load, with the instant that load began; a copy answers
    requests once ``ready`` has the same instant.
    """

    type: str
    path: str = ""
    key: str = ""
    auto_delete: bool = False
    copies: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    references: int = 0
    last_used: int = 0
    last_unload: int = 0
    size_bytes: int = 0
    min_copies: int = 0
    max_copies: int = 0
    is_pinned: bool = False
    priority: int = DEFAULT_PRIORITY
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    extra_meshd: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def decode(cls, value: bytes, key: str = "") -> ModelRecord:
        """The record in ``value``; raises BadRecord, which names ``key`` and what is wrong."""
        read = Attributes.parse(value, key)
        ours = read.inner("meshd")
        failed_at, texts = read.numbers("failedIn"), read.inner("fails")
        copies = read.numbers("instanceIds")
        return cls(
            type=read.text("type") or DEFAULT_TYPE,
            path=read.text("mPath"),
            key=read.text("encKey"),
            auto_delete=read.flag("autoDel"),
            copies=copies,
            failures={instance: _failure(at, texts.inner(instance)) for instance, at in failed_at.items()},
            references=read.natural("refs", MOST_COUNTED),
            last_used=read.number("lu"),
            last_unload=read.number("lul"),
            size_bytes=ours.natural("size"),
            min_copies=ours.natural("min", MOST_COUNTED),
            max_copies=ours.natural("max", MOST_COUNTED),
            is_pinned=ours.flag("pin"),
            priority=ours.natural("prio", HIGHEST_PRIORITY, DEFAULT_PRIORITY),
            labels=ours.strings("labels"),
            # A Java instance that takes a copy of ours off the record knows nothing of what we said about it.
            ready={i: load_ts for i, load_ts in ours.numbers("ready").items() if copies.get(i) == load_ts},
            extra=read.rest(),
            extra_meshd=ours.rest(),
        )

    def encode(self) -> bytes:
        """The record as JSON, upstream's attributes first and in its order."""
        ours = without_defaults(
            {
                "size": self.size_bytes,
                "min": self.min_copies,
                "max": self.max_copies,
                "pin": self.is_pinned,
                "labels": by_key(self.labels),
                "ready": by_key(self.ready),
            }
        )
        ours.update(self.extra_meshd)
        if self.priority != DEFAULT_PRIORITY:  # of which 0 is not the default
            ours["prio"] = self.priority
        failures = sorted(self.failures.items())
        theirs = {
            "type": self.type,
            "encKey": self.key,
            "mPath": self.path,
            "autoDel": self.auto_delete,
            "instanceIds": by_key(self.copies),
            "failedIn": {instance: failure.at for instance, failure in failures},
            "fails": {
                instance: {**without_defaults({"msg": failure.text}), **failure.extra}
                for instance, failure in failures
                if failure.text or failure.extra
            },
            "refs": self.references,
            "lu": self.last_used,
            "lul": self.last_unload,
        }
        return encode({**without_defaults(theirs), **self.extra, **without_defaults({"meshd": ours})})

    def is_ready(self, instance: str) -> bool:
        """Whether the copy on ``instance`` answers requests."""
        return instance in self.copies and self.ready.get(instance) == self.copies[instance]

    def with_copy(self, instance: str, load_ts: int) -> ModelRecord:
        """``instance`` loads the model since ``load_ts``: an older copy's or failure's traces there are gone."""
        if self.copies.get(instance) == load_ts and instance not in self.failures:
            return self
        return replace(
            self,
            copies={**self.copies, instance: load_ts},
            failures=_without(self.failures, instance),
            ready=self.ready if self.ready.get(instance) == load_ts else _without(self.ready, instance),
        )

    def without_copy(self, instance: str, load_ts: int | None = None) -> ModelRecord:
        """No copy on ``instance``, if it is the one that began to load at ``load_ts`` (None: whichever)."""
        if instance not in self.copies or load_ts not in (None, self.copies[instance]):
            return self
        return replace(self, copies=_without(self.copies, instance), ready=_without(self.ready, instance))

    def with_ready(self, instance: str, load_ts: int) -> ModelRecord:
        """The copy that began to load at ``load_ts`` answers requests, if it is still the one on record."""
        if self.copies.get(instance) != load_ts or self.is_ready(instance):
            return self
        return replace(self, ready={**self.ready, instance: load_ts})

    def with_failure(self, instance: str, at: int, text: str, load_ts: int) -> ModelRecord:
        """The load on ``instance`` that began at ``load_ts`` failed.

        A load that began there later is newer news: the record stays as it is, for an instance is never named both as
        a holder and as failed.
        """
        failure = Failure(at, text)
        if instance in self.copies:
            if self.copies[instance] > load_ts:
                return self
        elif self.failures.get(instance) == failure:
            return self
        cleared = self.without_copy(instance)
        return replace(cleared, failures={**self.failures, instance: failure})

    def without_failure(self, instance: str) -> ModelRecord:
        """No failure on record for ``instance``."""
        if instance not in self.failures:
            return self
        return replace(self, failures=_without(self.failures, instance))

    def unloaded_at(self, at: int) -> ModelRecord:
        """A copy was let go at the instant ``at``, which only counts where many are left."""
        last_unload = at if len(self.copies) > FEW_COPIES else 0
        return self if last_unload == self.last_unload else replace(self, last_unload=last_unload)

    def used_at(self, at: int) -> ModelRecord:
        """Used at the instant ``at``; an earlier one than the last changes nothing."""
        return replace(self, last_used=at) if at > self.last_used else self


def _failure(at: int, said: Attributes) -> Failure:
    return Failure(at, said.text("msg"), said.rest())


def _without(values: Mapping[str, _Value], name: str) -> Mapping[str, _Value]:
    return {other: value for other, value in values.items() if other != name}


class Phase(StrEnum):
    """Where an instance is in its life; a text in its record, for newer instances may know more phases."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance as it describes itself, under its lease."""

    start_ms: int = 0
    version: int = 0
    location: str = ""
    zone: str = ""
    labels: tuple[str, ...] = ()
    is_actionable: bool = True
    """Always so in a record that an instance wrote; upstream's own marker."""
    lru_ms: int = NEVER
    """When the least recently used model here was used; NEVER: the cache is empty."""
    count: int = 0
    capacity_units: int = 0
    """What models may use, memory that is being given back left out."""
    used_units: int = 0
    load_threads: int = 0
    loads_in_progress: int = 0
    rpm: int = 0
    is_shutting_down: bool = False
    protocol_version: int = PROTOCOL_VERSION
    address: str = ""
    """The mesh port as host:port; empty: the record of a Java instance."""
    grpc: str = ""
    http: str = ""
    replica_set: str = ""
    phase: str = ""
    data_plane: str = ""
    build: str = ""
    accepted: int = 0
    """How many loads it accepted since it started."""
    min_space_units: int = 0
    """Full when less than this is free; 0: it does not say."""
    lost_units: int = 0
    """What is missing of its capacity because unloads failed."""
    is_cordoned: bool = False
    """It takes no loads for now, and stays."""
    extra: Mapping[str, object] = field(default_factory=dict)
    extra_meshd: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def decode(cls, value: bytes, key: str = "") -> InstanceRecord:
        """The record in ``value``; raises BadRecord, which names ``key`` and what is wrong."""
        read = Attributes.parse(value, key)
        ours = read.inner("meshd")
        return cls(
            start_ms=read.number("startTime"),
            version=read.number("vers"),
            location=read.text("loc"),
            zone=read.text("zone"),
            labels=read.texts("labels"),
            is_actionable=read.flag("actionable"),
            lru_ms=read.number("lruTime"),
            count=read.natural("count", MOST_COUNTED),
            capacity_units=read.natural("cap", MOST_UNITS),
            used_units=read.natural("used", MOST_UNITS),
            load_threads=read.natural("lThreads", MOST_COUNTED),
            loads_in_progress=read.natural("lInProg", MOST_COUNTED),
            rpm=read.natural("rpm"),
            is_shutting_down=read.flag("shutdown"),
            protocol_version=ours.number("v", PROTOCOL_VERSION),
            address=ours.text("addr"),
            grpc=ours.text("grpc"),
            http=ours.text("http"),
            replica_set=ours.text("rs"),
            phase=ours.text("phase"),
            data_plane=ours.text("dp"),
            build=ours.text("ver"),
            accepted=ours.natural("acc"),
            min_space_units=ours.natural("min_space", MOST_UNITS),
            lost_units=ours.natural("lost", MOST_UNITS),
            is_cordoned=ours.flag("cordoned"),
            extra=read.rest(),
            extra_meshd=ours.rest(),
        )

    def encode(self) -> bytes:
        """The record as JSON, upstream's attributes first and in its order."""
        ours = {
            "addr": self.address,
            "grpc": self.grpc,
            "http": self.http,
            "rs": self.replica_set,
            "phase": self.phase,
            "dp": self.data_plane,
            "ver": self.build,
            "acc": self.accepted,
            "min_space": self.min_space_units,
            "lost": self.lost_units,
            "cordoned": self.is_cordoned,
        }
        ours = {**without_defaults(ours), **self.extra_meshd}
        if ours or self.protocol_version != PROTOCOL_VERSION:  # said by all who speak it at all
            ours = {"v": self.protocol_version, **ours}
        theirs = {
            "startTime": self.start_ms,
            "vers": self.version,
            "loc": self.location,
            "zone": self.zone,
            "labels": sorted(self.labels),
            "actionable": self.is_actionable,
            "lruTime": self.lru_ms,
            "count": self.count,
            "cap": self.capacity_units,
            "used": self.used_units,
            "lThreads": self.load_threads,
            "lInProg": self.loads_in_progress,
            "rpm": self.rpm,
            "shutdown": self.is_shutting_down,
        }
        return encode({**without_defaults(theirs), **self.extra, **without_defaults({"meshd": ours})})

    @property
    def free_units(self) -> int:
        return max(0, self.capacity_units - self.used_units)

    @property
    def is_ours(self) -> bool:
        """Whether it can be a target or a holder: a Java instance in the same cluster cannot."""
        return bool(self.address)

    @property
    def is_full(self) -> bool:
        """By its own measure of what a next model needs (D-08)."""
        return self.free_units < self.min_space_units
