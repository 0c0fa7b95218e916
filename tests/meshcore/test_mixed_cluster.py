"""Java instances in the same cluster: shown, counted on for nothing, and left what is theirs."""

from __future__ import annotations

import pytest

from meshcore.asks import Answered, Asked, Done, Failed, Op, Register, Request, Status, StatusInfo, Unregister
from meshcore.errors import LoadFailure
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.java import JavaPods
from tests.meshcore.stored import MODELS

JAVA = "java-1"
PRUNED_MS = 3_600_000


class Mixed:
    """Two instances of ours, a and b, beside a Java pod; model m was registered in Java times."""

    def __init__(self) -> None:
        self.cluster = Cluster({"m": 10, "n": 10}, Settings(fill_period_ms=0))
        self.java = JavaPods(self.cluster.kv)
        self.java.join(JAVA, self.cluster.now)
        self.java.register("m", type="t", mPath="p", lu=self.cluster.now - 5)
        self.java.mark("m", {"deep": [1.5, None]})
        self.a, self.b = self.cluster.start("a"), self.cluster.start("b")
        self.settle()

    def settle(self) -> None:
        """All that is to come of it has come, and some time more."""
        self.cluster.settle(ms=60_000)
        self.java.check()

    def ask(self, host: Host, asked: Asked) -> Done | Failed:
        """The end of a request after which all is at rest again."""
        running = self.cluster.ask(host, asked)
        self.settle()
        assert running.end is not None
        return running.end

    def infers(self, host: Host) -> bool:
        """Whether ``host`` answers for model m."""
        return self.ask(host, Request("m")) == Done(Answered("p"))

    def record(self) -> ModelRecord:
        pair = self.cluster.kv.get(MODELS + "m")
        assert pair is not None
        return ModelRecord.decode(pair.value)

    def ours(self) -> dict[str, int]:
        """The copies of m on instances of ours, as the record has them."""
        return {name: load_ts for name, load_ts in self.record().copies.items() if name != JAVA}

    def loads(self) -> int:
        """How many loads instances of ours took on."""
        return sum(host.node.publisher.accepted for host in self.cluster.live)


@pytest.fixture
def mixed() -> Mixed:
    return Mixed()


def test_java_pod_is_shown_and_neither_offered_loads_nor_counted(mixed: Mixed) -> None:
    """However much room it has and however new it is: totals, the order of placement, the gap between publishes."""
    for host in (mixed.a, mixed.b):
        view = host.node.view
        assert [name for name, _ in view.instances()] == ["a", "b", JAVA]
        assert view.order.get(JAVA) is None
        assert view.totals.instances == 2
        assert view.totals.capacity_units < 10**9
        assert JAVA not in host.peers
    assert mixed.infers(mixed.a)


def test_what_only_java_holds_is_loaded_beside_it(mixed: Mixed) -> None:
    """It counts as not loaded; its copy stays in the record, and so does what only Java knows."""
    since = mixed.cluster.now
    mixed.java.load(JAVA, "m", since)
    for host in (mixed.a, mixed.b):
        status = mixed.ask(host, Request("m", Op.STATUS))
        assert status == Done(StatusInfo(Status.NOT_LOADED))
    assert mixed.infers(mixed.a)
    assert mixed.record().copies[JAVA] == since
    assert (mixed.loads(), len(mixed.ours())) == (1, 1)
    assert mixed.infers(mixed.b)
    assert mixed.loads() == 1, "one copy of ours serves both"
    assert mixed.record().ready.keys() == mixed.ours().keys(), "ready is said of ours alone"


def test_java_loads_and_unloads_beside_a_copy_of_ours(mixed: Mixed) -> None:
    assert mixed.infers(mixed.a)
    ours = mixed.ours()
    for change in (
        lambda: mixed.java.load(JAVA, "m", mixed.cluster.now),
        lambda: mixed.java.mark("m", "again"),
        lambda: mixed.java.unload(JAVA, "m", mixed.cluster.now),
        lambda: mixed.java.say(JAVA, shutdown=True),
        lambda: mixed.java.leave(JAVA),
    ):
        change()
        mixed.settle()
        assert mixed.ours() == ours
        assert mixed.record().ready == ours, "what it does not know it has kept"
        assert mixed.infers(mixed.a)
        assert mixed.infers(mixed.b)
    assert mixed.loads() == 1


def test_java_that_loads_at_the_same_moment_is_no_reason_to_give_a_load_up(mixed: Mixed) -> None:
    """Both write the record; ours is written again over what Java wrote."""
    running = mixed.cluster.ask(mixed.a, Request("m"))
    mixed.java.load(JAVA, "m", mixed.cluster.now)
    mixed.settle()
    assert running.end == Done(Answered("p"))
    assert mixed.record().copies.keys() == {JAVA, *mixed.ours()}


@pytest.mark.parametrize("end", ["shutdown", "gone"])
def test_copies_of_java_stay_on_record_for_as_long_as_its_lease_lives(mixed: Mixed, end: str) -> None:
    """Who is in the table without an address of ours is there; once it is not, an instance of ours may lead."""
    mixed.java.load(JAVA, "m", mixed.cluster.now)
    if end == "gone":
        mixed.java.leave(JAVA)
    else:
        mixed.java.say(JAVA, shutdown=True)
    mixed.cluster.settle(ms=PRUNED_MS)
    assert mixed.infers(mixed.b)
    mixed.cluster.kill(mixed.b)
    mixed.settle()
    assert mixed.infers(mixed.a)
    assert (JAVA in mixed.record().copies) == (end == "shutdown")


def test_java_that_leads_takes_off_what_is_gone_and_ours_do_not(mixed: Mixed) -> None:
    """Whoever has been a candidate the longest leads, of either kind."""
    cluster = mixed.cluster
    mixed.java.stand(JAVA)
    for host in cluster.live:
        cluster.expire(host)
    mixed.java.join("java-2", cluster.now)
    mixed.java.load("java-2", "m", cluster.now)
    mixed.java.leave("java-2")
    cluster.settle(ms=PRUNED_MS)
    assert mixed.a.node.upkeep.leader == JAVA
    assert "java-2" in mixed.record().copies
    mixed.java.leave(JAVA)
    cluster.settle(ms=PRUNED_MS)
    assert mixed.a.node.upkeep.leader in {"a", "b"}
    assert not mixed.record().copies


def test_copy_from_before_a_java_pods_start_is_its_own_business(mixed: Mixed) -> None:
    mixed.java.load(JAVA, "m", 5)
    assert mixed.infers(mixed.a)
    assert mixed.record().copies[JAVA] == 5


def test_copy_that_java_takes_off_is_put_back_with_its_readiness(mixed: Mixed) -> None:
    """A Java leader that has missed an instance for twenty minutes takes its copies off: what is here is on record."""
    assert mixed.infers(mixed.a)
    ours = mixed.ours()
    (holder,) = ours
    mixed.java.take_off("m", holder)
    mixed.settle()
    assert mixed.ours() == ours == mixed.record().ready
    assert mixed.infers(mixed.b)
    assert mixed.loads() == 1


def test_readiness_of_a_dead_instance_goes_with_the_copy_that_java_takes_off(mixed: Mixed) -> None:
    assert mixed.infers(mixed.a)
    (holder,) = mixed.ours()
    host = mixed.cluster.host(holder)
    assert host is not None
    mixed.cluster.kill(host)
    mixed.settle()
    mixed.java.take_off("m", holder)
    (left,) = mixed.cluster.live
    assert mixed.infers(left)
    assert mixed.record().ready.keys() == {left.id}


def test_model_that_java_unregisters_is_gone_here(mixed: Mixed) -> None:
    assert mixed.infers(mixed.a)
    mixed.java.unregister("m")
    mixed.settle()
    assert all(not host.runtime for host in mixed.cluster.live)
    assert isinstance(mixed.ask(mixed.a, Request("m")), Failed)


@pytest.mark.parametrize("path", ["p", "q"])
@pytest.mark.parametrize("is_seen", [True, False])
def test_model_that_java_registers_anew_is_loaded_anew(mixed: Mixed, path: str, is_seen: bool) -> None:
    """Whether or not the time between was seen: what was loaded was of the former registration."""
    assert mixed.infers(mixed.a)
    mixed.java.unregister("m")
    if is_seen:
        mixed.settle()
    mixed.java.register("m", type="t", mPath=path)
    mixed.settle()
    assert mixed.ask(mixed.b, Request("m")) == Done(Answered(path))
    assert mixed.loads() == 2


def test_registration_is_agreed_on_by_both(mixed: Mixed) -> None:
    end = mixed.ask(mixed.a, Register("m", "t", "p"))
    assert isinstance(end, Done)
    assert isinstance(end.answer, StatusInfo)
    assert not end.answer.is_new
    assert isinstance(mixed.ask(mixed.a, Register("m", "t", "elsewhere")), Failed)
    assert mixed.ask(mixed.b, Unregister("m")) == Done(StatusInfo(Status.NOT_FOUND, is_changed=True))
    assert mixed.cluster.kv.get(MODELS + "m") is None


@pytest.mark.parametrize(
    ("failures", "age_ms", "is_loaded"), [(2, 0, True), (3, 0, False), (3, 450_001, True)], ids=str
)
def test_failures_of_java_count_like_any(mixed: Mixed, failures: int, age_ms: int, is_loaded: bool) -> None:
    """What three instances could not load just now is not worth a fourth try, whatever they are written in."""
    for number in range(failures):
        pod = f"java-{number + 2}"
        mixed.java.join(pod, mixed.cluster.now)
        mixed.java.fail(pod, "m", mixed.cluster.now, "bad in Java")
    mixed.cluster.settle(ms=age_ms)
    end = mixed.ask(mixed.a, Request("m"))
    assert end == (Done(Answered("p")) if is_loaded else Failed(LoadFailure("bad in Java")))
    assert len(mixed.record().failures) == failures, "they are Java's to take off"


def test_pod_that_changes_over_is_a_new_instance(mixed: Mixed) -> None:
    """Its id may stay: what the Java process had is gone, and this one takes loads."""
    mixed.java.load(JAVA, "m", mixed.cluster.now)
    mixed.java.leave(JAVA)
    changed = mixed.cluster.start(JAVA)
    mixed.cluster.settle()
    assert JAVA not in mixed.record().copies, "it has not got it"
    assert mixed.a.node.view.totals.instances == 3
    assert mixed.a.peers[JAVA] == changed.node.identity.address
    back = JavaPods(mixed.cluster.kv)
    mixed.cluster.kill(changed)
    mixed.cluster.settle()
    back.join(JAVA, mixed.cluster.now)
    mixed.cluster.settle()
    assert mixed.a.node.view.totals.instances == 2
    assert not mixed.a.peers.get(JAVA)


def test_ghost_is_taken_off_by_whoever_loads_next(mixed: Mixed) -> None:
    """A copy from before its instance started: this one is told of by a record that its instance has not seen yet."""
    cluster = mixed.cluster
    mixed.java.load("b", "m", mixed.b.node.identity.start_ms - 5)
    cluster.watch(mixed.a, MODELS)
    running = cluster.ask(mixed.a, Request("m", exclude=("b",)))
    while not running.is_over:
        cluster.deliver(next(pending for pending in cluster.pending if pending.host is mixed.a))
    assert running.end == Done(Answered("p"))
    assert mixed.record().copies.keys() == {"a"}
