"""What a client asks of the registry: register, unregister, ensure loaded, status."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from meshcore.asks import (
    Clashed,
    Forward,
    Kept,
    Kind,
    Op,
    Outcome,
    Put,
    Read,
    Register,
    Request,
    Status,
    StatusInfo,
    Step,
    StoreSilent,
    Told,
    Unreachable,
    Unregister,
    Wrote,
)
from meshcore.attributes import INT64
from meshcore.errors import (
    BadRecord,
    HasReferents,
    InvalidRequest,
    LoadFailure,
    ModelExists,
    Moved,
    NowhereToLoad,
    PutBack,
    ReadOnly,
    StoreAway,
)
from meshcore.events import Seen
from meshcore.reasons import Reason, Rule
from meshcore.records import HIGHEST_PRIORITY, MOST_COUNTED, ModelRecord
from meshcore.routing import Desk, Flow, route
from meshcore.settings import Settings

_Info = Generator[Step, Outcome, StatusInfo]


def register(desk: Desk, asked: Register) -> Flow:
    """Create the registration or agree with the one that stands; then load it if asked to.

    Raises InvalidRequest, ModelExists (another type, path or key), StoreAway. A load that fails is a status.
    """
    if not asked.model:
        raise InvalidRequest("must provide non-empty modelId")
    if not asked.type:
        raise InvalidRequest("Must provide non-empty model type string")
    last_used = registered_use(asked, desk.now, desk.settings)
    is_new = is_changed = False
    while True:
        record = desk.record(asked.model)
        if asked.expected is not None:
            record = yield from _at(desk, asked.model, asked.expected)
        wanted = wanted_record(record, asked, last_used, desk.settings)
        is_new, is_changed = record is None, wanted != record
        if not is_changed:
            break
        if desk.is_read_only:
            if record is None or wanted != record.used_at(last_used):
                raise ReadOnly
            is_changed = False  # only the last use would be another
            break
        if asked.is_trial:
            break
        cause = "asked for" if is_new else "refreshed"
        rule = Rule.REGISTER if is_new or asked.kept is not None else Rule.TOUCH
        why = desk.explain(Reason(rule, asked.model, desk.me, cause))
        try:
            if (yield from _put(desk, asked.model, wanted, why)):
                break
        except StoreAway as away:
            if record is None or wanted != record.used_at(last_used) or isinstance(away, PutBack):
                raise
            is_changed = False  # only the last use would be another
            break
    mod = desk.mod(asked.model)
    if asked.should_load and not asked.is_trial:
        request = Request(
            asked.model, Op.ENSURE, is_sync=asked.is_sync, last_used=last_used, is_balanced=asked.is_balanced
        )
        info = yield from ensure(desk, request)
    elif is_new:
        info = StatusInfo(Status.NOT_LOADED)
    else:
        info = yield from status(desk, Request(asked.model, Op.STATUS))
    return replace(info, is_new=is_new, is_changed=is_changed, mod=mod)


def _at(desk: Desk, model: str, expected: int) -> Generator[Step, Outcome, ModelRecord | None]:
    """The record as it stands in the store, if that is at revision ``expected``; raises Moved."""
    yield from _read(desk, model)
    if desk.mod(model) != expected:
        raise Moved(f"the record of {model} is at revision {desk.mod(model)}, not {expected}")
    return desk.record(model)


def registered_use(asked: Register, now: int, settings: Settings) -> int:
    """The instant that a registration counts as used at: as given but not later than now; else an hour (six,
    if it is not to be loaded) ago, so that what nobody used yet pushes nothing out."""
    if asked.last_used > 0:
        return min(asked.last_used, now)
    return now - (settings.register_age_load_ms if asked.should_load else settings.register_age_ms)


def wanted_record(record: ModelRecord | None, asked: Register, last_used: int, settings: Settings) -> ModelRecord:
    """The record as it should stand where ``record`` does; raises ModelExists, InvalidRequest."""
    if record is None:
        fresh = ModelRecord(type=asked.type, path=asked.path, key=asked.key, last_used=last_used)
        return with_kept(fresh, asked.kept or Kept())
    if (record.type, record.path, record.key) != (asked.type, asked.path, asked.key):
        raise ModelExists("Model already exists with different attribute values")
    if asked.kept is not None:
        record = with_kept(record, asked.kept)
    if not asked.should_load and last_used > record.last_used + settings.touch_stored_ms:
        record = record.used_at(last_used)
    return record


def check_kept(kept: Kept) -> None:
    """Raises InvalidRequest, whose text says what is wrong and what is allowed."""
    if not 0 <= kept.size_bytes < INT64:
        raise InvalidRequest(f"the size is {kept.size_bytes} bytes; allowed: 0 to {INT64 - 1}")
    for name, copies in (("min", kept.min_copies), ("max", kept.max_copies)):
        if not 0 <= copies <= MOST_COUNTED:
            raise InvalidRequest(f"{name} copies are {copies}; allowed: 0 to {MOST_COUNTED}")
    if not 0 <= kept.priority <= HIGHEST_PRIORITY:
        raise InvalidRequest(f"priority is {kept.priority}; allowed: 0 to {HIGHEST_PRIORITY}")
    if kept.max_copies and kept.min_copies > kept.max_copies:
        raise InvalidRequest(f"min copies are {kept.min_copies}, more than max copies, {kept.max_copies}")


def kept_of(record: ModelRecord) -> Kept:
    """What the mesh keeps about a model, as it is registered."""
    return Kept(
        record.size_bytes, dict(record.labels), record.min_copies, record.max_copies, record.is_pinned, record.priority
    )


def with_kept(record: ModelRecord, kept: Kept) -> ModelRecord:
    """``record`` with what the mesh keeps about the model; raises InvalidRequest."""
    check_kept(kept)
    return replace(
        record, size_bytes=kept.size_bytes, labels=dict(kept.labels), min_copies=kept.min_copies,
        max_copies=kept.max_copies, is_pinned=kept.is_pinned, priority=kept.priority,
    )  # fmt: skip


def unregister(desk: Desk, asked: Unregister) -> Flow:
    """Delete the registration; absent is as good. Raises InvalidRequest, HasReferents, StoreAway.

    One that cannot be read goes too, whoever may point at it: nobody can be served by it, and it stands in the way.
    """
    if not asked.model:
        raise InvalidRequest("must provide non-empty modelId")
    while True:
        seen = yield from _read(desk, asked.model)
        if asked.expected not in (None, desk.mod(asked.model)):
            raise Moved(f"the record of {asked.model} is at revision {desk.mod(asked.model)}, not {asked.expected}")
        if seen.value is None:
            return StatusInfo(Status.NOT_FOUND)
        try:
            record = desk.record(asked.model)
        except BadRecord:
            record = None
        if record is not None and record.references > 0:
            raise HasReferents(f"Model {asked.model} has referents")
        if desk.is_read_only:
            raise ReadOnly
        if asked.is_trial:
            break
        why = desk.explain(Reason(Rule.UNREGISTER, asked.model, desk.me, "asked for"))
        if (yield from _put(desk, asked.model, None, why)):
            break
    return StatusInfo(Status.NOT_FOUND, is_changed=True)


def ensure(desk: Desk, request: Request) -> _Info:
    """See that a copy is loaded or loading, or as many as the request says, one after the other and each on another
    instance. Raises UnknownModel, StoreAway; a load that fails is a status, and the last one that is tried."""
    if not request.model:
        raise InvalidRequest("must provide non-empty modelId")
    if request.last_used > desk.now + desk.settings.scale_up_ahead_ms:
        request = replace(request, last_used=desk.now)
    told = yield from _ensured(desk, request)
    before: set[str] = set()
    while request.kind is Kind.EXTERNAL and before < (named := _named(told)) and len(named) < request.copies:
        before = named
        told = yield from _ensured(desk, replace(request, exclude=(*request.exclude, *sorted(named))))
    return told


def _named(told: StatusInfo) -> set[str]:
    """The instances that a status names copies on."""
    return {copy.instance for copy in told.copies if copy.status is Status.UNKNOWN}


def _ensured(desk: Desk, request: Request) -> _Info:
    try:
        answer = yield from route(desk, request)
    except (LoadFailure, NowhereToLoad) as error:
        record = desk.record(request.model)
        info = desk.status(request.model, record) if record else StatusInfo(Status.LOADING_FAILED)
        errors = info.errors if error.text in info.errors else (error.text, *info.errors)
        return replace(info, status=Status.LOADING_FAILED, errors=errors)
    assert isinstance(answer, StatusInfo)
    return _with_known_copies(desk, request, answer)


def _with_known_copies(desk: Desk, request: Request, told: StatusInfo) -> StatusInfo:
    """A peer tells of its own copy; the client also hears of those that this instance knows of."""
    record = desk.record(request.model)
    if request.kind is not Kind.EXTERNAL or record is None:
        return told
    known = desk.status(request.model, record)
    copies = {copy.instance: copy for copy in (*known.copies, *told.copies)}
    ordered = sorted(copies.values(), key=lambda copy: (-copy.at, copy.instance))
    return replace(told, errors=told.errors or known.errors, copies=tuple(ordered))


def status(desk: Desk, request: Request) -> _Info:
    """What the model is doing, without a load or a touch; an absent model is a status, not an error."""
    if not request.model:
        raise InvalidRequest("must provide non-empty modelId")
    record = desk.record(request.model)
    if record is None and request.kind is Kind.EXTERNAL:  # a peer knows what it knows
        yield from _read(desk, request.model)
        record = desk.record(request.model)
    if record is None:
        return StatusInfo(Status.NOT_FOUND)
    info = desk.status(request.model, record)
    if info.status is not Status.LOADING or request.kind is not Kind.EXTERNAL:
        return info
    # A copy's readiness reaches the record a little later than the copy: its own instance knows.
    first = min(desk.holders(request.model, record), key=lambda holder: (holder.load_ts, holder.instance))
    if first.instance == desk.me:
        return info
    desk.sent(first.instance)
    outcome = yield Forward(first.instance, replace(request, kind=Kind.HIT, origin=desk.me, hops=request.hops + 1))
    if isinstance(outcome, Unreachable):
        desk.unreachable(first.instance)
        return info
    desk.reached(first.instance)
    is_loaded = isinstance(outcome, Told) and outcome.info.status is Status.LOADED
    return replace(info, status=Status.LOADED) if is_loaded else info


def _read(desk: Desk, model: str) -> Generator[Step, Outcome, Seen]:
    outcome = yield Read(model)
    if isinstance(outcome, StoreSilent):
        raise StoreAway(outcome.text)
    assert isinstance(outcome, Seen)
    desk.see(outcome)
    return outcome


def _put(desk: Desk, model: str, record: ModelRecord | None, why: Reason) -> Generator[Step, Outcome, bool]:
    """Write against what this instance knows; False: somebody else wrote, which it now knows. Raises StoreAway.

    A store that was put back to an earlier state denies what this instance knows, and what it says instead is older: to
    write again would end as before, until the instance has looked at the whole store anew.
    """
    value = record.encode() if record else None
    expected = desk.mod(model)
    outcome = yield Put(model, expected, value, why)
    if isinstance(outcome, StoreSilent):
        raise StoreAway(outcome.text)
    assert isinstance(outcome, Wrote | Clashed)
    desk.see(Seen(model, value if isinstance(outcome, Wrote) else outcome.value, outcome.mod))
    if isinstance(outcome, Clashed) and desk.mod(model) == expected:
        raise PutBack(f"{model}: the store was put back to an earlier state; try again")
    return isinstance(outcome, Wrote)
