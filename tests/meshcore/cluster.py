"""Several nodes and the world around them, one small step at a time: whoever drives it decides what happens next.

Nothing answers by itself. What a node asks for lies in ``Cluster.pending`` until ``deliver`` answers it, well or badly;
news from the store waits until ``watch``; time stands still until ``advance``. So any order of events can be played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from meshcore.asks import (
    Answered,
    Asked,
    AwaitLoaded,
    Clashed,
    Done,
    Failed,
    Forward,
    Infer,
    Met,
    Outcome,
    Put,
    Read,
    Refused,
    Request,
    RuntimeFailed,
    Settled,
    StatusInfo,
    Step,
    StoreSilent,
    TimedOut,
    Told,
    Unreachable,
    Verdict,
    VerdictError,
    Wrote,
)
from meshcore.capacity import CacheParams
from meshcore.commands import (
    Begin,
    CancelLoad,
    Command,
    Commit,
    Greet,
    Load,
    Measure,
    Peers,
    Predict,
    Probe,
    Publish,
    Route,
    Settle,
    Stop,
    Unload,
    Withdraw,
)
from meshcore.entry import State
from meshcore.errors import Code
from meshcore.events import (
    CommitFailed,
    Committed,
    Conflicted,
    DrainAsked,
    Drained,
    Event,
    Failing,
    Finding,
    Idled,
    InstancesSeen,
    LeaderSeen,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    PublishFailed,
    RegistrySeen,
    RuntimeBack,
    RuntimeProbed,
    RuntimeSuspected,
    Seen,
    SessionRenewed,
    Ticked,
    Unloaded,
    UnloadFailed,
    Usage,
    Used,
)
from meshcore.kv import ABSENT, ANY, DELETE, KEEP, Compacted, Conflict, Kv, Pair, Write
from meshcore.leadership import candidate, leader
from meshcore.me import Me
from meshcore.node import Node
from meshcore.records import ModelRecord
from meshcore.routing import Flow
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, params
from tests.invariants import check_cache

MODELS, INSTANCES, LATCH = "registry/", "instances/", "leaderLatch/"

WATCHED = MODELS, INSTANCES, LATCH

LASTING_FAILURES = (
    RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: no such model"),
    RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"),
    RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: queue full"),
    RuntimeFailed(Code.INTERNAL, "/S/M: INTERNAL: bad input"),
)


@dataclass(eq=False)
class Host:
    """One instance from its start to its end: the node, its runtime, its table, its place in the watches."""

    id: str
    node: Node
    lease: int
    runtime: dict[str, int] = field(default_factory=dict)
    """What the runtime holds memory for, half loaded and half unloaded ones included, and the gen it was asked with."""
    answering: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What the runtime has loaded: gen and path."""
    table: dict[str, Route] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    waiting: dict[tuple[str, int], list[Running]] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Commands that are not answered: their kind, what they are about, their number."""
    watched: dict[str, int] = field(default_factory=dict)
    failed_unloads: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    """How often the runtime was emptied, by its end or by a handshake."""
    has_restarted: bool = False
    """The runtime is another one, and the handshake with it is not over: it has nothing of what the node knows."""
    former: list[tuple[str, str, int]] = field(default_factory=list)
    """What is not answered and was asked before the last handshake began."""
    is_alive: bool = True
    stops: int = 0


@dataclass(eq=False)
class Running:
    """A flow, on its host, for whoever forwarded it."""

    host: Host
    flow: Flow
    sender: Running | None = None
    end: Done | Failed | None = None
    steps: int = 0
    is_over: bool = False


@dataclass(eq=False)
class Pending:
    """Something that is not answered yet; ``done`` is what a store already did about it."""

    host: Host
    what: Command | Step | Outcome
    flow: Running | None = None
    done: object = None
    life: int = 0
    """Of the runtime, when it was asked."""


def small_settings() -> Settings:
    """Two tries of an unload, so that losing memory is within reach; the rest as everywhere."""
    return Settings(unload_retries=2)


MakeNode = Callable[[Me, Settings, CacheParams, int], Node]


def make_node(me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
    return Node(me, settings, params, Rules(), Random(seed))


class Cluster:
    """The world; ``sizes`` are cache units by model."""

    def __init__(
        self, sizes: dict[str, int], settings: Settings | None = None, make: MakeNode | None = None, **limits: int
    ) -> None:
        self.now = NOW
        self._make = make or make_node
        self.kv = Kv()
        self.sizes = sizes
        self.settings = settings or small_settings()
        self.params: CacheParams = params(**({"min_churn_age_ms": 0} | limits))
        self.hosts: list[Host] = []
        """All there ever were."""
        self.pending: list[Pending] = []
        self.flows: list[Running] = []
        self.named: set[tuple[str, str, int]] = set()
        """Every (model, instance, load_ts) that ever stood in the registry."""

    # -- instances ------------------------------------------------------------------------------------

    @property
    def live(self) -> list[Host]:
        return [host for host in self.hosts if host.is_alive]

    def host(self, id: str) -> Host | None:  # noqa: A002
        """The live instance of that name."""
        return next((host for host in self.live if host.id == id), None)

    def start(self, id: str) -> Host:  # noqa: A002
        """A new instance, perhaps under an old name; it knows the store as it is now."""
        self.now += 1
        me = Me(id, self.now, f"{id}:8080", f"{id}:8033")
        node = self._make(me, self.settings, self.params, len(self.hosts))
        host = Host(id, node, self.kv.grant(20_000, self.now))
        self.hosts.append(host)
        self._stand(host)
        self.look(host)
        return host

    def _stand(self, host: Host) -> None:
        """It is a candidate for leading, for as long as its lease lasts and it does not go."""
        if not host.node.is_draining:
            self.kv.commit([Write(LATCH + candidate(host.id), ANY, b"", leased=True)], host.lease)

    def kill(self, host: Host) -> None:
        """It is gone from one moment to the next; its lease lasts until ``expire``."""
        host.is_alive = False
        for running in [flow for flow in self.flows if flow.host is host]:
            self._abandon(running)
            if running.sender is not None and running.sender.host.is_alive and not running.sender.is_over:
                self.pending.append(Pending(running.sender.host, Unreachable("connection reset"), running.sender))

    def expire(self, host: Host) -> None:
        """A dead instance's lease ends; a live one's ends too, and it gets another."""
        self.kv.revoke(host.lease)
        if host.is_alive:
            host.lease = self.kv.grant(20_000, self.now)
            self._stand(host)
            self.feed(host, SessionRenewed())
        else:
            host.lease = 0

    def restart_runtime(self, host: Host, is_told: bool) -> None:
        """The runtime is another one from one moment to the next; ``is_told``: the lost connection is noticed."""
        self._empty(host)
        host.has_restarted = True
        if is_told:
            self.feed(host, RuntimeSuspected("the connection was lost"))

    def _empty(self, host: Host) -> None:
        host.runtime.clear()
        host.answering.clear()
        host.failed_unloads.clear()
        host.lives += 1

    def drain(self, host: Host) -> None:
        self.kv.commit([Write(LATCH + candidate(host.id), ANY, DELETE)])
        self.feed(host, DrainAsked())

    def idle(self, host: Host) -> None:
        self.feed(host, Idled())

    # -- requests -------------------------------------------------------------------------------------

    def ask(self, host: Host, asked: Asked, sender: Running | None = None) -> Running:
        """Begin a request; ``Running.end`` says how it ended."""
        running = Running(host, host.node.serve(asked), sender)
        self.flows.append(running)
        self._resume(running, None)
        return running

    def ask_again(self, host: Host, model: str, how: int) -> Running | None:
        """A request that the plane served by itself, and that did not go well."""
        route = host.table.get(model)
        if route is None:
            return None
        holder = route.holders[how % len(route.holders)]
        outcome: Outcome = LASTING_FAILURES[how % len(LASTING_FAILURES)]
        gen = 0
        if holder.instance == host.id:
            gen = route.local.gen if route.local is not None else 0
        elif how % 3 == 0:
            outcome = Unreachable("connection refused")
        elif how % 3 == 1:
            outcome = Refused(Verdict.NOT_HERE, holder.instance)
        return self.ask(host, Request(model, met=Met(holder.instance, holder.load_ts, gen, outcome)))

    def cancel(self, running: Running) -> None:
        """The client goes away, and with it whoever works for it."""
        self._abandon(running)
        for child in [flow for flow in self.flows if flow.sender is running]:
            self.cancel(child)

    def _abandon(self, running: Running) -> None:
        running.host.node.leave(running.flow)
        running.is_over = True
        if running in self.flows:
            self.flows.remove(running)
        for waiting in running.host.waiting.values():
            if running in waiting:
                waiting.remove(running)

    def _resume(self, running: Running, outcome: Outcome | None) -> None:
        host = running.host
        step, commands = host.node.resume(running.flow, outcome, self.now)
        running.steps += 1
        assert running.steps <= 5 * self.settings.max_rounds, "a request ends"
        self._execute(host, commands)
        match step:
            case Done() | Failed():
                running.end, running.is_over = step, True
                self.flows.remove(running)
                if running.sender is not None and not running.sender.is_over:
                    self.pending.append(Pending(running.sender.host, _come_back(step), running.sender))
            case AwaitLoaded(model, gen):
                host.waiting.setdefault((model, gen), []).append(running)
            case _:
                self.pending.append(Pending(host, step, running))

    # -- the world's answers ----------------------------------------------------------------------------

    def deliver(self, pending: Pending, is_well: bool = True, how: int = 0) -> None:
        """Answer one thing that was asked; not ``is_well``: one of the ways, ``how``, in which it can go wrong."""
        self.pending.remove(pending)
        host, what = pending.host, pending.what
        if not host.is_alive:
            if isinstance(what, Commit) and pending.done is None and how % 2:
                self._write(what)  # it was on its way
            return
        match what:
            case Commit() | Put() if pending.done is None:
                if is_well or how % 2:
                    pending.done = self._write(what)
                else:
                    pending.done = StoreSilent("no leader")
                if not is_well and isinstance(pending.done, Wrote):
                    pending.done = StoreSilent("no answer")  # though it was done
                self.pending.append(pending)
            case Publish() if pending.done is None:
                pending.done = ""
                if is_well:
                    self.kv.commit([Write(INSTANCES + host.id, ANY, what.value, leased=True)], host.lease)
                else:
                    pending.done = "no leader"
                self.pending.append(pending)
            case Infer() | Forward() | Read() | Put():
                assert pending.flow is not None
                if not pending.flow.is_over:
                    self._take_step(pending.flow, what, pending.done, is_well, how)
            case Commit() | Measure() | Predict() | Publish() | Withdraw():
                self._answer(host, what, pending.done, is_well)
            case Load() | Unload() | Probe() | Greet():
                self._answer_of_runtime(host, what, is_well, how, pending.life == host.lives)
            case outcome:
                assert pending.flow is not None
                if not pending.flow.is_over:
                    self._resume(pending.flow, outcome)  # type: ignore[arg-type]

    def time_out(self, running: Running) -> None:
        """A request has waited for a load as long as it may."""
        for waiting in running.host.waiting.values():
            if running in waiting:
                waiting.remove(running)
                self._resume(running, TimedOut())
                return

    def _take_step(self, running: Running, step: Step, done: object, is_well: bool, how: int) -> None:
        host = running.host
        match step:
            case Infer(model, gen):
                route = host.table.get(model)
                if route is None or route.local is None or route.local.gen != gen:
                    self._resume(running, Refused(Verdict.NOT_HERE, host.id))
                elif host.has_restarted:
                    self._resume(running, LASTING_FAILURES[how % 2])
                elif is_well:
                    loaded, path = host.answering[model]
                    assert loaded == gen, "the table names a copy that the runtime has"
                    self._resume(running, Answered(path))
                else:
                    self._resume(running, LASTING_FAILURES[how % len(LASTING_FAILURES)])
            case Forward(instance, request):
                peer = self.host(instance)
                if peer is None or not is_well:
                    self._resume(running, Unreachable("connection refused", how % 3 != 2))
                else:
                    self.ask(peer, request, running)
            case Read(model):
                pair = self.kv.get(MODELS + model)
                if not is_well:
                    self._resume(running, StoreSilent("no leader"))
                elif pair is None:
                    self._resume(running, Seen(model, None, self.kv.revision))
                else:
                    self._resume(running, Seen(model, pair.value, pair.mod))
            case _:
                self._resume(running, done)  # type: ignore[arg-type]

    def _answer(self, host: Host, command: Command, done: object, is_well: bool) -> None:
        host.asked.remove(_about(command))
        match command:
            case Predict(model, gen):
                self.feed(host, Predicted(model, gen, self.sizes[model] * UNIT_BYTES if is_well else 0))
            case Measure(model, gen):
                self.feed(host, Measured(model, gen, self.sizes[model] * UNIT_BYTES if is_well else 0))
            case Withdraw(model, gen):
                route = host.table.get(model)
                assert route is None or route.local is None or route.local.gen != gen, "not in the table any more"
                self.feed(host, Drained(model, gen))
            case Publish(seq):
                self.feed(host, PublishFailed(seq, str(done)) if done else Published(seq))
            case Commit(ticket):
                match done:
                    case Wrote(mod):
                        self.feed(host, Committed(ticket, mod))
                    case Clashed(value, mod):
                        self.feed(host, Conflicted(ticket, value, mod))
                    case StoreSilent(text):
                        self.feed(host, CommitFailed(ticket, text))

    def _answer_of_runtime(self, host: Host, command: Command, is_well: bool, how: int, is_same: bool) -> None:
        host.asked.remove(_about(command))
        match command:
            case Load(model, gen):
                if not is_same:
                    self.feed(host, LoadFailed(model, gen, "UNAVAILABLE: reset", Failing.LOST))
                elif is_well:
                    host.answering[model] = gen, command.path
                    size_bytes = self.sizes[model] * UNIT_BYTES if gen % 2 else 0
                    self.feed(host, Loaded(model, gen, size_bytes))
                else:
                    failing = list(Failing)[how % 3]
                    self.feed(host, LoadFailed(model, gen, f"{command.path}: broken", failing))
            case Unload(model, gen):
                if host.runtime.get(model) == gen:
                    host.answering.pop(model, None)
                    host.failed_unloads[model] = host.failed_unloads.get(model, 0) + 1
                    if is_well or host.failed_unloads[model] > self.settings.unload_retries:  # lost in the end
                        del host.runtime[model], host.failed_unloads[model]
                self.feed(host, Unloaded(model, gen) if is_well else UnloadFailed(model, gen, "busy"))
            case Probe(question):
                finding = Finding.OPEN
                if host.has_restarted:
                    finding = (Finding.REFUSED, Finding.REPLACED)[how % 2]
                self.feed(host, RuntimeProbed(question, finding if is_well else Finding.SILENT))
            case Greet():
                self._empty(host)
                host.has_restarted = False
                limits = ({}, {"capacity_units": 60, "reserve_units": 6}, {"load_threads": 1})[host.lives % 3]
                self.feed(host, RuntimeBack(replace(self.params, **limits)))

    def _write(self, what: Commit | Put) -> Wrote | Clashed:
        model, value = what.model, what.value
        writes = [Write(MODELS + model, what.expect, DELETE if value is None else value)]
        if isinstance(what, Commit):
            writes += [Write(INSTANCES + instance, ABSENT, KEEP) for instance in what.gone]
        outcome = self.kv.commit(writes)
        if isinstance(outcome, Conflict):
            pair = outcome.pairs[0]
            return Clashed(pair.value, pair.mod) if pair else Clashed(None, self.kv.revision)
        if value is not None:
            copies = ModelRecord.decode(value).copies
            self.named.update((model, instance, load_ts) for instance, load_ts in copies.items())
        return Wrote(outcome.revision)

    # -- news and time ----------------------------------------------------------------------------------

    def look(self, host: Host) -> None:
        """The whole store as it is now."""
        for prefix, kind in ((MODELS, RegistrySeen), (INSTANCES, InstancesSeen)):
            snapshot = self.kv.snapshot(prefix)
            host.watched[prefix] = snapshot.revision
            seen = tuple(Seen(pair.key.removeprefix(prefix), pair.value, pair.mod) for pair in snapshot.pairs)
            self.feed(host, kind(snapshot.revision, seen, True))
        self._tell_leader(host)

    def _tell_leader(self, host: Host) -> None:
        snapshot = self.kv.snapshot(LATCH)
        host.watched[LATCH] = snapshot.revision
        candidates = {pair.key.removeprefix(LATCH): pair.create for pair in snapshot.pairs}
        self.feed(host, LeaderSeen(leader(candidates)))

    def watch(self, host: Host, prefix: str, most: int = 1_000) -> int:
        """The next changes, ``most`` of them in one piece; how many there were."""
        try:
            changes = self.kv.changes_after(prefix, host.watched[prefix])[:most]
        except Compacted:
            self.look(host)
            return 1
        if changes and prefix == LATCH:
            self._tell_leader(host)
        elif changes:
            revision = host.watched[prefix] = changes[-1].revision
            pairs = [pair for change in changes for pair in change.pairs]
            seen = tuple(
                Seen(pair.key.removeprefix(prefix), pair.value if isinstance(pair, Pair) else None, pair.mod)
                for pair in pairs
            )
            self.feed(host, RegistrySeen(revision, seen) if prefix == MODELS else InstancesSeen(revision, seen))
        return len(changes)

    def advance(self, ms: int) -> None:
        """Time goes by; who wanted to be woken is, at that instant."""
        until = self.now + ms
        while due := [host for host in self.live if host.node.next_wake(self.now) <= until]:
            self.now = max(self.now, min(host.node.next_wake(self.now) for host in due))
            for host in due:
                if host.node.next_wake(self.now) <= self.now:
                    self.feed(host, Ticked())
                    assert host.node.next_wake(self.now) > self.now, "a tick leaves nothing due"
        self.now = until

    def use(self, host: Host, model: str, in_flight: int) -> None:
        """The plane served a request by itself."""
        self.feed(host, Used((Usage(model, 1, self.now, in_flight),)))

    def feed(self, host: Host, event: Event) -> None:
        self._execute(host, host.node.step(event, self.now))

    def _execute(self, host: Host, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Route(model, _, holders):
                    host.table.pop(model, None)
                    if holders:
                        host.table[model] = command
                case Peers(peers):
                    for peer in peers:
                        host.peers[peer.instance] = peer.address
                case Settle(model, gen, error):
                    for running in host.waiting.pop((model, gen), ()):
                        self.pending.append(Pending(host, Settled(error), running))
                case CancelLoad(model, gen):
                    is_held = any((held.model, held.gen) == (model, gen) for held in host.node.runtime._held)
                    assert ("Load", model, gen) in host.asked or is_held, "only what is loading"
                case Begin(request):
                    self.ask(host, request)
                case Stop():
                    host.stops += 1
                    assert not [kind for kind, _, _ in host.asked if kind == "Commit"], "all is deregistered"
                case _:
                    self._note(host, command)
                    self.pending.append(Pending(host, command, life=host.lives))

    def _note(self, host: Host, command: Command) -> None:
        about = _about(command)
        assert about not in host.asked, f"{about} is asked for already"
        host.asked.append(about)
        match command:
            case Load(model, gen):
                assert model not in host.runtime, "the runtime has, or still unloads, a former copy"
                host.runtime[model] = gen
                loading = [about for about in host.asked if about[0] == "Load" and about not in host.former]
                threads = host.node.cache.params.load_threads
                assert len(loading) <= threads + len(host.node.copies.unloads) or host.has_restarted
            case Unload(model, gen) | Withdraw(model, gen) | Measure(model, gen):
                assert host.has_restarted or host.runtime[model] == gen, "what the runtime has"
            case Greet():
                host.former = list(host.asked)
                host.has_restarted = True

    # -- what must hold -----------------------------------------------------------------------------------

    def check(self) -> None:
        """After every step."""
        for host in self.live:
            node = host.node
            check_cache(node.cache)
            for model, entry in node.cache.entries.items():
                if State.QUEUED <= entry.state <= State.ACTIVE:
                    assert (model, host.id, entry.load_ts) in self.named, "accepted before it takes room"
                if State.LOADING <= entry.state <= State.ACTIVE:
                    assert host.has_restarted or host.runtime.get(model) == entry.gen
                    assert not node.is_runtime_away, "nothing is in a runtime that is away"
                if entry.is_serving:
                    assert host.table[model].local is not None
                    assert host.table[model].local.gen == entry.gen
            for model, route in host.table.items():
                if route.local is not None:
                    assert node.cache.entries[model].is_serving
            for (model, gen), waiting in host.waiting.items():
                if waiting and not model:
                    assert (node.runtime._question, node.runtime._is_open) == (gen, True), "who waits will be told"
                elif waiting:
                    entry = node.cache.entries[model]
                    assert (entry.gen, entry.state < State.SIZING) == (gen, True), "who waits will be told"
            assert host.stops <= 1

    def settle(self, ms: int = 400_000) -> None:
        """Let everything go well until nothing more happens, and some time longer; then all must agree."""
        until = self.now + ms
        for _ in range(20_000):
            for host in self.hosts:
                if not host.is_alive and host.lease:
                    self.expire(host)
                if host.is_alive and host.has_restarted and not host.node.runtime._is_open and not host.asked:
                    self.feed(host, RuntimeSuspected("the connection is lost again"))
            if self.pending:
                self.deliver(self.pending[0])
            elif not sum(self.watch(host, prefix) for host in self.live for prefix in WATCHED):
                wake = min((host.node.next_wake(self.now) for host in self.live), default=until)
                if wake > until:
                    break
                self.advance(max(0, wake - self.now))
            self.check()
        else:
            raise AssertionError("it never comes to rest")
        self.now = until
        self._check_rest()

    def _check_rest(self) -> None:
        assert not self.flows, "every request was answered"
        records = {
            pair.key.removeprefix(MODELS): ModelRecord.decode(pair.value) for pair in self.kv.snapshot(MODELS).pairs
        }
        live = {host.id: host for host in self.live}
        for host in self.live:
            node = host.node
            assert not host.asked, "every command was answered"
            assert not len(node.writer)
            serving = {model: entry.load_ts for model, entry in node.cache.entries.items() if entry.is_serving}
            unfinished = [e for e in node.cache.entries.values() if not e.is_serving and e.state is not State.FAILED]
            assert not unfinished, "every load ended"
            named = {model: record.copies[host.id] for model, record in records.items() if host.id in record.copies}
            assert named == serving, "the registry names what is here"
            if not host.stops:
                assert set(host.runtime) == set(serving) == set(host.answering)
            for model, entry in node.cache.entries.items():
                record = records[model]
                assert (entry.type, entry.path) == (record.type, record.path), "of the registration that stands"
                if entry.is_serving:
                    assert record.is_ready(host.id)
                    assert host.id not in record.failures
            for model, record in records.items():
                expected = [
                    (holder, load_ts, record.is_ready(holder))
                    for holder, load_ts in sorted(record.copies.items())
                    if holder in live and load_ts >= live[holder].node.identity.start_ms
                ]
                route = host.table.get(model)
                told = [(h.instance, h.load_ts, h.is_ready) for h in route.holders] if route else []
                assert told == expected, "the table is what the registry says"
            node.view.expire(self.now)
            for other in self.live:
                assert node.view.reservations.loads(other.id) == 0, "nothing is held for ever"
            addresses = {other.id: f"{other.id}:8080" for other in self.live if other is not host}
            assert {peer: address for peer, address in host.peers.items() if address} == addresses


def _come_back(end: Done | Failed) -> Outcome:
    match end:
        case Done(StatusInfo() as info):
            return Told(info)
        case Done(answer):
            return answer
        case Failed(VerdictError() as error):
            return error.refused
        case Failed(error):
            return RuntimeFailed(error.code, error.text)


def _about(command: Command) -> tuple[str, str, int]:
    match command:
        case Commit(ticket):
            return "Commit", "", ticket
        case Publish(seq):
            return "Publish", "", seq
        case Probe(question):
            return "Probe", "", question
        case Greet():
            return "Greet", "", 0
        case Predict(model, gen) | Load(model, gen) | Measure(model, gen) | Withdraw(model, gen) | Unload(model, gen):
            return type(command).__name__, model, gen
        case _:
            raise AssertionError(f"{command} has no answer")
