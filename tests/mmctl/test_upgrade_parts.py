"""What an upgrade is made of: what is new of a process, what loads come to, room for what leaves, kubectl's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.kv import Change as Revision
from meshcore.kv import Deleted, Pair, Snapshot
from meshcore.records import Failure, ModelRecord
from mmctl.errors import Failed, Usage
from mmctl.local import plan
from mmctl.local.etcd import Binary
from mmctl.local.home import Home
from mmctl.local.plan import Wish
from mmctl.local.state import State
from mmctl.upgrade import outlook
from mmctl.upgrade.change import PORTS, Change, check, differences, new_names, new_services, next_name
from mmctl.upgrade.deployment import selector
from mmctl.upgrade.loads import Loads
from mmctl.upgrade.record import Phase
from mmctl.upgrade.rollout import Tell, next_words, read_rollout, seen
from mmctl.upgrade.rules import Member
from mmctl.values import Instance
from tests.mmctl import kube, rollouts

PORT = {kind: 20_000 + at for at, kind in enumerate(PORTS)}


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    wish = Wish(2, "fake", ("--size", "1MiB"), settings={"MM_SCALEUP_RPM_THRESHOLD": "7"})
    return plan.make(wish, Home(tmp_path_factory.mktemp("home")), Binary("/etcd", (3, 5, 9), ""), None, "1")


# -- processes ---------------------------------------------------------------------------------------


def test_new_process_is_as_the_former_one_where_nothing_is_new(state: State) -> None:
    runtime, meshd = new_services(Change(), state.of_instance("mesh-0"), "mesh-2", PORT, "")
    before = {service.name: service for service in state.of_instance("mesh-0")}
    assert meshd.command == before["mesh-0"].command
    assert runtime.command[:4] == before["mesh-0-runtime"].command[:4]
    assert runtime.command[4:] == (
        "20005", "--capacity", "512MiB", "--prestop", "http://127.0.0.1:20004/prestop", "--instance", "mesh-2",
        "--size", "1MiB",
    )  # fmt: skip
    changed = {name for name, value in before["mesh-0"].env.items() if meshd.env[name] != value}
    assert changed == {
        "MM_INSTANCE_ID", "MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT", "MM_PRESTOP_WAIT_PORT", "MM_METRICS",
        "INTERNAL_GRPC_PORT",
    }  # fmt: skip
    assert (meshd.name, meshd.ports["grpc"], runtime.ports) == ("mesh-2", 20_000, {"spi": 20_005})


def test_new_process_has_what_is_new(state: State) -> None:
    change = Change("2", {"MM_SCALEUP_RPM_THRESHOLD": "9"}, "onnx", None, "1GiB", "/python")
    runtime, meshd = new_services(change, state.of_instance("mesh-0"), "mesh-2", PORT, "/models")
    assert runtime.command[2] == "runtimes.onnx"
    assert runtime.command[-4:] == ("--prestop", "http://127.0.0.1:20004/prestop", "--model-root", "/models")
    assert (meshd.env["SERVICE_VERSION"], meshd.env["MM_SCALEUP_RPM_THRESHOLD"]) == ("2", "9")
    assert meshd.command == ("/python", "-m", "meshd")
    assert differences(change, state)[:4] == [
        ("version", "", "2"), ("MM_SCALEUP_RPM_THRESHOLD", "7", "9"), ("runtime", "fake", "onnx"),
        ("capacity", "512MiB", "1GiB"),
    ]  # fmt: skip
    assert Change.of(change.plain) == change
    assert Change.of(replace(change, runtime_args=("a",)).plain).runtime_args == ("a",)


def test_names_are_new(state: State) -> None:
    assert new_names(state) == ("mesh-2", "mesh-3")
    assert next_name(state, ("mesh-7", "other")) == "mesh-8"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(), "say what is new"),
        (Change(runtime="triton"), "--runtime 'triton': one of onnx, fake"),
        (Change(capacity="0"), "--capacity: more than nothing"),
        (Change(settings={"SHUTDOWN_TIMEOUT_MS": "soon"}), "a number of milliseconds"),
    ],
)
def test_change_that_cannot_be_is_usage(change: Change, words: str) -> None:
    with pytest.raises(Usage, match=words):
        check(change)


def test_model_server_that_up_did_not_start_is_told(state: State) -> None:
    runtime, meshd = state.of_instance("mesh-0")
    with pytest.raises(Failed, match="mesh-0-runtime: not a model server as `up` starts it: triton --fast"):
        new_services(Change(), (replace(runtime, command=("triton", "--fast")), meshd), "mesh-2", PORT, "")


# -- loads -------------------------------------------------------------------------------------------


def test_models_that_fail_on_new_instances_only_count() -> None:
    loads = Loads("r/")

    def pair(name: str, record: ModelRecord) -> Pair:
        return Pair(f"r/{name}", record.encode(), 2, 1)

    def failed(**at: int) -> ModelRecord:
        return ModelRecord("t", failures={instance: Failure(ms, "no") for instance, ms in at.items()})

    assert not loads.is_known.is_set()
    loads.on_snapshot(
        Snapshot(5, (
            pair("new", failed(c=100)), pair("early", failed(c=99)), pair("both", failed(c=100, a=5)),
            pair("old", failed(a=100)), Pair("r/broken", b"{", 2, 1),
            pair("slow", ModelRecord("t", copies={"c": 40, "a": 10})),
            pair("well", ModelRecord("t", copies={"c": 30}, ready={"c": 30})),
        ))
    )  # fmt: skip
    assert loads.is_known.is_set()
    assert loads.failing({"c", "d"}, {"a", "b"}, {"c": 100}) == ("new",)
    assert loads.failing({"c", "d"}, {"a", "b"}, {"d": 100}) == ("early", "new")
    assert loads.newest_failures_ms({"c", "d"}) == {"c": 100}
    assert loads.slowest({"c", "d"}, 100) == ("slow on c", 0)
    assert loads.slowest({"c", "d"}, 160) == ("slow on c", 60)
    loads.on_change(Revision(6, (pair("new", ModelRecord("t")), pair("old", failed(d=200)), Deleted("r/slow", 6))))
    assert loads.failing({"c", "d"}, {"a", "b"}, {"c": 100, "d": 200}) == ("old",)
    assert loads.slowest({"c", "d"}, 100) == ("", 0)


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 0, 3_600_000])
def test_load_is_as_old_as_it_was_seen_whatever_the_clock_of_its_instance(ahead_ms: int) -> None:
    loads, begun, now = Loads("r/"), 2**42, 2**42

    def load(at: int, *ready: int) -> Pair:
        record = ModelRecord("t", copies={"c": at}, ready=dict.fromkeys("c" * len(ready), at))
        return Pair("r/m", record.encode(), 2, 1)

    loads.on_snapshot(Snapshot(5, (load(begun + ahead_ms),)))
    assert [loads.slowest({"c"}, now + after)[1] for after in (0, 5_000, 60_000)] == [0, 5_000, 60_000]
    loads.on_change(Revision(6, (load(begun + ahead_ms + 1),)))  # another load of it begins
    assert loads.slowest({"c"}, now + 61_000) == ("m on c", 0)


# -- room --------------------------------------------------------------------------------------------


def instance(name: str, used: int, capacity: int = 100) -> Instance:
    return Instance(name, used_bytes=used, capacity_bytes=capacity, models=used // 10)


@pytest.mark.parametrize(
    ("used", "new_capacity", "rooms", "evicts"),
    [
        ((50, 50), 100, [150, 150], []),
        ((100, 100), 100, [100, 100], []),
        ((100, 100), 90, [90, 90], ["a", "b"]),
        ((10, 90), 0, [10, 0], ["b"]),
    ],
)
def test_room_for_what_leaves(used: tuple[int, int], new_capacity: int, rooms: list[int], evicts: list[str]) -> None:
    old = [instance("a", used[0]), instance("b", used[1])]
    steps = outlook.steps(old, ["c", "d"], new_capacity)
    assert [(step.do, step.instance) for step in steps] == [
        ("start", "c"), ("drain", "a"), ("start", "d"), ("drain", "b")
    ]  # fmt: skip
    assert [step.room_bytes for step in steps if step.do == "drain"] == rooms
    assert [text.partition(" holds ")[0] for text in outlook.warnings(steps)] == evicts


# -- kubectl -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "look", "tell"),
    [
        (Phase.ROLLING, rollouts.START[0], Tell.BEGIN),
        (Phase.ROLLING, rollouts.SURGES[0], Tell.NOTHING),
        (Phase.ROLLING, rollouts.SURGES[1], Tell.NOTHING),
        (Phase.ROLLING, rollouts.look(rollouts.OLD_PODS, (2, 3, 3), paused=True), Tell.RESUME),
        (Phase.HELD, rollouts.STUCK, Tell.PAUSE),
        (Phase.HELD, rollouts.look(rollouts.OLD_PODS, (2, 3, 3), paused=True), Tell.NOTHING),
        (Phase.ROLLING_BACK, rollouts.STUCK, Tell.UNDO),
        (Phase.ROLLING_BACK, rollouts.look(rollouts.OLD_PODS, (2, 3, 3), paused=True), Tell.UNDO),
        (Phase.ROLLING_BACK, rollouts.UNDONE[0], Tell.NOTHING),
        (Phase.ROLLING_BACK, rollouts.UNDONE[1], Tell.NOTHING),
        (Phase.ROLLING_BACK, rollouts.look(rollouts.OLD_PODS, (1, 2, 2), paused=True), Tell.RESUME),
    ],
)
def test_kubectl_is_told_what_the_phase_wants_and_is_not_so(phase: Phase, look: rollouts.Look, tell: Tell) -> None:
    rollout = read_rollout(look["deployment"], look["listed"])
    assert next_words(phase, rollout, kube.OLD)[0] is tell


def test_pods_of_others_and_those_that_are_over_do_not_count() -> None:
    look = rollouts.look(rollouts.OLD_PODS, (1, 1, 1))
    other = kube.pod(kube.PodNow("another-7d9c5f8b6d", "x"))
    evicted = kube.pod(kube.PodNow(kube.OLD, "zzzzz"))
    evicted["status"]["phase"] = "Failed"
    look["listed"]["items"] += [other, evicted]
    found = read_rollout(look["deployment"], look["listed"])
    assert [pod.name for pod in found.pods] == [pod.name for pod in rollouts.OLD_PODS]
    assert [pod.instance for pod in found.pods] == ["5f8b6d-x2k4q"[-12:], "5f8b6d-m9tzw"]


def test_who_is_seen_is_who_is_there_by_the_word_of_both() -> None:
    """A pod that terminates goes, one that etcd does not know is not ready yet, whatever Kubernetes says."""
    look = rollouts.SWAPS[1]
    rollout = read_rollout(look["deployment"], look["listed"])
    ids = [pod.instance for pod in rollout.pods]
    known = {name: Instance(name, models=7, loads_in_progress=1) for name in ids[:2]}
    found = seen(rollout, kube.OLD, rollout.images, known)
    assert found.old == (
        Member(ids[0], is_ready=True, is_going=True, models=7, loads=1),
        Member(ids[1], is_ready=True, models=7, loads=1),
    )
    assert found.new == (Member(ids[2], text="etcd does not know it"),)
    assert (found.size, found.stuck, found.is_settled) == (2, "", False)
    done = read_rollout(rollouts.SWAPS[-1]["deployment"], rollouts.SWAPS[-1]["listed"])
    assert seen(done, kube.OLD, {}, {}).is_settled
    assert (seen(done, kube.OLD, {}, {}).comes, seen(done, kube.NEW, {}, {}).comes) == (kube.NEW, "")


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (rollouts.waiting(rollouts.PULLS), 'ImagePullBackOff: Back-off pulling image "registry.example/meshd:1.0"'),
        (rollouts.waiting(("ContainerCreating", "")), "ContainerCreating"),
        (
            kube.PodNow(kube.NEW, "h5r2c", is_ready=False, unscheduled="0/3 nodes are available"),
            "Unschedulable: 0/3 nodes are available",
        ),
    ],
)
def test_why_a_pod_is_not_ready_is_told(pod: kube.PodNow, text: str) -> None:
    look = rollouts.look((*rollouts.OLD_PODS, pod), (2, 2, 2))
    found = seen(read_rollout(look["deployment"], look["listed"]), kube.OLD, {}, {})
    assert [member.text for member in found.new] == [text]
    assert bool(found.stuck) == text.startswith("ImagePull")


def test_every_kind_of_selector_is_told_to_kubectl() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"},
    ]  # fmt: skip
    found = selector({"spec": {"selector": {"matchLabels": {"app": "m"}, "matchExpressions": expressions}}})
    assert found == "app=m,a in (x,y),b notin (z),c,!d"
    with pytest.raises(Failed, match="selects no pods"):
        selector({"spec": {"selector": {}}})
