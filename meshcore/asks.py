"""One request's vocabulary: what is asked, the steps its flow takes, and how each step can come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshcore.errors import Code, MeshError
from meshcore.events import Seen
from meshcore.reasons import Reason
from meshcore.vmodel_asks import AskedVModel, AwaitVModel, Overtaken, PutVModel, ReadVModel, VModelRead
from meshcore.vmodel_record import VModelStatus, Weights


class Op(StrEnum):
    """What a request is after."""

    INFER = "infer"
    ENSURE = "ensure"
    STATUS = "status"


class Kind(StrEnum):
    """What a request may do here: all, only use a copy here, or also load here (docs/design.md, mesh port)."""

    EXTERNAL = "external"
    HIT = "hit"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Request:
    """One request for a model as the core sees it: everything but the body."""

    model: str
    """Empty where ``vmodel`` is one that the plane does not know."""
    op: Op = Op.INFER
    kind: Kind = Kind.EXTERNAL
    is_balanced: bool = False
    is_sync: bool = True
    """For ENSURE: wait until loaded."""
    last_used: int = 0
    """For ENSURE: the instant it counts as used at; 0: now."""
    tried: tuple[tuple[str, int], ...] = ()
    """Copies (instance, load_ts) that this request already asked."""
    targets: tuple[str, ...] = ()
    """Instances that this request already asked to load."""
    exclude: tuple[str, ...] = ()
    """Instances that the caller does not want."""
    origin: str = ""
    """The instance that forwarded it; empty from outside."""
    hops: int = 0
    size_units: int = 0
    """Size if the sender knows it."""
    copies: int = 1
    """For ENSURE: how many there shall be at least."""
    is_asked_for: bool = True
    """Whether clients want the model; else the mesh makes a copy of it by itself, or nobody waits for an answer."""
    is_shadow: bool = False
    """A copy of a client's request to another model: it is answered like any other, for nobody."""
    is_handover: bool = False
    """For ENSURE: the copy takes the place of one here that goes."""
    vmodel: str = ""
    """The virtual model that the client named, if it named one."""
    met: Met | None = None
    """What the plane met when it served the request by itself."""

    @property
    def is_inference(self) -> bool:
        return self.op is Op.INFER

    @property
    def is_urgent(self) -> bool:
        """Whether a client waits for an answer: its load goes before those of others."""
        return self.is_inference and not self.is_shadow

    @property
    def is_use(self) -> bool:
        """Whether somebody wants the model now, and it is not only to be kept where it was."""
        return self.is_inference or not self.last_used


@dataclass(frozen=True, slots=True)
class Kept:
    """What a registration says beside type, path and key; it can change while the model is registered."""

    size_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    min_copies: int = 0
    max_copies: int = 0
    is_pinned: bool = False
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Register:
    """Create a registration, or agree with the one that stands."""

    model: str
    type: str
    path: str = ""
    key: str = ""
    kept: Kept | None = None
    """What the mesh itself keeps about the model; None, as every older client says: as it is."""
    should_load: bool = False
    is_sync: bool = False
    last_used: int = 0
    is_balanced: bool = False
    expected: int | None = None
    """The revision that the record has to be at (0: absent); None: any."""
    is_trial: bool = False
    """Check everything, change nothing."""


@dataclass(frozen=True, slots=True)
class Unregister:
    """Delete a registration; absent is fine."""

    model: str
    expected: int | None = None
    is_trial: bool = False


Asked = Request | Register | Unregister | AskedVModel


@dataclass(frozen=True, slots=True)
class Infer:
    """Call the copy here. Outcome: Answered, Refused(not-here) or RuntimeFailed."""

    model: str
    gen: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request to a peer. Outcome: Answered, Told, Refused, RuntimeFailed or Unreachable."""

    instance: str
    request: Request


@dataclass(frozen=True, slots=True)
class AwaitLoaded:
    """Wait for a load here; an empty model: for the answer to the question, numbered ``gen``, whether the runtime
    restarted. Outcome: Settled, or TimedOut after ``deadline_ms``."""

    model: str
    gen: int
    deadline_ms: int

    @property
    def is_cold_start(self) -> bool:
        """Whether it is a load that is waited for."""
        return bool(self.model)


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass. Outcome: TimedOut."""

    ms: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read one model's record linearisably. Outcome: Seen or StoreSilent."""

    model: str


@dataclass(frozen=True, slots=True)
class Put:
    """Write one model's record as Commit does. Outcome: Wrote, Clashed or StoreSilent."""

    model: str
    expect: int
    value: bytes | None
    why: Reason


Step = Infer | Forward | AwaitLoaded | Pause | Read | Put | ReadVModel | PutVModel | AwaitVModel


class Status(StrEnum):
    """A model's status as the management API names it."""

    NOT_FOUND = "NOT_FOUND"
    NOT_LOADED = "NOT_LOADED"
    LOADING = "LOADING"
    LOADED = "LOADED"
    LOADING_FAILED = "LOADING_FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class CopyInfo:
    """One line of a status: a copy (UNKNOWN, as upstream shows it) or a failure (LOADING_FAILED) and its instant."""

    instance: str
    status: Status
    at: int


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """A model's status, failure texts newest first, copies and failures newest first."""

    status: Status
    errors: tuple[str, ...] = ()
    copies: tuple[CopyInfo, ...] = ()
    is_new: bool = False
    """For Register: the registration was made by this call."""
    is_changed: bool = False
    """For Register and Unregister: the record was written."""
    mod: int = 0
    """For Register: the revision of the record."""


@dataclass(frozen=True, slots=True)
class VModelInfo:
    """Where a virtual model points, and what the models do."""

    status: VModelStatus = VModelStatus.NOT_FOUND
    active: str = ""
    target: str = ""
    owner: str = ""
    active_status: StatusInfo | None = None
    target_status: StatusInfo | None = None
    """Only while something else shall answer than does."""
    shares: Weights = field(default_factory=dict)
    """Of the models that answer."""
    wanted: Weights = field(default_factory=dict)
    """Of those that shall answer."""
    shadow: str = ""
    mod: int = 0
    """The revision of the record."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The runtime's own answer, opaque to the core."""

    reply: object


@dataclass(frozen=True, slots=True)
class Told:
    """A peer's answer to ENSURE or STATUS."""

    info: StatusInfo


class Verdict(StrEnum):
    """Why a peer did not answer for a model."""

    NOT_HERE = "not-here"
    DECLINED = "declined"
    LOAD_FAILED = "load-failed"
    FULL = "full"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    UNKNOWN_MODEL = "unknown-model"
    VERSION = "version"


class VerdictError(MeshError):
    """How a forwarded request ends here without an answer: the sender reads the verdict and goes on."""

    code = Code.UNAVAILABLE

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text or refused.verdict)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer's verdict, with what it knows: its instance record, how many loads it accepted, an error."""

    verdict: Verdict
    instance: str = ""
    load_ts: int = 0
    record: bytes = b""
    code: Code = Code.INTERNAL
    text: str = ""
    is_retryable: bool = True
    """Whether the request can be sent again."""


@dataclass(frozen=True, slots=True)
class RuntimeFailed:
    """The runtime answered with an error that is its own; ``reply`` carries it to the client as it came.

    ``is_retryable``: the request can be sent again.
    """

    code: Code
    text: str
    reply: object = None
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The peer could not be reached, or the connection broke; ``is_retryable``: the request can be sent again."""

    text: str
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """The awaited load ended: ``error`` None is ready."""

    error: MeshError | None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The awaited thing took too long."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The write stands at revision ``mod``."""

    mod: int


@dataclass(frozen=True, slots=True)
class Clashed:
    """Somebody else wrote; ``value`` (None: absent) stands at ``mod``."""

    value: bytes | None
    mod: int


@dataclass(frozen=True, slots=True)
class StoreSilent:
    """The store does not answer; ``is_refused``: it does, and takes no writes at all."""

    text: str
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Met:
    """One try for a copy and how it came out; ``gen`` for a copy here."""

    instance: str
    load_ts: int
    gen: int
    outcome: Outcome


Outcome = (
    Answered | Told | Refused | RuntimeFailed | Unreachable | Settled | TimedOut | Seen | Wrote | Clashed | StoreSilent
    | VModelRead | Overtaken
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """The flow's end: what it answers."""

    answer: Answered | RuntimeFailed | StatusInfo | VModelInfo


@dataclass(frozen=True, slots=True)
class Failed:
    """The flow's end without an answer."""

    error: MeshError
