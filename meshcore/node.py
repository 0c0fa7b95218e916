"""One instance's brain: events in, commands out, requests as flows; here is only who does what."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from meshcore import registration, routing, vmodel_flows
from meshcore.alignment import Alignment
from meshcore.asks import Asked, Done, Failed, Kind, Op, Outcome, Register, Request, Step, Unregister
from meshcore.cache import Cache
from meshcore.capacity import CacheParams
from meshcore.commands import Begin, Command, Publish, Stop
from meshcore.contacts import Contacts
from meshcore.copies import Copies
from meshcore.departure import Departure
from meshcore.desk import FrontDesk
from meshcore.dials import Dials
from meshcore.edits import Edit
from meshcore.entry import Entry
from meshcore.errors import BadRecord, MeshError
from meshcore.events import Event, Seen
from meshcore.failures import Failures
from meshcore.intake import take
from meshcore.me import Me
from meshcore.outage import Outage
from meshcore.publisher import Publisher
from meshcore.readiness import Readiness
from meshcore.reasons import Reason, ReasonLog, Rule
from meshcore.records import InstanceRecord, ModelRecord, Phase
from meshcore.rendezvous import Rendezvous
from meshcore.rerouting import Rerouting
from meshcore.restarts import RuntimeWatch
from meshcore.routes import Routes
from meshcore.routing import Flow
from meshcore.rules import Rules
from meshcore.scaling import Scaling
from meshcore.settings import Settings
from meshcore.totals import Totals
from meshcore.transitions import Transitions
from meshcore.units import NEVER
from meshcore.upkeep import Upkeep
from meshcore.view import ClusterView
from meshcore.vmodel_asks import AskVModel, DeleteVModel, Prepare, SetVModel, Transit
from meshcore.vmodels import VModels
from meshcore.writer import Ended, Writer


class Node:
    """What one instance knows and wants (docs/design.md, one decision loop).

    ``step`` and ``resume`` are the only ways in, one at a time, each with the instant ``now`` (epoch ms, never going
    back). Whatever they want done comes back as commands. ``rng`` is the only chance there is.
    """

    NOT_STATE = frozenset({"_commands", "_timed"})  # given out before the next way in; parts named already
    """What ``meshcore.image`` leaves out; any part of a node may have such a set."""

    def __init__(self, me: Me, settings: Settings, params: CacheParams, rules: Rules, rng: Random) -> None:
        self.identity, self.rules, self.rng = me, rules, rng
        self.dials = Dials(settings)
        self.now = me.start_ms
        self.log = ReasonLog()
        self.bad: dict[str, str] = {}
        """Models whose record cannot be read, and what is wrong with it."""
        self._commands: list[Command] = []
        self.view = ClusterView(me.instance, me.start_ms, settings, params.min_churn_age_ms)
        self.cache = Cache(params, rules.ranking(rules.evict_order))
        self.routes = Routes(self.view, self.cache.entries.get, self.emit, self.cache.mark_redundant)
        self.outage = Outage(self)
        self.rendezvous = Rendezvous(self.view)
        self.writer = Writer(me.instance, self.view, self.outage, self.emit, self.model_seen, settings.store_retry_ms)
        self.publisher = Publisher(me, lambda: self.settings, rng)
        self.copies = Copies(self, self.cache)
        self.runtime = RuntimeWatch(self, self.copies)
        self.desk = FrontDesk(self)
        self.alignment = Alignment(self)
        self.contacts = Contacts(self)
        self.rerouting = Rerouting(self)
        self.scaling = Scaling(self)
        self.failures = Failures(self)
        self.readiness = Readiness(self)
        self.upkeep = Upkeep(self)
        self.vmodels = VModels(self)
        self.transitions = Transitions(self)
        self.departure = Departure(self)
        # Failures last: upkeep looks at records, where those that are taken out in this very tick still stand.
        # The departure before upkeep: who stays after all may have come to lead.
        parts = self.rerouting, self.copies, self.runtime, self.scaling, self.readiness
        self._timed = self.outage, *parts, self.departure, self.upkeep, self.transitions, self.failures
        self._is_stopping = False

    # -- the ways in ---------------------------------------------------------------------------------

    def step(self, event: Event, now: int) -> list[Command]:
        """Take in what happened; what is to be done now."""
        self.now = now
        take(self, event)
        return self._drain()

    def serve(self, asked: Asked) -> Flow:
        """The flow of one request; ``resume(flow, None, now)`` takes its first step."""
        match asked:
            case SetVModel():
                return vmodel_flows.set_vmodel(self.desk, asked)
            case AskVModel():
                return vmodel_flows.vmodel_status(self.desk, asked)
            case DeleteVModel():
                return vmodel_flows.delete_vmodel(self.desk, asked)
            case Transit():
                return vmodel_flows.transit(self.desk, asked)
            case Prepare():
                return vmodel_flows.prepare(self.desk, asked)
            case Register():
                return registration.register(self.desk, asked)
            case Unregister():
                return registration.unregister(self.desk, asked)
            case Request(op=Op.STATUS):
                return registration.status(self.desk, asked)
            case Request(op=Op.ENSURE, kind=Kind.EXTERNAL, is_handover=True):
                return self.departure.handovers.follow(asked.model, registration.ensure(self.desk, asked))
            case Request(op=Op.ENSURE):
                return registration.ensure(self.desk, asked)
            case Request(kind=Kind.EXTERNAL, vmodel=vmodel) if vmodel:
                return vmodel_flows.by_name(self.desk, asked)
        return routing.route(self.desk, asked)

    def resume(self, flow: Flow, outcome: Outcome | None, now: int) -> tuple[Step | Done | Failed, list[Command]]:
        """Take ``flow`` to its next step, or its end, with the outcome of the last one (None: begin)."""
        self.now = now
        step: Step | Done | Failed
        try:
            step = next(flow) if outcome is None else flow.send(outcome)
        except StopIteration as end:
            step = Done(end.value)
        except MeshError as error:
            step = Failed(error)
        return step, self._drain()

    def leave(self, flow: Flow) -> None:
        """Nobody waits for ``flow`` any more; fine if it has ended."""
        flow.close()

    def next_wake(self, now: int) -> int:
        """The instant at which Ticked is due, NEVER if nothing waits for time."""
        publish_at = NEVER if self.outage.is_away else self.publisher.next_wake()
        others = min(publish_at, self.writer.next_wake(), self.view.health.next_wake())
        return min(others, *(part.next_wake() for part in self._timed))

    def _drain(self) -> list[Command]:
        self._publish()
        commands, self._commands = self._commands, []
        return commands

    # -- what the parts need of the whole --------------------------------------------------------------

    @property
    def me(self) -> str:
        return self.identity.instance

    def totals_for(self, model_type: str) -> Totals:
        """What the instances add up to that may load models of a type."""
        return self.view.totals_for(model_type)

    @property
    def settings(self) -> Settings:
        return self.dials.settings

    @property
    def is_read_only(self) -> bool:
        """Whether registrations are to be left as they are, and what others lost in them too."""
        return self.identity.is_read_only

    @property
    def is_draining(self) -> bool:
        return self.publisher.is_going

    @property
    def is_runtime_away(self) -> bool:
        return self.runtime.is_away

    def emit(self, command: Command) -> None:
        """Ask the driver for something."""
        self._commands.append(command)

    def explain(self, reason: Reason) -> Reason:
        """Keep why something is done."""
        return self.log.add(reason, self.now)

    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None:
        """Change a model's record."""
        self.writer.submit(model, edit, why, ended)

    def is_live(self, instance: str, load_ts: int) -> bool:
        """Whether a copy can still be where a record says."""
        return self.view.is_live(instance, load_ts)

    def is_ghost(self, instance: str, load_ts: int) -> bool:
        """Whether a copy went with an earlier process of its instance."""
        return not self.is_read_only and self.view.is_ghost(instance, load_ts)

    def changed(self, model: str) -> None:
        """The copy here came or went."""
        self.routes.update(model, self.record_or_none(model))
        self.scaling.changed(model)
        self.departure.handovers.changed(model)

    def accepted(self) -> None:
        """This instance took a load on: those who choose where to load should hear of it."""
        self.publisher.accepted += 1
        self.publisher.ask(self.now, self.view.totals.instances)

    def load_ended(self) -> None:
        """A loader is free again, and how much memory the load takes is known."""
        self.publisher.ask(self.now, self.view.totals.instances)

    def tried(self, entry: Entry, is_loaded: bool) -> None:
        """The runtime loaded a model, or could not."""
        self.readiness.tried(entry, is_loaded)

    def capacity_changed(self) -> None:
        """Memory was lost, or is there again."""
        self.publisher.ask(self.now, self.view.totals.instances)

    def retry(
        self, model: str, last_used: int, why: Reason, is_asked_for: bool, exclude: tuple[str, ...] = (),
        size_units: int = 0,
    ) -> None:  # fmt: skip
        """A copy came to nothing here, or makes room, that no request waits for: another is seen to, though not by
        ``exclude``; ``size_units`` is what it takes, as far as is known."""
        request = Request(
            model, Op.ENSURE, is_sync=False, last_used=last_used, exclude=exclude, size_units=size_units,
            is_asked_for=is_asked_for,
        )  # fmt: skip
        self.emit(Begin(request, why))

    def runtime_changed(self) -> None:
        """The runtime is away or back: while it is away others had better do the loading."""
        if not self.is_draining:
            self.publisher.phase = Phase.STARTING if self.is_runtime_away else Phase.READY
            self.publisher.ask_now(self.now)
        elif self.departure.is_to_return and not self.is_runtime_away:
            self.stay("another runtime is there: takes loads again")
        self.readiness.look()

    def record_or_none(self, model: str) -> ModelRecord | None:
        """The model's record; one that cannot be read counts as none."""
        try:
            return self.record(model)
        except BadRecord:
            return None

    def record(self, model: str) -> ModelRecord | None:
        """The model's record; raises BadRecord, which is reported once."""
        try:
            return self.view.record(model)
        except BadRecord as unreadable:
            if model not in self.bad:
                self.bad[model] = unreadable.text
                self.explain(Reason(Rule.UNREADABLE, model, "", unreadable.text, self.view.revision))
            raise

    def own_record(self) -> InstanceRecord:
        """This instance's record as it is now."""
        return self.publisher.record(self.cache, self.copies.queue)

    # -- what is seen ----------------------------------------------------------------------------------

    def see(self, seen: Seen) -> None:
        """A flow read or wrote a model's record."""
        if self.view.see_model(seen.id, seen.value, seen.mod):
            self.model_seen(seen.id)

    def model_seen(self, model: str) -> None:
        """A model's record is another one."""
        self.bad.pop(model, None)
        self.alignment.align(model)
        self.scaling.seen(model)
        self.upkeep.model_seen(model)
        self.transitions.model_seen(model)
        self.departure.handovers.model_seen(model)
        if not self.view.mod(model):
            self.log.forget(model)

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one."""
        record = self.view.instance(instance)
        self.view.came_or_went(instance, self.now)
        if text := self.view.bad.get(instance):
            self.explain(Reason(Rule.UNREADABLE, "", instance, text, self.view.revision))
        is_lost = not self.view.instance_mod(instance) or instance in self.view.bad
        if instance == self.me and is_lost and self.publisher.phase != Phase.STOPPING:
            self.publisher.ask_now(self.now)  # who lost it does not matter: this instance is there
        self.contacts.tell(instance, record.address if record is not None else "")
        self.rerouting.instance_seen(instance)
        self.upkeep.instance_seen(instance)
        self.departure.handovers.instance_seen(instance)

    def instance_given_up(self, instance: str) -> None:
        """An instance is taken for gone whose record vanished some time ago."""
        self.view.came_or_went(instance, self.now)
        self.contacts.tell(instance, "")
        self.rerouting.instance_seen(instance)
        self.upkeep.place_seen(instance)
        self.readiness.look()

    # -- time and the end --------------------------------------------------------------------------------

    def tick(self) -> None:
        self.writer.retry(self.now)
        for part in self._timed:
            part.tick()
        for instance in self.view.health.recovered(self.now):
            self.contacts.changed(instance)

    def _publish(self) -> None:
        """Write this instance's record if it is time, and follow the end of a drain."""
        if self._is_stopping and self.writer.is_done:
            self._is_stopping = False
            self.emit(Stop())
        if self.outage.is_away or self.publisher.next_wake() > self.now:
            return
        record = self.own_record()
        seq = self.publisher.take(record, self.now)
        if seq is not None:
            why = Reason(Rule.PUBLISH, "", self.me, "due", self.view.revision)
            self.emit(Publish(seq, record.encode(), self.explain(why)))

    def tuned(self, values: Mapping[str, int]) -> None:
        if self.dials.turn(values):
            cause = "set for all instances" if values else "as given to this instance"
            self.explain(Reason(Rule.SETTINGS, "", self.me, cause, self.view.revision, dict(values)))

    def drain_asked(self, budget_ms: int) -> None:
        """Take no more loads and have others take over the copies here; asked again, only the time can be shorter."""
        self._take_no_loads("this instance is going")
        self.departure.begin(budget_ms, is_for_good=True)

    def runtime_leaves(self, budget_ms: int) -> None:
        """As for the end of this instance, until another runtime is there."""
        self._take_no_loads("the runtime is going")
        self.departure.begin(budget_ms, is_for_good=False)

    def stay(self, cause: str) -> None:
        """Take loads again: this instance does not go after all."""
        self.departure.reset()
        self.publisher.phase = Phase.STARTING if self.is_runtime_away else Phase.READY
        self.publisher.ask_now(self.now)
        self.upkeep.follow_lead()
        self.explain(Reason(Rule.DRAIN, "", self.me, cause, self.view.revision))

    def _take_no_loads(self, cause: str) -> None:
        if not self.is_draining:
            self.publisher.phase = Phase.DRAINING
            self.publisher.ask_now(self.now)
            self.upkeep.follow_lead()
            self.copies.drop_pending(cause)

    def cordoned(self, is_cordoned: bool) -> None:
        """Take no loads any more, or again; asked for what is so already, nothing happens."""
        if is_cordoned != self.publisher.is_cordoned:
            self.publisher.is_cordoned = is_cordoned
            self.publisher.ask_now(self.now)
            cause = "takes no more loads, as somebody wants it" if is_cordoned else "takes loads again"
            self.explain(Reason(Rule.CORDON, "", self.me, cause, self.view.revision))

    def idled(self) -> None:
        if self.publisher.phase == Phase.STOPPING:
            return
        self.publisher.phase = Phase.STOPPING
        self.departure.end()
        self.copies.deregister_all("this instance is going")
        self._is_stopping = True
