"""What is asked of virtual models, the steps that their flows take, and how these can come out."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcore.events import Seen
from meshcore.reasons import Reason
from meshcore.vmodel_record import Weights


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model to be registered together with the virtual model that points at it."""

    type: str
    path: str = ""
    key: str = ""
    is_auto_delete: bool = False
    """Whether it goes when no virtual model refers to it any more; counts only where it is made."""


@dataclass(frozen=True, slots=True)
class SetVModel:
    """Make a virtual model, or give it other models to answer."""

    vmodel: str
    weights: Weights = field(default_factory=dict)
    """The models and their shares in percent; most often one that has all."""
    owner: str = ""
    """Of a new one; of one that is there it has to be the owner, unless empty."""
    expected: str = ""
    """The target that it has to have, unless empty."""
    info: ModelInfo | None = None
    """To register the target with."""
    is_update_only: bool = False
    should_load: bool = False
    is_forced: bool = False
    """Whether to switch at once, however ready the models are."""
    is_sync: bool = False
    """Whether to answer only when the switch is done, or has failed."""
    shadow: str | None = None
    """A model that is to see a copy of each request; empty: none; None: as it is."""
    is_trial: bool = False
    """Check everything, change nothing."""


@dataclass(frozen=True, slots=True)
class DeleteVModel:
    """Forget a virtual model, and the models that were only kept for it; absent, or another owner's, is fine."""

    vmodel: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class AskVModel:
    """Where a virtual model points, and what the models do."""

    vmodel: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Transit:
    """End a transition from ``shares`` to ``wanted``: switch, or say that what shall answer cannot be loaded."""

    vmodel: str
    shares: Weights
    wanted: Weights
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class Prepare:
    """See that a model which shall answer for a virtual model has so many copies, or that they are on their way."""

    vmodel: str
    model: str
    copies: int
    last_used: int


AskedVModel = SetVModel | DeleteVModel | AskVModel | Transit | Prepare


@dataclass(frozen=True, slots=True)
class ReadVModel:
    """Read a virtual model and models linearisably and together. Outcome: VModelRead or StoreSilent."""

    vmodel: str
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VModelRead:
    """What stands there, the models in the order in which they were named."""

    vmodel: Seen
    models: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelWrite:
    """One model's part in the write of a virtual model; ``value`` None deletes; ``is_kept``: it is only looked at."""

    model: str
    expect: int
    value: bytes | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class PutVModel:
    """Write a virtual model (``value`` None: delete it) and models, all if all stand as expected or nothing.

    Outcome: Wrote, Overtaken or StoreSilent.
    """

    vmodel: str
    expect: int
    value: bytes | None
    models: tuple[ModelWrite, ...]
    why: Reason


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Somebody else wrote one of them: nothing was written."""


@dataclass(frozen=True, slots=True)
class AwaitVModel:
    """Wait until a virtual model's record is another one. Outcome: Settled, or TimedOut after ``deadline_ms``."""

    vmodel: str
    deadline_ms: int
