"""What a cluster holds, as values that every backend returns and every output form shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The state of a model as a whole."""

    NOT_LOADED = "not_loaded"
    LOADING = "loading"
    LOADED = "loaded"
    LOADING_FAILED = "loading_failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a user says about a model: ``size_bytes`` 0 is "found out by loading it", ``load`` asks for a copy now."""

    name: str
    type: str
    path: str = ""
    key: str = ""
    size_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    load: bool = False
    min_copies: int = 0
    max_copies: int = 0
    pinned: bool = False
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another about a registered model; None: as it is."""

    min_copies: int | None = None
    max_copies: int | None = None
    pinned: bool | None = None
    priority: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is not None, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one Registration; ``error`` is empty when it is in the registry as asked."""

    name: str
    created: bool = False
    changed: bool = False
    status: Status = Status.NOT_LOADED
    code: str = "OK"
    error: str = ""


@dataclass(frozen=True, slots=True)
class Unregistered:
    """What became of one removal; a model that did not exist is no error."""

    name: str
    existed: bool = False
    code: str = "OK"
    error: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A model in an instance's memory, or on its way there since ``load_ts_ms``."""

    instance: str
    load_ts_ms: int
    state: Status


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that failed."""

    instance: str
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model; copies and failures are newest first."""

    name: str
    type: str
    status: Status
    path: str = ""
    key: str = ""
    size_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    min_copies: int = 0
    max_copies: int = 0
    pinned: bool = False
    priority: int = 5
    copies: tuple[Copy, ...] = ()
    failures: tuple[Failure, ...] = ()
    last_used_ms: int = 0
    references: int = 0
    auto_delete: bool = False
    revision: int = 0
    unsatisfied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models: all that is given has to hold."""

    type: str = ""
    status: Status | None = None
    instance: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    name_prefix: str = ""

    def has_passed(self, model: Model) -> bool:
        """Whether ``model`` is one of those asked for."""
        return (
            model.name.startswith(self.name_prefix)
            and (not self.type or model.type == self.type)
            and (self.status is None or model.status == self.status)
            and (not self.instance or any(copy.instance == self.instance for copy in model.copies))
            and all(model.labels.get(name) == value for name, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class InstanceNow:
    """What only an instance itself knows, as of when it was asked."""

    seen_revision: int = 0
    """It has been told of every change of the store up to this revision."""
    requests_per_minute: int = 0
    load_timeout_ms: int = 0
    store_away: bool = False
    leader: str = ""
    """As far as it knows; empty: nobody."""
    going_until_ms: int = 0
    """By when its copies are to be with others; 0: it is not on its way out."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as its record in the store shows it; ``grpc`` is where clients reach it."""

    id: str
    phase: str = ""
    grpc: str = ""
    address: str = ""
    http: str = ""
    version: str = ""
    data_plane: str = ""
    location: str = ""
    zone: str = ""
    labels: tuple[str, ...] = ()
    start_ms: int = 0
    lru_ms: int = 0
    models: int = 0
    capacity_bytes: int = 0
    lost_bytes: int = 0
    used_bytes: int = 0
    load_threads: int = 0
    loads_in_progress: int = 0
    rpm: int = 0
    is_java: bool = False
    cordoned: bool = False
    revision: int = 0
    """Of the last change of its record."""
    now: InstanceNow | None = None
    """None: it was not asked, or did not answer."""
    is_silent: bool = False
    """It was asked and did not answer."""

    @property
    def requests_per_minute(self) -> int:
        """As it says itself, else as its record says: that is thousandths of busy time where the runtime limits
        concurrency."""
        return self.rpm if self.now is None else self.now.requests_per_minute


@dataclass(frozen=True, slots=True)
class HeldCopy:
    """A model on one instance; ``state`` is one of new, queued, waiting, loading, sizing, active and failed."""

    model: str
    state: str
    load_ts_ms: int = 0
    size_bytes: int = 0
    last_used_ms: int = 0
    in_flight: int = 0
    queued: int = 0
    requests_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What an instance holds, the most used first; ``total`` copies of which these are some."""

    copies: tuple[HeldCopy, ...]
    total: int


class Taking(StrEnum):
    """What is to become of an instance."""

    DRAIN = "drain"
    CORDON = "cordon"
    UNCORDON = "uncordon"


@dataclass(frozen=True, slots=True)
class Drained:
    """How far an instance is that is taken out of the mesh; ``done`` in the last one."""

    instance: str
    phase: str = ""
    models: int = 0
    settled: int = 0
    in_flight: int = 0
    text: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """Who answers; what the store alone cannot tell is empty."""

    service: str
    store: str
    version: str = ""
    instance: str = ""
    data_plane: str = ""
    leader: str = ""
    revision: int = 0
    store_available: bool = True
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an instance, or (``dynamic``) of all; ``origin`` is default, environment, file or store."""

    name: str
    value: str = ""
    default: str = ""
    origin: str = ""
    """Empty: the store says nothing, so each instance goes by its own."""
    unit: str = ""
    meaning: str = ""
    dynamic: bool = False


class VModelStatus(StrEnum):
    """The state of a virtual model."""

    DEFINED = "defined"
    TRANSITIONING = "transitioning"
    TRANSITION_FAILED = "transition_failed"
    UNKNOWN = "unknown"
    """Its record cannot be read."""


@dataclass(frozen=True, slots=True)
class VModel:
    """A virtual model: the models that answer, with their shares in percent, and those that shall answer."""

    name: str
    status: VModelStatus
    targets: Mapping[str, int] = field(default_factory=dict)
    next: Mapping[str, int] = field(default_factory=dict)
    """Empty: the same."""
    shadow: str = ""
    """Sees a copy of each request."""
    owner: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class VModelChange:
    """What a user says about a virtual model."""

    name: str
    targets: Mapping[str, int]
    shadow: str | None = None
    """Empty: none; None: as it is."""
    owner: str = ""
    """Empty: as it is."""
    expected: str = ""
    """The heaviest target that it has to have, unless empty."""
    update_only: bool = False
    force: bool = False
    load: bool = False
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to: ``errors`` one text per instance that failed, newest first; ``code`` is a gRPC status."""

    name: str
    status: Status
    instances: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    code: str = "OK"
