"""One request's way: a copy that is ready, else one that loads, else a place to load it; then again, elsewhere.

A flow holds only its request's locals. What it needs of the node it reads afresh after every step.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Protocol

from meshcore.asks import (
    Answered,
    AwaitLoaded,
    Forward,
    Infer,
    Kind,
    Op,
    Outcome,
    Pause,
    Read,
    Refused,
    Request,
    RuntimeFailed,
    Settled,
    Status,
    StatusInfo,
    Step,
    StoreSilent,
    TimedOut,
    Told,
    Unreachable,
    Verdict,
    VerdictError,
    VModelInfo,
)
from meshcore.commands import Holder
from meshcore.entry import Entry, State
from meshcore.errors import (
    ChurnRefused,
    Code,
    CopyGone,
    Declined,
    Draining,
    FellThrough,
    LoadFailure,
    MeshError,
    NowhereToLoad,
    RoundsExhausted,
    Spent,
    StoreAway,
    UnknownModel,
)
from meshcore.events import Seen
from meshcore.reasons import Reason
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.trip import Trip

Answer = Answered | RuntimeFailed | StatusInfo | VModelInfo
Flow = Generator[Step, Outcome, Answer]
_Leg = Generator[Step, Outcome, Answer | None]
"""One round of a flow: its answer, or None to go round again."""

EXHAUSTED_ROUNDS = "{} retry iterations exhausted"


class Desk(Protocol):
    """What a flow may ask of its node."""

    me: str

    @property
    def settings(self) -> Settings: ...
    @property
    def is_read_only(self) -> bool: ...
    @property
    def now(self) -> int: ...
    @property
    def load_wait_ms(self) -> int: ...
    def record(self, model: str) -> ModelRecord | None: ...
    def mod(self, model: str) -> int: ...
    def see(self, seen: Seen) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...
    def entry(self, model: str) -> Entry | None: ...
    def holders(self, model: str, record: ModelRecord) -> tuple[Holder, ...]: ...
    def choose_holder(self, request: Request, holders: tuple[Holder, ...]) -> Holder: ...
    def place(self, request: Request, record: ModelRecord) -> str | None: ...
    def no_place(self, record: ModelRecord) -> MeshError: ...
    def may_load(self, record: ModelRecord) -> bool: ...
    def declines(self, request: Request, record: ModelRecord) -> bool: ...
    def news_ms(self, declines: int) -> int: ...
    def admit(self, request: Request, record: ModelRecord) -> Entry: ...
    def refusal(self, verdict: Verdict, model: str, error: MeshError | None = None) -> Refused: ...
    def gives_up(self, request: Request, record: ModelRecord) -> MeshError | None: ...
    def status(self, model: str, record: ModelRecord) -> StatusInfo: ...
    def touch(self, request: Request) -> None: ...
    def await_load(self, entry: Entry, request: Request) -> None: ...
    def lost(self, model: str, gen: int) -> None: ...
    def doubt(self) -> int: ...
    def not_here(self, model: str, instance: str, load_ts: int) -> None: ...
    def refused(self, request: Request, instance: str, refused: Refused) -> None: ...
    def sent(self, instance: str) -> None: ...
    def reached(self, instance: str) -> None: ...
    def unreachable(self, instance: str) -> None: ...


def known_record(desk: Desk, model: str) -> Generator[Step, Outcome, ModelRecord]:
    """The model's record, read from the store where this instance has not seen it; raises UnknownModel, StoreAway."""
    record = desk.record(model)
    if record is None:
        outcome = yield Read(model)
        if isinstance(outcome, StoreSilent):
            raise StoreAway(outcome.text)
        assert isinstance(outcome, Seen)
        desk.see(outcome)
        record = desk.record(model)
    if record is None:
        raise UnknownModel
    return record


def route(desk: Desk, request: Request) -> Flow:
    """Bring ``request`` (INFER or ENSURE) to an answer; raises MeshError, towards another instance VerdictError."""
    if request.kind is Kind.EXTERNAL:
        return (yield from _rounds(desk, request))
    try:
        if request.kind is Kind.HIT:
            return (yield from _hit(desk, request))
        return (yield from _rounds(desk, request))
    except MeshError as error:
        raise VerdictError(desk.refusal(_verdict(error), request.model, error)) from error


def _verdict(error: MeshError) -> Verdict:
    match error:
        case UnknownModel():
            return Verdict.UNKNOWN_MODEL
        case ChurnRefused() | FellThrough():
            return Verdict.FULL
        case Declined():
            return Verdict.DECLINED
        case Draining():
            return Verdict.DRAINING
        case CopyGone() | NowhereToLoad() | Spent():
            return Verdict.NOT_HERE
        case _:
            return Verdict.LOAD_FAILED


def _hit(desk: Desk, request: Request) -> Flow:
    """Answer from the copy here, which may still be loading, without the store or another instance."""
    trip = Trip()
    answer = (yield from _met(desk, request, trip)) if request.met is not None else None
    if answer is None and not trip.is_spent:
        answer = yield from _here(desk, request, trip)
    if answer is None:
        raise trip.error or CopyGone("not here")
    return answer


def _rounds(desk: Desk, request: Request) -> Flow:
    trip = Trip(list(request.tried), list(request.targets))
    answer = (yield from _met(desk, request, trip)) if request.met is not None else None
    if answer is not None:
        return answer
    settings, rounds = desk.settings, 0
    while rounds - min(trip.declines, settings.max_declines) < settings.max_rounds:
        rounds += 1
        if trip.is_spent:
            raise trip.error or Spent
        record = yield from known_record(desk, request.model)
        answer = yield from _round(desk, request, trip, record)
        if answer is not None:
            return answer
    raise trip.error or RoundsExhausted(EXHAUSTED_ROUNDS.format(settings.max_rounds))


def _round(desk: Desk, request: Request, trip: Trip, record: ModelRecord) -> _Leg:
    known, record = record, trip.merged(record)
    there = desk.holders(request.model, record)
    if 1 < request.copies <= len(there):
        return desk.status(request.model, record)
    holders = tuple(
        holder
        for holder in there
        if (request.copies == 1 or (request.kind is Kind.LOAD and holder.instance == desk.me))
        and (holder.instance, holder.load_ts) not in trip.tried
        and holder.instance not in request.exclude
        and (holder.instance == desk.me or request.hops < desk.settings.max_hops)
    )
    if holders:
        holder = desk.choose_holder(request, holders)
        trip.tried.append((holder.instance, holder.load_ts))
        if holder.instance == desk.me:
            return (yield from _here(desk, request, trip))
        return (yield from _there(desk, request, trip, holder.instance, Kind.HIT))
    if given_up := desk.gives_up(request, record):
        raise trip.error or given_up
    target = _target(desk, request, trip, record)
    trip.targets.append(target)
    if target != desk.me:
        return (yield from _there(desk, request, trip, target, Kind.LOAD))
    try:
        entry = desk.admit(request, known)
    except LoadFailure as error:
        if request.kind is Kind.LOAD:
            raise
        trip.error = error
        return None
    trip.tried.append((desk.me, entry.load_ts))
    return (yield from _here(desk, request, trip))


def _target(desk: Desk, request: Request, trip: Trip, record: ModelRecord) -> str:
    """Where the model is to be loaded now; raises what the request ends with if that is nowhere."""
    if request.kind is not Kind.LOAD:
        target = desk.place(replace(request, targets=tuple(trip.targets)), record)
        if target is None and trip.forgives():
            target = desk.place(replace(request, targets=tuple(trip.targets)), record)
        if target is None:
            raise trip.error or desk.no_place(record)
        return target
    entry = desk.entry(request.model)
    if desk.me in trip.targets or (entry is not None and entry.state is not State.FAILED):
        raise trip.error or CopyGone("loaded here, and gone again or out of use")
    if not desk.may_load(record):
        raise Declined(f"models of type {record.type} may not be loaded here")
    if desk.declines(request, record):
        raise Declined("others have fewer loads under way, or more room")
    return desk.me


def _here(desk: Desk, request: Request, trip: Trip) -> _Leg:
    """Use the copy here, once it is loaded."""
    entry = desk.entry(request.model)
    if entry is None:
        trip.gone.append(desk.me)
        return None
    gen = entry.gen
    if request.op is Op.ENSURE:
        desk.touch(request)
    if entry.state is State.FAILED:
        trip.failed(desk.me, LoadFailure(entry.failure), entry.failed_at)
        return None
    if not entry.is_serving:
        if request.op is Op.ENSURE and not request.is_sync:
            return _status(desk, request.model, Status.LOADING)
        desk.await_load(entry, request)
        outcome = yield AwaitLoaded(request.model, gen, desk.load_wait_ms)
        if isinstance(outcome, TimedOut):
            trip.error = LoadFailure(f"model not loaded within {desk.load_wait_ms} ms", Code.DEADLINE_EXCEEDED)
            return None
        assert isinstance(outcome, Settled)
        match outcome.error:
            case None:
                pass
            case CopyGone():
                trip.gone.append(desk.me)
                return None
            case LoadFailure() as error:
                trip.error = error
                return None
            case error:
                raise error
    if request.op is Op.ENSURE:
        return _status(desk, request.model, Status.LOADED)
    outcome = yield Infer(request.model, gen)
    return (yield from _called(desk, request, trip, gen, outcome))


def _called(desk: Desk, request: Request, trip: Trip, gen: int, outcome: Outcome) -> _Leg:
    """The copy here was called."""
    trip.is_spent = isinstance(outcome, RuntimeFailed | Refused) and not outcome.is_retryable
    if isinstance(outcome, RuntimeFailed) and has_lost_model(outcome):
        desk.lost(request.model, gen)
        trip.gone.append(desk.me)
        return None
    if isinstance(outcome, Refused):  # it left between the choice and the call
        trip.gone.append(desk.me)
        return None
    if isinstance(outcome, RuntimeFailed) and outcome.code is Code.UNAVAILABLE:
        if question := desk.doubt():
            yield AwaitLoaded("", question, desk.settings.suspect_ms)
        entry = desk.entry(request.model)
        if entry is None or entry.gen != gen:  # the answer was the runtime's end
            trip.gone.append(desk.me)
            return None
    return _judged(desk, request, trip, outcome)


def _there(desk: Desk, request: Request, trip: Trip, instance: str, kind: Kind) -> _Leg:
    """Let another instance use, or load, its copy."""
    passed_on = trip.on(request, kind, desk.me)
    desk.sent(instance)
    outcome = yield Forward(instance, passed_on)
    answer = _returned(desk, passed_on, trip, instance, outcome, request.kind)
    if isinstance(outcome, Refused) and outcome.verdict is Verdict.DECLINED:
        trip.declines += 1
        yield Pause(desk.news_ms(trip.declines))
    return answer


def _met(desk: Desk, request: Request, trip: Trip) -> _Leg:
    """Take up what the plane met."""
    met = request.met
    assert met is not None
    trip.tried.append((met.instance, met.load_ts))
    if met.instance == desk.me:
        return (yield from _called(desk, request, trip, met.gen, met.outcome))
    passed_on = trip.on(request, Kind.HIT, desk.me)
    return _returned(desk, passed_on, trip, met.instance, met.outcome, request.kind)


def _returned(desk: Desk, passed_on: Request, trip: Trip, instance: str, outcome: Outcome, kind: Kind) -> Answer | None:
    """A request passed on to another instance came back; ``kind`` is what it is here."""
    if isinstance(outcome, Unreachable):
        desk.unreachable(instance)
        error = MeshError(f"{instance}: {outcome.text}", Code.UNAVAILABLE)
        if not outcome.is_retryable:
            raise error
        trip.error = trip.error or error
        return None
    desk.reached(instance)
    trip.is_spent = isinstance(outcome, RuntimeFailed | Refused) and not outcome.is_retryable
    if not isinstance(outcome, Refused):
        return _judged(desk, replace(passed_on, kind=kind), trip, outcome)
    desk.refused(passed_on, instance, outcome)
    match outcome.verdict:
        case Verdict.NOT_HERE if passed_on.kind is Kind.HIT:
            desk.not_here(passed_on.model, *trip.tried[-1])
        case Verdict.NOT_HERE:
            trip.gone.append(instance)
        case Verdict.UNKNOWN_MODEL:
            raise UnknownModel
        case Verdict.LOAD_FAILED if outcome.code is Code.UNAVAILABLE:  # it does not know the model, and cannot ask
            trip.error = StoreAway(outcome.text)
        case Verdict.LOAD_FAILED:
            trip.failed(instance, LoadFailure(outcome.text, outcome.code), desk.now)
        case Verdict.FULL:
            trip.error = ChurnRefused(outcome.text)
        case _:
            pass  # chosen anew, with what the refusal taught
    return None


def _judged(desk: Desk, request: Request, trip: Trip, outcome: Outcome) -> Answer | None:
    """An answer for the client, or None where the request is better off elsewhere (docs/design.md, statuses)."""
    match outcome:
        case Told(info):
            return info
        case RuntimeFailed(code=Code.UNAVAILABLE, text=text) if request.kind is Kind.EXTERNAL:
            trip.error = MeshError(f"ModelRuntime UNAVAILABLE: {text}")
            return None
        case RuntimeFailed(code=Code.RESOURCE_EXHAUSTED, text=text) if request.kind is Kind.EXTERNAL:
            trip.exhausted += 1
            trip.error = MeshError(text, Code.RESOURCE_EXHAUSTED)
            return None if trip.exhausted < desk.settings.max_exhausted else outcome
    assert isinstance(outcome, Answered | RuntimeFailed)
    return outcome


def has_lost_model(failed: RuntimeFailed) -> bool:
    """Whether the runtime says that it does not have a model it had loaded: in its own code or in the words of
    Triton (UNAVAILABLE) or MLServer (INVALID_ARGUMENT)."""
    words = failed.text.partition(f": {failed.code}: ")[2] or failed.text
    match failed.code:
        case Code.NOT_FOUND:
            return True
        case Code.UNAVAILABLE:
            is_unknown = words.startswith("Request for unknown model")
            return is_unknown and words.endswith((" is not found", " has no available versions"))
        case Code.INVALID_ARGUMENT:
            return words.startswith("Model ") and words.endswith(" not found")
        case _:
            return False


def _status(desk: Desk, model: str, status: Status) -> StatusInfo:
    record = desk.record(model)
    return replace(desk.status(model, record), status=status) if record else StatusInfo(status)
