"""What clients ask of virtual models: set, status, delete; and how the leader ends a transition."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Protocol, TypeVar

from meshcore import registration, vmodel_edits
from meshcore.asks import (
    Op,
    Outcome,
    Request,
    Status,
    StatusInfo,
    Step,
    StoreSilent,
    TimedOut,
    VModelInfo,
    Wrote,
)
from meshcore.errors import BadRecord, Code, InvalidRequest, MeshError, Overrun, StoreAway, UnknownModel
from meshcore.events import Seen
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.routing import Desk, Flow, route
from meshcore.split import checked, heaviest
from meshcore.vmodel_asks import (
    AskVModel,
    AwaitVModel,
    DeleteVModel,
    ModelWrite,
    Overtaken,
    Prepare,
    PutVModel,
    ReadVModel,
    SetVModel,
    Transit,
    VModelRead,
)
from meshcore.vmodel_edits import Standing
from meshcore.vmodel_record import VModelRecord

MOST_TRIES = 32
"""A virtual model that others write so often in between is left to them."""

READ_ONLY = "model-mesh is in read-only mode"

_Info = Generator[Step, Outcome, VModelInfo]
_Record = TypeVar("_Record", ModelRecord, VModelRecord)


class VDesk(Desk, Protocol):
    """What these flows may ask of their node, beside what others may."""

    @property
    def default_owner(self) -> str: ...
    def vmodel(self, vmodel: str) -> VModelRecord | None: ...
    def vmodel_mod(self, vmodel: str) -> int: ...
    def see_vmodel(self, seen: Seen) -> None: ...
    def may_switch(self, vmodel: str, record: VModelRecord) -> bool: ...
    def is_held(self, models: Iterable[str]) -> bool: ...
    def transited(self, vmodel: str) -> None: ...
    def prepared(self, vmodel: str, has_failed: bool) -> None: ...


# -- what clients ask -------------------------------------------------------------------------------------------


def set_vmodel(desk: VDesk, asked: SetVModel) -> _Info:
    """Make a virtual model or give it other models, in one transaction with all that it refers to.

    Raises InvalidRequest, UnknownModel, VModelExists, Mismatch, ModelExists, BadRecord, StoreAway; MeshError
    UNAVAILABLE where nothing may be written; Overrun where a transition that is waited for takes too long.
    """
    if not asked.vmodel:
        raise InvalidRequest("Must provide vModelId")
    asked = replace(asked, weights=checked(asked.vmodel, asked.weights.items()))
    if asked.shadow in asked.weights:
        raise InvalidRequest(f"vmodel {asked.vmodel}: {asked.shadow} is a target and cannot be the shadow too")
    if asked.info is not None and not asked.info.type:
        raise MeshError("", Code.UNKNOWN)  # so does ModelMesh on this way
    before, after = yield from _set(desk, asked)
    if after.is_in_transition:
        if asked.is_sync and not asked.is_trial:
            yield from _ended(desk, asked.vmodel, after)
        return (yield from _info(desk, asked.vmodel))
    is_switch = before is not None and before.shares != after.shares
    told = {}
    if not asked.is_trial and (asked.should_load or (is_switch and before and desk.is_held(before.shares))):
        is_sync = asked.is_sync and asked.info is not None
        for model in after.shares:
            told[model] = yield from _loaded(desk, model, is_sync)
    info = yield from _info(desk, asked.vmodel)
    return replace(info, active_status=told.get(info.active, info.active_status))


def _set(desk: VDesk, asked: SetVModel) -> Generator[Step, Outcome, tuple[VModelRecord | None, VModelRecord]]:
    """The record before and after."""
    named = {*asked.weights, asked.shadow or ""} - {""}
    for _ in range(MOST_TRIES):
        standing = yield from _standing(desk, asked.vmodel, named)
        vmodel_edits.check(asked, standing)
        record = standing.vmodel
        fresh = (record or VModelRecord()).aimed_at(asked.weights)
        after = vmodel_edits.wanted(asked, record, desk.may_switch(asked.vmodel, fresh), desk.default_owner)
        is_news = after != record or standing.models[heaviest(asked.weights)] is None
        last_used = _use_of_target(desk, asked, standing) if is_news else 0
        models = vmodel_edits.with_target(asked, standing, last_used)
        writes = vmodel_edits.writes(standing, after, models)
        if after == record and all(write.is_kept for write in writes):
            return record, record
        if desk.is_read_only:
            raise MeshError(READ_ONLY, Code.UNAVAILABLE)
        if asked.is_trial:
            return record, after
        cause = "asked for" if record is None else "other models are to answer"
        inputs: dict[str, int | str] = {"target": after.target, "active": after.active}
        why = desk.explain(Reason(Rule.VMODEL, asked.vmodel, after.target, cause, 0, inputs))
        if (yield from _put(desk, asked.vmodel, standing, after, writes, why)):
            return record, after
    raise _overtaken(asked.vmodel)


def _use_of_target(desk: VDesk, asked: SetVModel, standing: Standing) -> int:
    """The instant that a new target counts as used at: when the one was that it follows, else as any registration."""
    record = standing.vmodel
    active = standing.models.get(record.active) if record is not None else None
    if active is not None and active.last_used > 0:
        return active.last_used
    settings = desk.settings
    return desk.now - (settings.register_age_load_ms if asked.should_load else settings.register_age_ms)


def _ended(desk: VDesk, vmodel: str, after: VModelRecord) -> Generator[Step, Outcome, None]:
    """Wait until a transition ended, failed, or is another one; raises MeshError UNKNOWN when that takes too long."""
    until = desk.now + desk.settings.vmodel_wait_ms
    while True:
        record = desk.vmodel(vmodel)
        if record is None or record.wanted != after.wanted or record.has_failed or not record.is_in_transition:
            return
        outcome = yield AwaitVModel(vmodel, max(1, until - desk.now))
        if isinstance(outcome, TimedOut):
            text = f"vmodel {vmodel}: not yet switched to {after.target} after {desk.settings.vmodel_wait_ms} ms"
            raise Overrun(f"{text}; it goes on")


def _loaded(desk: VDesk, model: str, is_sync: bool) -> Generator[Step, Outcome, StatusInfo]:
    record = desk.record(model)
    last_used = record.last_used if record is not None and record.last_used else 0
    request = Request(model, Op.ENSURE, is_sync=is_sync, last_used=last_used)
    return (yield from registration.ensure(desk, request))


def vmodel_status(desk: VDesk, asked: AskVModel) -> _Info:
    """Where it points; absent, unnamed or another owner's: the default. Raises BadRecord, StoreAway."""
    if not asked.vmodel:
        return VModelInfo()
    if desk.vmodel(asked.vmodel) is None:
        yield from _read(desk, asked.vmodel, ())
    record = desk.vmodel(asked.vmodel)
    if record is None or (asked.owner and asked.owner != record.owner):
        return VModelInfo()
    return (yield from _info(desk, asked.vmodel))


def delete_vmodel(desk: VDesk, asked: DeleteVModel) -> _Info:
    """Delete it and what was only kept for it; one that cannot be read goes too, whatever it may refer to.

    Raises StoreAway, MeshError UNAVAILABLE where nothing may be written.
    """
    if not asked.vmodel:
        return VModelInfo()
    for _ in range(MOST_TRIES):
        standing = yield from _standing(desk, asked.vmodel, (), takes_bad=True)
        record = standing.vmodel
        if not standing.mod or (asked.owner and record is not None and asked.owner != record.owner):
            return VModelInfo()
        if desk.is_read_only:
            raise MeshError(READ_ONLY, Code.UNAVAILABLE)
        writes = vmodel_edits.writes(standing, None, standing.models)
        why = desk.explain(Reason(Rule.VMODEL, asked.vmodel, "", "to be deleted, as asked for"))
        if (yield from _put(desk, asked.vmodel, standing, None, writes, why)):
            return VModelInfo()
    raise _overtaken(asked.vmodel)


# -- the leader ---------------------------------------------------------------------------------------------------


def transit(desk: VDesk, asked: Transit) -> _Info:
    """End a transition if it still is the one that was judged. Raises StoreAway."""
    try:
        for _ in range(MOST_TRIES):
            standing = yield from _standing(desk, asked.vmodel, ())
            record = standing.vmodel
            if record is None or not record.is_in_transition:
                break
            if (record.shares, record.wanted) != (asked.shares, asked.wanted):
                break
            is_there = all(standing.models.get(model) is not None for model in record.wanted)
            if not asked.is_failure and not (is_there and desk.may_switch(asked.vmodel, record)):
                break
            after = replace(record, has_failed=True) if asked.is_failure else record.switched()
            if after == record:
                break
            cause = "what shall answer cannot be loaded" if asked.is_failure else "what shall answer is ready"
            inputs: dict[str, int | str] = {"active": record.active, "target": record.target}
            why = desk.explain(Reason(Rule.VMODEL, asked.vmodel, after.active, cause, 0, inputs))
            writes = vmodel_edits.writes(standing, after, standing.models)
            if (yield from _put(desk, asked.vmodel, standing, after, writes, why)):
                break
    finally:
        desk.transited(asked.vmodel)
    return VModelInfo()


def prepare(desk: VDesk, asked: Prepare) -> Generator[Step, Outcome, StatusInfo]:
    """Have copies loaded of what shall answer, in the name of nobody. Raises UnknownModel, StoreAway."""
    request = Request(
        asked.model, Op.ENSURE, is_sync=False, last_used=asked.last_used, copies=asked.copies, is_asked_for=False
    )
    info = yield from registration.ensure(desk, request)
    desk.prepared(asked.vmodel, info.status is Status.LOADING_FAILED)
    return info


# -- a request by a virtual model's name ------------------------------------------------------------------------


def by_name(desk: VDesk, request: Request) -> Flow:
    """Bring a request that names a virtual model to an answer; ``request.model`` is what that stood for, if known.

    A model that is gone may have been followed by another: the store is asked once who. Raises what ``route`` raises;
    UnknownModel for the virtual model.
    """
    if request.model:
        try:
            return (yield from route(desk, request))
        except UnknownModel:
            pass
    yield from _read(desk, request.vmodel, ())
    record = desk.vmodel(request.vmodel)
    if record is None:
        raise UnknownModel("vmodel not found")
    for model in dict.fromkeys((record.active, record.target)):
        if model != request.model:
            try:
                return (yield from route(desk, replace(request, model=model, met=None)))
            except UnknownModel:
                continue
    raise MeshError(f"Target model {record.target} of vmodel {request.vmodel} not found")


# -- the store ----------------------------------------------------------------------------------------------------


def _info(desk: VDesk, vmodel: str) -> _Info:
    """What is known here of a virtual model, with the status of its models."""
    record = desk.vmodel(vmodel)
    if record is None:
        return VModelInfo()
    active = yield from _status(desk, record.active)
    if active.status is Status.NOT_FOUND:  # deleted, and with it or before it this was switched
        yield from _read(desk, vmodel, ())
        record = desk.vmodel(vmodel)
        if record is None:
            return VModelInfo()
        active = yield from _status(desk, record.active)
    info = VModelInfo(
        record.status, record.active, record.target, record.owner, active, shares=record.shares,
        wanted=record.wanted, shadow=record.shadow, mod=desk.vmodel_mod(vmodel),
    )  # fmt: skip
    if not record.is_in_transition:
        return info
    target = yield from _status(desk, record.target)
    is_hopeless = record.has_failed and target.status is Status.LOADING_FAILED
    if target.status is not Status.NOT_FOUND and not is_hopeless:
        target = replace(target, status=Status.LOADING)
    return replace(info, target_status=target)


def _status(desk: VDesk, model: str) -> Generator[Step, Outcome, StatusInfo]:
    if not model:
        return StatusInfo(Status.NOT_FOUND)
    return (yield from registration.status(desk, Request(model, Op.STATUS)))


def _standing(
    desk: VDesk, vmodel: str, named: Iterable[str], takes_bad: bool = False
) -> Generator[Step, Outcome, Standing]:
    """The virtual model, those it refers to and those named as they stand together. Raises StoreAway, BadRecord.

    ``takes_bad``: what cannot be read counts as none.
    """
    known = set(named)
    while True:
        models = tuple(sorted(known))
        read = yield from _read(desk, vmodel, models)
        record = _decoded(VModelRecord, read.vmodel, "vmodels", takes_bad)
        roles = record.roles if record is not None else frozenset()
        if roles <= known:
            break
        known |= roles
    found = dict(zip(models, read.models, strict=True))
    return Standing(
        record, read.vmodel.mod if read.vmodel.value is not None else 0,
        {
            model: _decoded(ModelRecord, seen, "registry", takes_bad) for model, seen in found.items()
        },
        {model: seen.mod if seen.value is not None else 0 for model, seen in found.items()},
    )  # fmt: skip


def _decoded(codec: type[_Record], seen: Seen, table: str, takes_bad: bool) -> _Record | None:
    if seen.value is None:
        return None
    try:
        return codec.decode(seen.value, f"{table}/{seen.id}")
    except BadRecord:
        if not takes_bad:
            raise
        return None


def _read(desk: VDesk, vmodel: str, models: tuple[str, ...]) -> Generator[Step, Outcome, VModelRead]:
    outcome = yield ReadVModel(vmodel, models)
    if isinstance(outcome, StoreSilent):
        raise StoreAway(outcome.text)
    assert isinstance(outcome, VModelRead)
    for seen in outcome.models:
        desk.see(seen)
    desk.see_vmodel(outcome.vmodel)
    return outcome


def _put(
    desk: VDesk,
    vmodel: str,
    standing: Standing,
    after: VModelRecord | None,
    writes: tuple[ModelWrite, ...],
    why: Reason,
) -> Generator[Step, Outcome, bool]:
    """Write all of it, or nothing; False: somebody else wrote. Raises StoreAway."""
    value = after.encode() if after is not None else None
    outcome = yield PutVModel(vmodel, standing.mod, value, writes, why)
    if isinstance(outcome, StoreSilent):
        raise StoreAway(outcome.text)
    if isinstance(outcome, Overtaken):
        return False
    assert isinstance(outcome, Wrote)
    for write in writes:
        if not write.is_kept:
            desk.see(Seen(write.model, write.value, outcome.mod))
    desk.see_vmodel(Seen(vmodel, value, outcome.mod))
    return True


def _overtaken(vmodel: str) -> MeshError:
    return MeshError(f"vmodel {vmodel}: others changed it or its models {MOST_TRIES} times meanwhile", Code.ABORTED)
