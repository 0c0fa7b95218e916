"""A mesh of real processes around a real etcd: instances come, crash, go and come back under load."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

import grpc
import pytest
from grpc import aio

from meshcore.records import ModelRecord
from protos import etcd_pb2, etcd_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import ECHO, GUARD_S, Client, instance_of, spec
from tests.processes import Instance, Mesh, until

pytestmark = pytest.mark.e2e

NAMES = tuple(f"model-{number:04}" for number in range(1000))
LOADED = wire.Model.Status.LOADED


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Three instances with a thousand models registered, room for all on any two; tests leave them running."""
    with Mesh(tmp_path_factory.mktemp("mesh"), {"MM_MIN_CHURN_AGE_MS": "0"}) as made:
        for name in ("a", "b", "c"):
            made.fake(name, "--capacity=1GiB", "--size=1MiB", "--loading-concurrency=8")
        made.start()
        results = made["a"].client.register_all(spec(name) for name in NAMES)
        assert [(result.code, result.created) for result in results] == [(0, True)] * len(NAMES)
        yield made


class Traffic:
    """Requests for models at random, some at once, each to one of the instances that ``targets`` names just then; not
    more than ``most`` a second, so that the processor is free for those who start meanwhile."""

    WORKERS = 8

    def __init__(self, models: Sequence[str], targets: Callable[[], Sequence[Instance]], most: float = 400) -> None:
        self._models, self._targets = models, targets
        self._pause_s = self.WORKERS / most
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(GUARD_S)

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        enough = self.answered.total() + count
        until(lambda: self.answered.total() >= enough or self.failures, f"{count} more answers")

    async def _run(self) -> None:
        channels: dict[str, aio.Channel] = {}
        await asyncio.gather(*(self._work(channels, random.Random(seed)) for seed in range(self.WORKERS)))
        for channel in channels.values():
            await channel.close()

    async def _work(self, channels: dict[str, aio.Channel], rng: random.Random) -> None:
        while not self._stop.is_set():
            instance = rng.choice(self._targets())
            channel = channels.setdefault(instance.name, aio.insecure_channel(instance.address))
            metadata = (("mm-model-id", rng.choice(self._models)),)
            try:
                assert await channel.unary_unary(ECHO)(b"x", metadata=metadata, timeout=GUARD_S) == b"x"
                self.answered[instance.name] += 1
            except grpc.RpcError as error:
                self.failures.append(f"{instance.name}: {error!r}")
            await asyncio.sleep(self._pause_s)


class Ready:
    """The instances that say they are ready, looked at again and again as a Service's endpoints are: what is told is
    never older than ``FRESH_S``, well before an instance that is not ready any more ends."""

    FRESH_S = 1.0

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._looked = self._look()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __call__(self) -> list[Instance]:
        while time.monotonic() - self._looked[0] > self.FRESH_S:
            self._looked = self._look()
        return self._looked[1]

    def __enter__(self) -> Ready:
        self._thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._stop.set()
        self._thread.join(GUARD_S)

    def _look(self) -> tuple[float, list[Instance]]:
        """Who is ready, and when that began to be asked."""
        begun_s = time.monotonic()
        return begun_s, [instance for instance in self._mesh.instances.values() if instance.is_ready()]

    def _follow(self) -> None:
        while not self._stop.wait(0.2):
            self._looked = max(self._look(), self._looked, key=lambda looked: looked[0])


def records(mesh: Mesh) -> dict[str, ModelRecord]:
    """Every model's record as it stands in etcd."""
    prefix = b"/mm/mm/registry/"
    asked = etcd_pb2.RangeRequest(key=prefix, range_end=prefix[:-1] + b"0")
    with grpc.insecure_channel(mesh.etcd.address) as channel:
        reply = etcd_pb2_grpc.KVStub(channel).Range(asked)
    return {pair.key[len(prefix) :].decode(): ModelRecord.decode(pair.value) for pair in reply.kvs}


def holders(mesh: Mesh) -> dict[str, Mapping[str, int]]:
    """The copies that each model's record names."""
    return {name: record.copies for name, record in records(mesh).items()}


def answer_all(client: Client, models: Sequence[str] = NAMES) -> Counter[str]:
    """One request for each model, some at a time; how many each instance's runtime answered."""
    calls = [
        client.channel.unary_unary(ECHO).future(name.encode(), metadata=(("mm-model-id", name),), timeout=GUARD_S)
        for name in models
    ]
    answered: Counter[str] = Counter()
    for name, call in zip(models, calls, strict=True):
        assert call.result() == name.encode()
        initial = dict(call.initial_metadata())
        assert initial["fake-model"] == name
        answered[initial["fake-instance"]] += 1
    return answered


def test_a_thousand_models_answer_through_every_instance(mesh: Mesh) -> None:
    for instance in mesh.instances.values():
        answered = answer_all(instance.client)
        assert set(answered) == {"a", "b", "c"}, "the models are spread over all instances"
    for instance in mesh.instances.values():
        until(
            lambda instance=instance: all(model.status == LOADED for model in instance.client.models()),  # type: ignore[misc]
            "every instance knows that all are loaded",
        )
        listed = instance.client.models(page_size=300)
        assert tuple(model.spec.name for model in listed) == NAMES
        assert {len(model.copies) for model in listed} == {1}
    loads = sum(instance.metrics()["meshd_loads"] for instance in mesh.instances.values())
    assert loads == len(NAMES), "none was loaded twice, none evicted"


def test_every_model_answers_through_the_others_at_once_when_an_instance_is_killed(mesh: Mesh) -> None:
    others = [mesh["a"], mesh["c"]]
    held = [model.spec.name for model in others[0].client.models(instance="b")]
    assert held
    with Traffic(NAMES, lambda: others) as traffic:
        traffic.more(300)
        mesh["b"].meshd.kill()
        for instance in others:
            assert "b" not in answer_all(instance.client)
        traffic.more(300)
    assert traffic.failures == []
    for instance in others:
        assert tuple(model.spec.name for model in instance.client.models()) == NAMES, "none is lost"

    ghosts = {name: copies["b"] for name, copies in holders(mesh).items() if "b" in copies}
    assert ghosts, "records still name copies that are gone"
    mesh["b"].start()
    until(lambda: all(holders(mesh)[name].get("b") != ghosts[name] for name in ghosts), "no ghost is left")
    mesh.settle()
    answer_all(mesh["b"].client)
    until(lambda: mesh["b"].client.instances()["b"].phase == "ready", "its record says so")


def test_an_instance_that_stands_still_holds_a_request_up_and_keeps_it_from_nobody(mesh: Mesh) -> None:
    held = [f"on-b-{number}" for number in range(10)]
    mesh["b"].client.register_all(spec(name) for name in held)
    for name in held:
        assert instance_of(mesh["b"].client.infer(name, metadata=(("mm-balanced", "true"),))) == "b"
    until(lambda: set(answer_all(mesh["a"].client, held)) == {"b"}, "a passes requests on to b")
    mesh["b"].meshd.freeze()
    try:
        assert set(answer_all(mesh["a"].client, held)) <= {"a", "c"}
        assert "b" in mesh["a"].client.instances(), "its lease is not over yet"
    finally:
        mesh["b"].meshd.thaw()
    answer_all(mesh["b"].client, held)
    for name in held:
        mesh["b"].client.unregister(name)


def test_no_request_fails_while_an_instance_is_taken_out_and_comes_back(mesh: Mesh) -> None:
    with Ready(mesh) as ready, Traffic(NAMES, ready) as traffic:
        traffic.more(300)
        assert mesh["c"].meshd.stop() == 0
        assert [instance.name for instance in ready()] == ["a", "b"]
        until(lambda: mesh["a"].client.models(instance="c") == [], "it took its copies out of the records")
        traffic.more(300)
        mesh["c"].start()
        mesh.settle()
        before = traffic.answered["c"]
        until(lambda: traffic.answered["c"] > before, "it answers again")
        traffic.more(300)
    assert traffic.failures == []
    assert "Traceback" not in mesh["c"].meshd.said()


def test_what_is_loaded_answers_while_etcd_is_away(mesh: Mesh) -> None:
    def is_store_there(instance: Instance) -> bool:
        return bool(instance.client.v1.Info(wire.InfoRequest(), timeout=GUARD_S).store_available)

    some = NAMES[::10]
    instances = list(mesh.instances.values())
    for instance in instances:
        answer_all(instance.client, some)
        assert is_store_there(instance)
    with Traffic(some, lambda: instances) as traffic:
        mesh.etcd.kill()
        for instance in instances:
            until(lambda instance=instance: not is_store_there(instance), "it notices")  # type: ignore[misc]
        traffic.more(300)
        mesh.etcd.start()
        for instance in instances:
            until(lambda instance=instance: is_store_there(instance), "it notices")  # type: ignore[misc]
        traffic.more(300)
    assert traffic.failures == []
    mesh["a"].client.register("afterwards", load=True)
    assert mesh["b"].client.infer("afterwards").body == b"hello"


def test_an_instance_leaves_nothing_running_and_says_nothing_alarming(mesh: Mesh) -> None:
    """Last, for it ends them all: the end of every process is in order."""
    for instance in mesh.instances.values():
        instance.meshd.signal(signal.SIGTERM)
    for instance in mesh.instances.values():
        assert instance.meshd.wait() == 0
        said = instance.meshd.said()
        assert "Traceback" not in said, said[-3000:]
        assert "never retrieved" not in said
