"""Several nodes and the world around them, one small step at a time: whoever drives it decides what happens next.

Nothing answers by itself. What a node asks for lies in ``Cluster.pending`` until ``deliver`` answers it, well or badly;
news from the store waits until ``watch``; time stands still until ``advance``. So any order of events can be played.
"""

from __future__ import annotations

from meshcore.asks import (
    Asked,
    AwaitLoaded,
    Clashed,
    Done,
    Failed,
    Forward,
    Infer,
    Outcome,
    Pause,
    Put,
    Read,
    Request,
    Settled,
    Step,
    StoreSilent,
    TimedOut,
    Unreachable,
    Wrote,
)
from meshcore.capacity import CacheParams
from meshcore.commands import (
    Begin,
    CancelLoad,
    Command,
    Commit,
    Depart,
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
    Targets,
    Unload,
    Withdraw,
)
from meshcore.events import (
    DrainAsked,
    Event,
    Idled,
    RuntimeSuspected,
    SessionRenewed,
    Started,
    Ticked,
    Usage,
    Used,
)
from meshcore.kv import Compacted, Kv
from meshcore.me import Me
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.vmodel_asks import AwaitVModel, PutVModel, ReadVModel
from tests.builders import NOW, params
from tests.meshcore import stored
from tests.meshcore.agreement import check, check_rest
from tests.meshcore.answers import Answers, come_back, inferred, met_badly
from tests.meshcore.hosts import Host, Pending, Running
from tests.meshcore.making import MakeNode, make_node, small_settings
from tests.meshcore.stored import WATCHED


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
        self._answers = Answers(sizes, self.settings.unload_retries, self.params)
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
        self.feed(host, Started())
        return host

    def _stand(self, host: Host) -> None:
        """It is a candidate for leading, for as long as its lease lasts and it does not go."""
        if not host.node.is_draining:
            stored.stand(self.kv, host)

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
        host.empty()
        host.has_restarted = True
        if is_told:
            self.feed(host, RuntimeSuspected("the connection was lost"))

    def drain(self, host: Host, budget_ms: int = 0) -> None:
        stored.resign(self.kv, host)
        self.feed(host, DrainAsked(budget_ms))

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
        return self.ask(host, Request(model, met=met_badly(host, route, how)))

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
        running.host.let_go(running)

    def _resume(self, running: Running, outcome: Outcome | None) -> None:
        host = running.host
        step, commands = host.node.resume(running.flow, outcome, self.clock(host))
        running.steps += 1
        assert running.steps <= 5 * self.settings.max_rounds, "a request ends"
        self._execute(host, commands)
        match step:
            case Done() | Failed():
                running.end, running.is_over = step, True
                self.flows.remove(running)
                if running.sender is not None and not running.sender.is_over:
                    self.pending.append(Pending(running.sender.host, come_back(step), running.sender))
            case Pause():
                self.pending.append(Pending(host, TimedOut(), running))
            case AwaitLoaded(model, gen):
                host.waiting.setdefault((model, gen), []).append(running)
            case AwaitVModel(vmodel):
                host.following.setdefault(vmodel, []).append(running)
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
                    stored.publish(self.kv, host, what)
                else:
                    pending.done = "no leader"
                self.pending.append(pending)
            case PutVModel() if pending.done is None:
                pending.done = stored.answer_vmodel(self.kv, what, is_well, how)
                self.pending.append(pending)
            case Infer() | Forward() | Read() | Put() | ReadVModel() | PutVModel():
                assert pending.flow is not None
                if not pending.flow.is_over:
                    self._take_step(pending.flow, what, pending.done, is_well, how)
            case Commit() | Measure() | Predict() | Publish() | Withdraw():
                host.end(what)
                self.feed(host, self._answers.of_world(host, what, pending.done, is_well))
            case Load() | Unload() | Probe() | Greet():
                host.end(what)
                self.feed(host, self._answers.of_runtime(host, what, is_well, how, pending.life == host.lives))
            case outcome:
                assert pending.flow is not None
                if not pending.flow.is_over:
                    self._resume(pending.flow, outcome)  # type: ignore[arg-type]

    def time_out(self, running: Running) -> None:
        """A request has waited for a load as long as it may."""
        if running.host.let_go(running):
            self._resume(running, TimedOut())

    def _take_step(self, running: Running, step: Step, done: object, is_well: bool, how: int) -> None:
        match step:
            case Infer(model, gen):
                self._resume(running, inferred(running.host, model, gen, is_well, how))
            case Forward(instance, request):
                peer = self.host(instance)
                if peer is None or not is_well:
                    self._resume(running, Unreachable("connection refused", how % 3 != 2))
                else:
                    self.ask(peer, request, running)
            case ReadVModel():
                self._resume(running, stored.read_vmodel(self.kv, step) if is_well else StoreSilent("no leader"))
            case Read(model):
                self._resume(running, stored.read(self.kv, model) if is_well else StoreSilent("no leader"))
            case _:
                self._resume(running, done)  # type: ignore[arg-type]

    def _write(self, what: Commit | Put) -> Wrote | Clashed:
        outcome = stored.write(self.kv, what)
        if isinstance(outcome, Wrote) and what.value is not None:
            copies = ModelRecord.decode(what.value).copies
            self.named.update((what.model, instance, load_ts) for instance, load_ts in copies.items())
        return outcome

    # -- news and time ----------------------------------------------------------------------------------

    def look(self, host: Host) -> None:
        """The whole store as it is now."""
        for prefix in WATCHED:
            self.feed(host, stored.whole(self.kv, host, prefix))

    def watch(self, host: Host, prefix: str, most: int = 1_000) -> int:
        """The next changes, ``most`` of them in one piece; how many there were."""
        try:
            count, event = stored.changes(self.kv, host, prefix, most)
        except Compacted:
            self.look(host)
            return 1
        if event is not None:
            self.feed(host, event)
        return count

    def advance(self, ms: int) -> None:
        """Time goes by; who wanted to be woken is, at that instant."""
        until = self.now + ms
        while due := [host for host in self.live if self.wake(host) <= until]:
            self.now = max(self.now, min(self.wake(host) for host in due))
            for host in due:
                if self.wake(host) <= self.now:
                    self.feed(host, Ticked())
                    assert self.wake(host) > self.now, "a tick leaves nothing due"
        self.now = until

    def clock(self, host: Host) -> int:
        """The time as an instance has it."""
        return self.now + host.ahead_ms

    def wake(self, host: Host) -> int:
        """When an instance wants to be woken, by the world's time."""
        return host.node.next_wake(self.clock(host)) - host.ahead_ms

    def use(self, host: Host, model: str, in_flight: int, count: int = 1) -> None:
        """The plane served so many requests by itself."""
        self.feed(host, Used((Usage(model, count, self.clock(host), in_flight),)))

    def feed(self, host: Host, event: Event) -> None:
        self._execute(host, host.node.step(event, self.clock(host)))

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
                case Targets(vmodel, active):
                    host.targets.pop(vmodel, None)
                    if active:
                        host.targets[vmodel] = command
                    for running in host.following.pop(vmodel, ()):
                        self.pending.append(Pending(host, Settled(None), running))
                case CancelLoad(model, gen):
                    is_held = any((held.model, held.gen) == (model, gen) for held in host.node.runtime._held)
                    assert ("Load", model, gen) in host.asked or is_held, "only what is loading"
                case Begin(request):
                    self.ask(host, request)
                case Depart():
                    host.departs += 1
                case Stop():
                    host.stops += 1
                    assert not [kind for kind, _, _ in host.asked if kind == "Commit"], "all is deregistered"
                case _:
                    host.begin(command)
                    self.pending.append(Pending(host, command, life=host.lives))

    # -- what must hold -----------------------------------------------------------------------------------

    def check(self) -> None:
        """After every step."""
        check(self.live, self.named)

    def step(self) -> None:
        """The oldest question is answered well and everybody hears of it; if there is none, the next who waits for time
        is woken."""
        if self.pending:
            self.deliver(self.pending[0])
            for host in self.live:
                for prefix in WATCHED:
                    self.watch(host, prefix)
        else:
            self.advance(max(0, min(map(self.wake, self.live)) - self.now))

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
                wake = min((self.wake(host) for host in self.live), default=until)
                if wake > until:
                    break
                self.advance(max(0, wake - self.now))
            self.check()
        else:
            raise AssertionError("it never comes to rest")
        self.now = until
        assert not self.flows, "every request was answered"
        check_rest(self.live, stored.records(self.kv), self.now)
