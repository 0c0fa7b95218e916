"""What the commands need of a cluster, whichever way it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from meshcore.census import Counted
from mmctl.upgrade.record import Upgrade
from mmctl.values import (
    Change,
    Drained,
    Held,
    Info,
    Instance,
    Loaded,
    Model,
    ModelFilter,
    Registered,
    Registration,
    Setting,
    Taking,
    Unregistered,
    VModel,
    VModelChange,
)
from protos import grpc_predict_v2_pb2 as v2


class Cluster(Protocol):
    """A mesh of instances and its registry.

    Every method raises Unavailable when nobody answers, within ``timeout_s`` where it takes one.
    """

    target: str
    """What it was reached by, for people."""

    async def info(self) -> Info:
        """Who answers."""

    def register(self, registrations: Sequence[Registration], dry_run: bool) -> AsyncIterator[Registered]:
        """One result for each, in any order; a registration that is refused does not stop the others.

        ``dry_run`` answers the same and changes nothing. A load that was asked for is begun, not waited for.
        """

    def change(self, names: Sequence[str], wanted: Change, dry_run: bool) -> AsyncIterator[Registered]:
        """One result for each, in any order: ``wanted`` is so, all else about the model as it was. A name that is not
        registered has the code NOT_FOUND."""

    def unregister(self, names: Sequence[str], dry_run: bool) -> AsyncIterator[Unregistered]:
        """One result for each, in any order."""

    async def get(self, name: str) -> Model:
        """The model; NotFound."""

    def models(self, wanted: ModelFilter, limit: int) -> AsyncIterator[Model]:
        """Those that pass the filter in the order of their names, at most ``limit`` of them (0: all)."""

    async def count(self, wanted: ModelFilter) -> int:
        """How many pass the filter."""

    async def instances(self, asked: bool = False) -> list[Instance]:
        """All of them, by id; ``asked``: with what each says itself, as far as they can be asked."""

    async def census(self, load_timeout_ms: int) -> Counted:
        """How many models are in which state; a load may take ``load_timeout_ms`` as far as who counts knows no
        better. Asked again it costs what changed since."""

    async def upgrade(self) -> Upgrade | None:
        """The upgrade that is under way, with who carries it out now. None also where there is no way to its record:
        it is in etcd, and instances do not know of it. Failed where it cannot be read."""

    async def copies(self, instance: str, most: int) -> Held:
        """What one instance holds, as it says itself; NotFound, Unavailable, Failed for one that cannot be asked."""

    async def settings(self, names: Sequence[str]) -> list[Setting]:
        """The settings that are named (none: all that can be told); NotFound."""

    async def set_setting(self, name: str, value: str | None) -> Setting:
        """Set one for all instances while they run, or (None) no more; NotFound, Failed for one that cannot be set."""

    def take(self, instance: str, what: Taking, budget_ms: int) -> AsyncIterator[Drained]:
        """Take an instance out of the mesh, or in again, and how far that is; NotFound, Failed for one that cannot be
        asked. ``budget_ms`` 0: as long as its own shutdown may take."""

    async def load(self, name: str, wait: bool, timeout_s: float) -> Loaded:
        """See that a copy is loaded or, unless ``wait``, on its way; NotFound. A load that fails is a status."""

    def vmodels(self) -> AsyncIterator[VModel]:
        """All virtual models, in the order of their names."""

    async def vmodel(self, name: str) -> VModel:
        """The virtual model; NotFound."""

    async def set_vmodel(self, wanted: VModelChange, dry_run: bool, timeout_s: float) -> VModel:
        """The virtual model with what is wanted, or on its way there; NotFound for a model, or for the virtual model
        where only one that is there may be changed."""

    async def delete_vmodel(self, name: str) -> None:
        """Forget it; one that is not there is fine."""

    async def infer(self, name: str, request: v2.ModelInferRequest, timeout_s: float) -> v2.ModelInferResponse:
        """One call of the V2 protocol; NotFound for the model, Failed with the runtime's words."""

    async def explain(self, name: str) -> Any:
        """Why the model is where it is, as a meshd.v1.ExplainResponse; NotFound."""

    def decisions(self, wanted: Mapping[str, Any], last: int, follow: bool) -> AsyncIterator[Any]:
        """meshd.v1.Reason messages of all instances; ``wanted`` are fields of a DecisionFilter."""

    async def close(self) -> None:
        """Give up its connections."""
