"""What the core is told: events, all past participles.

``gen`` numbers the incarnations of copies on one instance: an answer for an older one is recognised and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from meshcore.capacity import CacheParams
from meshcore.constraints import TypeConstraint


@dataclass(frozen=True, slots=True)
class Seen:
    """One key as the store has it: its id without the prefix, its value (None: deleted), its revision."""

    id: str
    value: bytes | None
    mod: int


@dataclass(frozen=True, slots=True)
class RegistrySeen:
    """Models as of ``revision``: all of them (``is_whole``), or what changed."""

    revision: int
    models: tuple[Seen, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class VModelsSeen:
    """Virtual models as of ``revision``: all of them (``is_whole``), or what changed."""

    revision: int
    vmodels: tuple[Seen, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class InstancesSeen:
    """Instances as of ``revision``: all of them (``is_whole``), or what changed."""

    revision: int
    instances: tuple[Seen, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Constrained:
    """Which labels models require or prefer of an instance from now on, by type; empty: none."""

    constraints: Mapping[str, TypeConstraint]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Answer to Predict; ``size_bytes`` 0: the runtime cannot tell."""

    model: str
    gen: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """Answer to Load; ``size_bytes`` 0: not known yet."""

    model: str
    gen: int
    size_bytes: int = 0
    max_concurrency: int = 0


class Failing(StrEnum):
    """How a load failed."""

    ERROR = "error"  # the runtime said so
    LATE = "late"  # it took too long
    LOST = "lost"  # UNAVAILABLE: the runtime said so, or it is not there any more


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Answer to Load."""

    model: str
    gen: int
    text: str
    how: Failing = Failing.ERROR


@dataclass(frozen=True, slots=True)
class Measured:
    """Answer to Measure; ``size_bytes`` 0: the runtime cannot tell."""

    model: str
    gen: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Answer to Withdraw: nothing is under way on the copy any more, or its time is over."""

    model: str
    gen: int


@dataclass(frozen=True, slots=True)
class Unloaded:
    """Answer to Unload."""

    model: str
    gen: int


@dataclass(frozen=True, slots=True)
class UnloadFailed:
    """Answer to Unload."""

    model: str
    gen: int
    text: str


@dataclass(frozen=True, slots=True)
class RuntimeSuspected:
    """The connection to the runtime ended."""

    text: str


class Finding(StrEnum):
    """What is to be seen where the runtime listens."""

    OPEN = "open"  # somebody takes connections
    REFUSED = "refused"  # nobody does
    REPLACED = "replaced"  # another socket stands there than at the handshake
    SILENT = "silent"  # neither can be told


@dataclass(frozen=True, slots=True)
class RuntimeProbed:
    """Answer to Probe."""

    question: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class RuntimeBack:
    """Answer to Greet: the runtime is ready, empty, and says this of itself."""

    params: CacheParams


@dataclass(frozen=True, slots=True)
class Committed:
    """Answer to Commit: the value stands in the store at revision ``mod``."""

    ticket: int
    mod: int


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Answer to Commit: somebody else wrote; ``value`` (None: absent) stands at ``mod``."""

    ticket: int
    value: bytes | None
    mod: int


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """Answer to Commit: the store did not take it, as far as is known; it may have been written all the same.

    ``is_refused``: the store answers, and takes no writes at all.
    """

    ticket: int
    text: str
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """Answer to Publish."""

    seq: int


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """Answer to Publish."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the plane counted for one copy here since it was last asked."""

    model: str
    count: int
    last_used: int
    in_flight: int = 0
    ended: int = 0
    """Requests that the runtime has answered."""
    service_us: int = 0
    """How long it worked on those, in microseconds, all added up."""
    queued: int = 0
    """Requests that wait for their turn."""


@dataclass(frozen=True, slots=True)
class Used:
    """Requests that the plane served by itself."""

    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Reached:
    """A peer on trial answered a request that the plane passed on by itself."""

    instance: str


@dataclass(frozen=True, slots=True)
class SessionRenewed:
    """The lease was lost and there is a new one: this instance's record is gone."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Somebody set numbers for all instances: ``values`` are all that are set, by field of Settings; the others are
    as this instance was given them."""

    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LeaderSeen:
    """This instance leads, as far as the store tells; empty: none does, or it cannot be told."""

    instance: str


@dataclass(frozen=True, slots=True)
class StoreLost:
    """The store is away: it answers nothing, or cannot be followed, and what is known grows old."""


@dataclass(frozen=True, slots=True)
class StoreFound:
    """The store answers and can be followed again; who lost it too may not have told so yet."""


@dataclass(frozen=True, slots=True)
class Started:
    """This instance has all that it is to have before clients come: what they are to find loaded, and a port."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """The instant that ``next_wake`` named has come."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """This instance is to go: no new loads from now on, and others take over its copies."""

    budget_ms: int = 0
    """How long it may wait for that; 0: nothing is handed over."""


@dataclass(frozen=True, slots=True)
class RuntimeLeaving:
    """The runtime is to be replaced and this instance is not: others take over its copies until then."""

    budget_ms: int
    """How long it waits for that."""


@dataclass(frozen=True, slots=True)
class Cordoned:
    """Somebody wants this instance to load nothing more for now, or lets it again; it answers for what it has."""

    is_cordoned: bool


@dataclass(frozen=True, slots=True)
class Idled:
    """Nothing is in flight any more, or the time for it is over: deregister."""


Event = (
    RegistrySeen | VModelsSeen | InstancesSeen | Constrained | Predicted | Loaded | LoadFailed | Measured | Drained
    | Unloaded | UnloadFailed | RuntimeSuspected | RuntimeProbed | RuntimeBack | Committed | Conflicted | CommitFailed
    | Published | PublishFailed | Used | Reached | SessionRenewed | LeaderSeen | StoreLost | StoreFound | Tuned
    | Started | Ticked | DrainAsked | RuntimeLeaving | Cordoned | Idled
)  # fmt: skip
