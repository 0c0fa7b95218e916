"""What a request's flow may ask of its node, answered from the node's parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from meshcore.asks import CopyInfo, Kind, Refused, Request, Status, StatusInfo, Verdict
from meshcore.commands import Holder, Local, Route
from meshcore.edits import Deregister
from meshcore.entry import Entry, State
from meshcore.errors import Code, Draining, LoadFailure, MeshError, NowhereToLoad
from meshcore.events import Seen
from meshcore.failures import keeps_out
from meshcore.hot import Choice
from meshcore.placement import Want
from meshcore.reasons import Candidate, Reason, Rejected, Rule, trimmed
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from meshcore.units import age_ms, to_units
from meshcore.vmodel_record import VModelRecord

if TYPE_CHECKING:
    from meshcore.node import Node

PRUNE_AGE_MS = 2_000
"""A copy that is not where its record says is taken out of it once the record had this long to be true."""

NO_LABELS = "There are no running instances that meet the label requirements of type {}: [{}]"
"""What clients of ModelMesh look for at the beginning of an error, word for word."""


class FrontDesk:
    """The counter between flows and the node: every call reads what is true now."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.me = node.me

    @property
    def settings(self) -> Settings:
        return self._node.settings

    @property
    def is_read_only(self) -> bool:
        return self._node.is_read_only

    @property
    def now(self) -> int:
        return self._node.now

    @property
    def load_wait_ms(self) -> int:
        """How long a request waits for a load here."""
        return self.settings.wait_load_factor * self._node.cache.params.load_timeout_ms

    # -- the registry --------------------------------------------------------------------------------

    def record(self, model: str) -> ModelRecord | None:
        """The model's registration as known here, a failure here that is on its way there included; raises
        BadRecord."""
        record, entry = self._node.record(model), self.entry(model)
        if record is None or entry is None or entry.state is not State.FAILED or self.me in record.failures:
            return record
        return record.with_failure(self.me, entry.failed_at, entry.failure, entry.load_ts)

    def mod(self, model: str) -> int:
        """The revision that the registration is known at; 0: absent."""
        return self._node.view.mod(model)

    def see(self, seen: Seen) -> None:
        """A read or a write told what stands in the store."""
        self._node.see(seen)

    def explain(self, reason: Reason) -> Reason:
        """Keep why something is done."""
        return self._node.explain(reason)

    # -- virtual models --------------------------------------------------------------------------------

    @property
    def default_owner(self) -> str:
        """Of virtual models that are made without one."""
        return self._node.identity.vmodel_owner

    def vmodel(self, vmodel: str) -> VModelRecord | None:
        """A virtual model's record as known here; raises BadRecord."""
        return self._node.vmodels.record(vmodel)

    def vmodel_mod(self, vmodel: str) -> int:
        """The revision that it is known at; 0: absent."""
        return self._node.vmodels.mod(vmodel)

    def see_vmodel(self, seen: Seen) -> None:
        """A read or a write told what stands in the store."""
        self._node.vmodels.see(seen)

    def may_switch(self, vmodel: str, record: VModelRecord) -> bool:
        """Whether what shall answer for a virtual model is as ready as what answers now, or has waited long enough."""
        return self._node.transitions.may_switch(vmodel, record)

    def is_held(self, models: Iterable[str]) -> bool:
        """Whether there is a live copy of any of them."""
        return self._node.transitions.is_held(models)

    def transited(self, vmodel: str) -> None:
        """The store was asked to end its transition."""
        self._node.transitions.ended(vmodel)

    def prepared(self, vmodel: str, has_failed: bool) -> None:
        """Copies that it needs are there or on their way, or cannot be had."""
        self._node.transitions.prepared(vmodel, has_failed)

    # -- copies --------------------------------------------------------------------------------------

    def entry(self, model: str) -> Entry | None:
        """The copy here, in whatever state."""
        return self._node.cache.entries.get(model)

    def holders(self, model: str, record: ModelRecord) -> tuple[Holder, ...]:
        """Live copies, the one here included."""
        return self._node.routes.holders(model, record)

    def choose_holder(self, request: Request, holders: tuple[Holder, ...]) -> Holder:
        """Of the ready ones of ``holders`` (at least one in all) one by the rule that the plane uses; if none is
        ready, the one whose load began first."""
        if len(holders) == 1:
            return holders[0]
        ready = tuple(holder for holder in holders if holder.is_ready)
        if ready:
            chosen, cause = self._balanced(request, ready), "ready"
        else:
            chosen, cause = min(holders, key=lambda holder: (holder.load_ts, holder.instance)), "loads the longest"
        candidates, more = trimmed([_weighed(holder, chosen) for holder in holders])
        inputs: dict[str, int | str] = {"balanced": int(request.is_balanced), "ready": len(ready)}
        revision = self._node.view.revision
        self.explain(Reason(Rule.HOLDER, request.model, chosen.instance, cause, revision, inputs, candidates, more))
        return chosen

    def _balanced(self, request: Request, ready: tuple[Holder, ...]) -> Holder:
        node, by_id = self._node, {holder.instance: holder for holder in ready}
        entry = self.entry(request.model) if self.me in by_id else None
        route = Route(request.model, Local(entry.gen) if entry is not None else None, ready)
        chosen = node.rules.balance(route, self.me, request.is_balanced, {}, self._is_ok, node.rng)
        return by_id[self.me if isinstance(chosen, Choice) else chosen]

    def _is_ok(self, instance: str) -> bool:
        return self._node.view.health.is_ok(instance, self.now)

    def touch(self, request: Request) -> None:
        """The copy here is wanted, or to be kept, and counts as used when the request says."""
        self._node.cache.touch(request.model, min(request.last_used or self.now, self.now))
        if (entry := self.entry(request.model)) and request.is_asked_for:
            entry.is_asked_for = True

    def await_load(self, entry: Entry, request: Request) -> None:
        """A request is going to wait for this load."""
        entry.is_awaited = True
        entry.is_asked_for |= request.is_asked_for
        if not request.is_urgent:
            return
        if not entry.is_waited_for:
            entry.is_waited_for = True
            inputs: dict[str, int | str] = {"age_ms": age_ms(entry.load_ts, self.now)}
            self.explain(Reason(Rule.WAIT, entry.model, self.me, "a request waits for its load", inputs=inputs))
        self._node.copies.queue.raise_class(entry)

    def lost(self, model: str, gen: int) -> None:
        """The runtime does not have the copy it should have."""
        entry = self.entry(model)
        if entry is not None and entry.gen == gen:
            self._node.copies.remove(model, "the runtime does not have it any more")
            self._node.runtime.lost(model)

    def doubt(self) -> int:
        """The runtime was not available: the number of the question whether it restarted, 0 if there is none."""
        return self._node.runtime.unavailable()

    # -- loading -------------------------------------------------------------------------------------

    def gives_up(self, request: Request, record: ModelRecord) -> MeshError | None:
        """Why no further load of this model should be tried now: it failed, or was answered, often enough."""
        if request.is_use:
            self._node.failures.used(request.model)
        return self.given_up(request, record)

    def given_up(self, request: Request, record: ModelRecord) -> MeshError | None:
        """As ``gives_up``, for a question that is no use of the model."""
        recent_ms = self.settings.failure_expiry_ms // 2
        recent = [f for f in record.failures.values() if age_ms(f.at, self.now) < recent_ms]
        if len(recent) >= self.settings.max_load_failures:
            return LoadFailure(max(recent, key=lambda failure: failure.at).text)
        elsewhere = ((i, load_ts) for i, load_ts in record.copies.items() if i not in request.exclude)
        live = [i for i, load_ts in elsewhere if self._node.is_live(i, load_ts)]
        if len(live) >= max(self.settings.max_load_locations, request.copies):
            return MeshError(f"failed to invoke in {len(live)} locations")
        return None

    def place(self, request: Request, record: ModelRecord) -> str | None:
        """Where to load the model, held in reserve there; None: nowhere, with the last failure if there is one."""
        node = self._node
        away = {self.me: Rejected.AWAY} if node.is_runtime_away else {}
        node.view.see_self(node.own_record())
        want = self.want(request, record)
        if request.is_handover:
            out = dict.fromkeys(node.departure.handovers.out(request, record.type), Rejected.OUTSTANDING)
            want = replace(want, exclude={**out, **want.exclude})
        target = self._place(replace(want, exclude={**away, **want.exclude}))
        if target is None and away:  # it waits for the runtime here
            target = self._place(want)
        if target is not None and target != self.me and not node.outage.is_unsure:
            node.view.reserve(target, want.size_units or node.cache.params.default_units, self.now, request.model)
        if request.is_handover:
            node.departure.handovers.placed(request, target, record.type)
        return target

    def want(self, request: Request, record: ModelRecord) -> Want:
        """What a place is looked for, and who is out of the question."""
        exclude = dict.fromkeys(request.exclude, Rejected.EXCLUDED)
        exclude |= {
            instance: Rejected.FAILED
            for instance, failure in record.failures.items()
            if self._keeps_out(instance, failure, request.is_use)
        }
        exclude |= dict.fromkeys(request.targets, Rejected.TRIED)
        exclude |= {holder.instance: Rejected.HOLDS for holder in self.holders(request.model, record)}
        units = request.size_units or to_units(record.size_bytes)
        last_used = max(request.last_used, record.last_used) if request.last_used else 0
        return Want(request.model, record.type, units, last_used, exclude, request.is_balanced)

    def _keeps_out(self, instance: str, failure: Failure, is_use: bool) -> bool:
        """Whether a failure on record stands; one from before its instance started is a former process's."""
        is_former = self._node.view.is_ghost(instance, failure.at)
        return not is_former and keeps_out(failure, self.now, self.settings, is_use)

    def _place(self, want: Want) -> str | None:
        target = self._placed(want)
        if target is None and want.size_units:
            # memory that is being given back is not advertised: the target knows better
            target = self._placed(replace(want, size_units=0))
        return target

    def _placed(self, want: Want) -> str | None:
        """The instance that shall load ``want``: while no record tells of loads, the one that all would choose."""
        node = self._node
        if node.outage.is_unsure:
            target, why = node.rendezvous.place(want, self.now)
        else:
            target, why = node.rules.place(node.view, want, self.now, node.rng)
        node.explain(why)
        return target

    def no_place(self, record: ModelRecord) -> MeshError:
        """What explains best that there is nowhere to load: that nobody there has the labels, the last failure on
        record, or that this instance is going and nobody else is there."""
        view = self._node.view
        required = view.partitions.constraints.required(record.type)
        is_last = self._node.is_draining and self.may_load(record)
        if required and not view.totals_for(record.type).instances and not is_last:
            return NowhereToLoad(NO_LABELS.format(record.type, ", ".join(required)))
        if record.failures:
            return LoadFailure(max(record.failures.values(), key=lambda failure: failure.at).text)
        if self._node.is_draining:
            return Draining("this instance is going and there is no other")
        return NowhereToLoad("Nowhere available to load")

    def admit(self, request: Request, record: ModelRecord) -> Entry:
        """Begin a load where there is no copy but perhaps a failed one; raises Draining, LoadFailure (churn, age, a
        failure here that still stands)."""
        node = self._node
        self.would_admit(request, record)
        node.copies.remove(request.model, "tried again after a failure")
        return node.copies.admission.admit(
            request.model, record, record.copies, request.last_used, request.size_units, request.is_urgent,
            request.is_asked_for, request.copies,
        )  # fmt: skip

    def would_admit(self, request: Request, record: ModelRecord) -> None:
        """Raises Draining or LoadFailure where this instance begins no load of the model, room or not."""
        node = self._node
        if node.is_draining:
            raise Draining("this instance is going")
        if node.publisher.is_cordoned:
            raise Draining("this instance is cordoned")
        failure = record.failures.get(self.me)
        if failure is not None and self._keeps_out(self.me, failure, request.is_use):
            raise LoadFailure(failure.text)

    def replacement_ended(self, model: str, is_refused: bool) -> None:
        """Another copy of a model was asked for because the one here goes, and that has ended."""
        self._node.departure.handovers.asked(model, is_refused)

    def may_load(self, record: ModelRecord) -> bool:
        """Whether this instance has the labels that models of this type require."""
        return self._node.view.partitions.constraints.allow(record.type, self._node.identity.labels)

    def declines(self, request: Request, record: ModelRecord) -> bool:
        """Whether to leave a load to others that another instance sent here (D-04): this one knows better places, or
        its runtime is not back yet and somebody's is. So often a request is sent on for that, and no more."""
        node, view = self._node, self._node.view
        if len(request.targets) >= self.settings.max_declines:
            return False
        view.see_self(node.own_record())
        if node.is_runtime_away:
            order = view.order.walk(self.now, view.partitions.eligible(record.type).candidates)
            return not request.targets and any(entry.id != self.me for entry in islice(order, 2))
        if node.outage.is_unsure:
            return False  # who chose this instance will choose it again
        why = node.rules.outdone(view, self.want(request, record), self.now)
        if why is not None:
            node.explain(why)
        return why is not None

    def news_ms(self, declines: int) -> int:
        """How long a load that was declined so often waits for news of others' loads before it chooses anew: not as
        long as the next, or they would choose the same again."""
        times = 1.5 ** (declines - 1) * (0.5 + self._node.rng.random())
        return int(self.settings.declined_wait_ms * times)

    # -- other instances ---------------------------------------------------------------------------------

    def refusal(self, verdict: Verdict, model: str, error: MeshError | None = None) -> Refused:
        """This instance's verdict, with its record as it is now."""
        entry = self.entry(model)
        load_ts = entry.load_ts if entry is not None else 0
        record = self._node.own_record().encode()
        code, text = (error.code, error.text) if error else (Code.INTERNAL, "")
        return Refused(verdict, self.me, load_ts, record, code, text)

    def refused(self, request: Request, instance: str, refused: Refused) -> None:
        """Learn from a peer's verdict; a load it did not take does not count against it any more."""
        view = self._node.view
        if request.kind is Kind.LOAD:
            record = self._node.record_or_none(request.model)
            units = request.size_units or (to_units(record.size_bytes) if record else 0)
            view.release(instance, units or self._node.cache.params.default_units)
        if refused.record:
            view.see_told(instance, refused.record)
        if request.is_handover and refused.verdict in (Verdict.DECLINED, Verdict.FULL):
            self._node.departure.handovers.declined(instance)

    def not_here(self, model: str, instance: str, load_ts: int) -> None:
        """A peer does not have the copy that its record names: take it out, unless it may only just have come."""
        is_kept = self.is_read_only or self._node.outage.is_unsure
        record = None if is_kept else self._node.record_or_none(model)
        if record is None or record.copies.get(instance) != load_ts or age_ms(load_ts, self.now) <= PRUNE_AGE_MS:
            return
        why = self.explain(Reason(Rule.PRUNE, model, instance, "said to be not there", self._node.view.revision))
        self._node.edit(model, Deregister(instance, load_ts), why)

    def sent(self, instance: str) -> None:
        """A request goes to a peer: if that is a trial, it is the only one for now."""
        if self._node.view.health.sent(instance, self.now):
            self._node.contacts.changed(instance)

    def reached(self, instance: str) -> None:
        """A peer answered."""
        self._node.contacts.reached(instance)

    def unreachable(self, instance: str) -> None:
        """A peer did not: leave it alone for a while."""
        if self._node.view.health.failed(instance, self.now):
            self._node.contacts.changed(instance)

    # -- status --------------------------------------------------------------------------------------

    def status(self, model: str, record: ModelRecord) -> StatusInfo:
        """What the model is doing as far as this instance knows (docs/design.md, statuses).

        Copies show as UNKNOWN and failures as LOADING_FAILED, newest first, as clients of ModelMesh know them.
        """
        holders = self.holders(model, record)
        expiry_ms = self.settings.failure_expiry_ms
        failures = sorted(
            ((f.at, instance, f.text) for instance, f in record.failures.items() if age_ms(f.at, self.now) < expiry_ms),
            reverse=True,
        )
        if any(holder.is_ready for holder in holders):
            status = Status.LOADED
        elif holders:
            status = Status.LOADING
        else:
            status = Status.LOADING_FAILED if failures else Status.NOT_LOADED
        copies = [CopyInfo(holder.instance, Status.UNKNOWN, holder.load_ts) for holder in holders]
        copies += [CopyInfo(instance, Status.LOADING_FAILED, at) for at, instance, _ in failures]
        copies.sort(key=lambda copy: (-copy.at, copy.instance))
        return StatusInfo(status, tuple(text for _, _, text in failures), tuple(copies))


def _weighed(holder: Holder, chosen: Holder) -> Candidate:
    """A holder as it stands in a Reason: the score is when its load began."""
    if holder is chosen:
        return Candidate(holder.instance, (holder.load_ts,))
    unready = Rejected.NOT_READY if chosen.is_ready else Rejected.LOADING
    return Candidate(holder.instance, (holder.load_ts,), Rejected.NOT_DRAWN if holder.is_ready else unready)
