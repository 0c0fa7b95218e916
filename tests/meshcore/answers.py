"""What the store and the runtime of a toy cluster answer, well or badly."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshcore.asks import (
    Answered,
    Clashed,
    Done,
    Failed,
    Met,
    Outcome,
    Refused,
    RuntimeFailed,
    StatusInfo,
    StoreSilent,
    Told,
    Unreachable,
    Verdict,
    VerdictError,
    Wrote,
)
from meshcore.capacity import CacheParams
from meshcore.commands import Command, Commit, Greet, Load, Measure, Predict, Probe, Publish, Route, Unload, Withdraw
from meshcore.errors import Code
from meshcore.events import (
    CommitFailed,
    Committed,
    Conflicted,
    Drained,
    Event,
    Failing,
    Finding,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    PublishFailed,
    RuntimeBack,
    RuntimeProbed,
    Unloaded,
    UnloadFailed,
)
from meshcore.units import UNIT_BYTES
from tests.meshcore.hosts import Host

LASTING_FAILURES = (
    RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: no such model"),
    RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"),
    RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: queue full"),
    RuntimeFailed(Code.INTERNAL, "/S/M: INTERNAL: bad input"),
)


@dataclass(frozen=True)
class Answers:
    """``sizes`` are cache units by model; a runtime that restarted has ``params`` with limits changed."""

    sizes: dict[str, int]
    unload_retries: int
    params: CacheParams

    def of_world(self, host: Host, command: Command, done: object, is_well: bool) -> Event:
        """To anything else that was asked; ``done`` is what a store did about it."""
        match command:
            case Predict(model, gen):
                return Predicted(model, gen, self.sizes[model] * UNIT_BYTES if is_well else 0)
            case Measure(model, gen):
                return Measured(model, gen, self.sizes[model] * UNIT_BYTES if is_well else 0)
            case Withdraw(model, gen):
                route = host.table.get(model)
                assert route is None or route.local is None or route.local.gen != gen, "not in the table any more"
                return Drained(model, gen)
            case Publish(seq):
                return PublishFailed(seq, str(done)) if done else Published(seq)
            case Commit(ticket):
                match done:
                    case Wrote(mod):
                        return Committed(ticket, mod)
                    case Clashed(value, mod):
                        return Conflicted(ticket, value, mod)
                    case StoreSilent(text, is_refused):
                        return CommitFailed(ticket, text, is_refused)
        raise AssertionError(f"{command} has no answer after {done}")

    def of_runtime(self, host: Host, command: Command, is_well: bool, how: int, is_same: bool) -> Event:
        """``is_same``: the runtime is still the one that was asked."""
        match command:
            case Load(model, gen):
                if not is_same:
                    return LoadFailed(model, gen, "UNAVAILABLE: reset", Failing.LOST)
                if not is_well:
                    return LoadFailed(model, gen, f"{command.path}: broken", list(Failing)[how % 3])
                host.answering[model] = gen, command.path
                return Loaded(model, gen, self.sizes[model] * UNIT_BYTES if gen % 2 else 0)
            case Unload(model, gen):
                if host.runtime.get(model) == gen:
                    host.answering.pop(model, None)
                    host.failed_unloads[model] = host.failed_unloads.get(model, 0) + 1
                    if is_well or host.failed_unloads[model] > self.unload_retries:  # lost in the end
                        del host.runtime[model], host.failed_unloads[model]
                return Unloaded(model, gen) if is_well else UnloadFailed(model, gen, "busy")
            case Probe(question):
                finding = Finding.OPEN
                if host.has_restarted:
                    finding = (Finding.REFUSED, Finding.REPLACED)[how % 2]
                return RuntimeProbed(question, finding if is_well else Finding.SILENT)
            case Greet():
                host.empty()
                host.has_restarted = False
                limits = ({}, {"capacity_units": 60, "reserve_units": 6}, {"load_threads": 1})[host.lives % 3]
                return RuntimeBack(replace(self.params, **limits))
            case _:
                raise AssertionError(f"{command} is not for the runtime")


def inferred(host: Host, model: str, gen: int, is_well: bool, how: int) -> Outcome:
    """A request is sent to a copy on its own instance."""
    route = host.table.get(model)
    if route is None or route.local is None or route.local.gen != gen:
        return Refused(Verdict.NOT_HERE, host.id)
    if host.has_restarted:
        return LASTING_FAILURES[how % 2]
    if not is_well:
        return LASTING_FAILURES[how % len(LASTING_FAILURES)]
    loaded, path = host.answering[model]
    assert loaded == gen, "the table names a copy that the runtime has"
    return Answered(path)


def met_badly(host: Host, route: Route, how: int) -> Met:
    """What the plane met that served a request by itself, at one of the holders."""
    holder = route.holders[how % len(route.holders)]
    outcome: Outcome = LASTING_FAILURES[how % len(LASTING_FAILURES)]
    gen = 0
    if holder.instance == host.id:
        gen = route.local.gen if route.local is not None else 0
    elif how % 3 == 0:
        outcome = Unreachable("connection refused")
    elif how % 3 == 1:
        outcome = Refused(Verdict.NOT_HERE, holder.instance)
    return Met(holder.instance, holder.load_ts, gen, outcome)


def come_back(end: Done | Failed) -> Outcome:
    """The end of a request, for whoever forwarded it."""
    match end:
        case Done(StatusInfo() as info):
            return Told(info)
        case Done(answer):
            return answer
        case Failed(VerdictError() as error):
            return error.refused
        case Failed(error):
            return RuntimeFailed(error.code, error.text)
