"""What the core wants done: commands, all imperatives, each choice with its Reason.

An answer is exactly one event, success or failure; the driver turns silence into failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshcore.asks import Request
from meshcore.errors import MeshError
from meshcore.reasons import Reason
from meshcore.vmodel_asks import Prepare, Transit


@dataclass(frozen=True, slots=True)
class Predict:
    """Ask the runtime for a size; answered by Predicted."""

    model: str
    gen: int
    type: str
    path: str
    key: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load a copy; answered by Loaded or LoadFailed."""

    model: str
    gen: int
    type: str
    path: str
    key: str
    deadline_ms: int
    why: Reason


@dataclass(frozen=True, slots=True)
class CancelLoad:
    """Nobody wants the running load any more; Load is answered all the same."""

    model: str
    gen: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Ask the runtime how large a loaded copy is; answered by Measured."""

    model: str
    gen: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Let no further request reach a copy; answered by Drained."""

    model: str
    gen: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Give a copy's memory back; answered by Unloaded or UnloadFailed."""

    model: str
    gen: int
    why: Reason


@dataclass(frozen=True, slots=True)
class Probe:
    """See whether the runtime is where it was, without a word to it; answered by RuntimeProbed."""

    question: int


@dataclass(frozen=True, slots=True)
class Greet:
    """The runtime restarted: wait until it is ready, which empties it; answered by RuntimeBack, or the process ends."""

    why: Reason


@dataclass(frozen=True, slots=True)
class Commit:
    """Write a model's record if it still stands at ``expect`` (0: absent) and none of the instances ``gone`` has a
    record; ``value`` None deletes.

    Answered by Committed, Conflicted (with what stands at ``expect`` if it was one of the instances) or CommitFailed.
    """

    ticket: int
    model: str
    expect: int
    value: bytes | None
    why: Reason
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Write this instance's record under its lease; answered by Published or PublishFailed."""

    seq: int
    value: bytes
    why: Reason


@dataclass(frozen=True, slots=True)
class Local:
    """A copy here that answers requests, and how many: limits of 0 are none."""

    gen: int
    max_concurrency: int = 0
    """Requests that it answers at a time; 0: any number."""
    max_inflight: int = 0
    """Requests that it takes, waiting ones included; 0: any number."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A copy of a model: its instance (this one included), when its load began, whether it answers."""

    instance: str
    load_ts: int
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Route:
    """All that is known about where ``model`` answers; no holders: forget it. No answer."""

    model: str
    local: Local | None
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """How to reach an instance, whether it is worth trying, and whether the mesh waits to hear that it answers."""

    instance: str
    address: str
    is_ok: bool
    is_on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Peers:
    """The instances that changed; an empty address: gone. No answer."""

    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """A virtual model's record is another one: what answers, by its weights, and what sees copies; ``active`` empty:
    there is no such virtual model. Flows that wait for it go on. No answer."""

    vmodel: str
    active: str = ""
    split: Mapping[str, int] = field(default_factory=dict)
    """Where several models answer."""
    shadow: str = ""


@dataclass(frozen=True, slots=True)
class Settle:
    """Let the flows waiting for this load, or this question, go on: ``outcome`` None is ready. No answer."""

    model: str
    gen: int
    outcome: MeshError | None


@dataclass(frozen=True, slots=True)
class Begin:
    """Serve this request as if it had come from outside; nobody waits for its answer. No answer."""

    request: Request | Transit | Prepare
    why: Reason


@dataclass(frozen=True, slots=True)
class Depart:
    """Others have what they can have of this instance's copies: it may stop answering. No answer."""

    why: Reason


@dataclass(frozen=True, slots=True)
class Stop:
    """All is deregistered: this instance may stop. No answer."""


Command = (
    Predict | Load | CancelLoad | Measure | Withdraw | Unload | Probe | Greet | Commit | Publish | Route | Peers
    | Targets | Settle | Begin | Depart | Stop
)  # fmt: skip
