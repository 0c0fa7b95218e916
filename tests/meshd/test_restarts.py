"""A runtime that ends and comes back beside an instance that goes on."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meshcore.events import Finding
from meshd import lookout
from meshd.handshake import RuntimeUnusable
from meshd.lookout import look, mark_of
from runtimes import sdk
from runtimes.fake import INJECTED
from tests.client import ECHO, GUARD_S, instance_of, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.meshd.runtime_server import Relay, RuntimeServer
from tests.processes import free_port, until

NAMES = [f"m{number}" for number in range(250)]
V2 = "/inference.GRPCInferenceService/ModelMetadata"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is there answers, however busy the machine is."""
    monkeypatch.setattr(lookout, "CONNECT_LIMIT_S", GUARD_S)


@contextmanager
def restartable(instances: int = 1, socket_path: str = "", **settings: str) -> Iterator[tuple[Mesh, RuntimeServer]]:
    """A mesh whose first instance's runtime can be ended and started again."""
    with mesh(0) as made:
        runtime = RuntimeServer(made, socket_path)
        runtime.start()
        made.add(wait=False, **runtime.settings, **settings)
        for _ in range(instances - 1):
            made.add(wait=False)
        made.settle()
        yield made, runtime


def is_away(made: Mesh) -> bool:
    return made[0].ready() == (503, "not ready: the model runtime restarts\n")


def restarts(made: Mesh) -> float:
    """Decisions about restarts so far."""
    return made[0].metrics().get('meshd_decisions{rule="restart",}', 0)


def copies(made: Mesh, models: list[str]) -> dict[str, Any]:
    """Where each model's record says it is."""
    return {name: (made.record(name) or {}).get("instanceIds", {}) for name in models}


def test_runtime_replaced_while_nothing_is_asked_of_it_is_noticed_and_greeted() -> None:
    """Its copies leave their records, others are told, and the models are loaded again when they are asked for."""
    with restartable() as (made, runtime):
        for name in NAMES:
            made.client.register(name)
        for name in NAMES:
            made.client.infer(name)
        runtime.kill()
        until(lambda: is_away(made), "the instance is not ready")
        until(lambda: made.client.instances()["i0"].phase == "starting", "its record says so")
        until(lambda: all(found == {} for found in copies(made, NAMES).values()), "no record names a copy")
        runtime.start()
        made.settle()
        until(lambda: made.client.instances()["i0"].phase == "ready", "its record says so")
        assert runtime.fake.total.loads == 0, "nothing is loaded that nobody asks for"
        for name in NAMES[:10]:
            made.client.infer(name)
        assert runtime.fake.total.loads == 10
        until(lambda: all(found.keys() == {"i0"} for found in copies(made, NAMES[:10]).values()), "records name them")
        assert made[0].metrics()['meshd_decisions{rule="restart",}'] == len(NAMES) + 2


def test_requests_wait_for_a_runtime_that_is_away_where_there_is_no_other() -> None:
    """Those that its end cut off, and those that come while it is away."""
    with restartable() as (made, runtime), ThreadPoolExecutor(8) as pool:
        made.client.register("slow", "fake:?infer_ms=600000")
        made.client.register("m")
        made.client.infer("m")
        cut_off = made.client.begin(ECHO, b"x", (("mm-model-id", "slow"),))
        until(lambda: runtime.fake.total.in_flight == 1, "a request is under way")
        runtime.kill()
        until(lambda: is_away(made), "the instance is not ready")
        late = [pool.submit(made.client.infer, "m") for _ in range(4)]
        runtime.start()
        assert {instance_of(each.result(GUARD_S)) for each in late} == {"fake"}
        until(lambda: runtime.fake.total.in_flight == 1, "the other is asked again")
        cut_off.cancel()


def test_others_answer_while_a_runtime_is_away() -> None:
    """No request fails and none waits for it."""
    with restartable(3) as (made, runtime):
        for name in NAMES[:30]:
            made.client.register(name)
            made.client.infer(name)
            if name == NAMES[0]:
                made.copy(name, 0)
        runtime.kill()
        for name in NAMES[:30]:
            assert instance_of(made.client.infer(name)) in ("i1", "i2")
            assert instance_of(made[1].client.infer(name)) in ("i1", "i2")
        until(lambda: is_away(made), "the instance is not ready")
        until(lambda: not any("i0" in found for found in copies(made, NAMES[:30]).values()), "no record names it")
        runtime.start()
        made.settle()
        for name in NAMES[30:60]:
            made.client.register(name)
            made.client.infer(name, metadata=(("mm-balanced", "true"),))
        assert runtime.fake.total.loads > 0, "it takes loads again"


def test_what_the_new_runtime_says_of_itself_counts_from_then_on() -> None:
    """Memory, and which methods it takes."""
    with restartable() as (made, runtime):
        made.client.register("m", "fake:?size=500MiB")
        made.client.infer("m")
        before = made.client.instances()["i0"].capacity_bytes
        runtime.kill()
        until(lambda: is_away(made), "it is noticed")
        runtime.start(capacity=300 * MIB, methods=INJECTED)
        made.settle()
        until(lambda: made.client.instances()["i0"].capacity_bytes < before // 3, "its record says so")
        assert refused(lambda: made.client.infer("m"))[0] == "UNIMPLEMENTED"
        assert "larger than capacity" in refused(lambda: made.client.call(V2, b"", (("mm-model-id", "m"),)))[1]
        made.client.register("n")
        made.client.call(V2, b"", (("mm-model-id", "n"),))


def test_process_ends_when_the_new_runtime_cannot_be_worked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the words that the first handshake has for it."""
    monkeypatch.setattr(sdk, "check", lambda runtime: None)  # else the runtime itself would not start
    with restartable() as (made, runtime):
        made.client.register("m")
        made.client.infer("m")
        runtime.kill()
        until(lambda: is_away(made), "it is noticed")
        runtime.start(default_model_size_bytes=1024 * MIB)
        made.run(asyncio.wait_for(made[0].task, GUARD_S))
        failure = made[0].app.fail()
        assert isinstance(failure, RuntimeUnusable)
        assert str(failure).startswith("The model server reports capacityInBytes = 1073741824; it must be at least")
        until(lambda: copies(made, ["m"]) == {"m": {}}, "its record names no copy")


def test_connection_that_breaks_costs_no_copy() -> None:
    """The runtime is there, and is not asked for its status: that would cost it its models."""
    with mesh(0) as made:
        runtime = RuntimeServer(made)
        runtime.start()
        relay = Relay(made, runtime.port)
        made.add(INTERNAL_GRPC_PORT=str(relay.port))
        made.client.register("m")
        made.client.infer("m")
        for number in range(3):
            connections = relay.connections
            relay.cut()
            until(lambda connections=connections: relay.connections >= connections + 2, "looked at, connected again")  # type: ignore[misc]
            until(lambda: made.client.infer("m"), "it answers")
            suspicions = made[0].metrics()['meshd_decisions{rule="suspect",}']
            assert suspicions == number + 1
        assert runtime.fake.total.loads == 1
        assert made[0].metrics()['meshd_decisions{rule="restart",}'] == 0
        assert made[0].ready()[0] == 200


def test_runtime_on_a_socket_is_noticed_too(tmp_path: Path) -> None:
    """Its path is there again, with another socket."""
    with restartable(socket_path=str(tmp_path / "grpc.sock")) as (made, runtime):
        made.client.register("m")
        made.client.infer("m")
        for told in (3, 6):  # a lost copy, the restart and its end, each time
            runtime.restart()
            until(lambda told=told: restarts(made) == told, "it is noticed, and over")  # type: ignore[misc]
            made.settle()
            made.client.infer("m")
            assert runtime.fake.total.loads == 1


def test_model_that_is_not_where_it_is_served_is_unloaded_where_it_is_managed() -> None:
    """Both have to agree on what is loaded."""
    with mesh(0) as made:
        runtime, serving = RuntimeServer(made), RuntimeServer(made)
        runtime.start()
        serving.start()
        made.add(**runtime.settings, INTERNAL_SERVING_GRPC_PORT=str(serving.port))
        made.client.register("m")
        assert refused(lambda: made.client.infer("m")) == ("INTERNAL", "8 retry iterations exhausted")
        until(lambda: runtime.fake.total.unloads == runtime.fake.total.loads > 0, "it is unloaded")
        assert serving.fake.total.unloads == 0


# -- what is to be seen


def seen(target: str, mark: Any = None) -> Finding:
    return asyncio.run(look(target, mark))


def test_port_is_open_or_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert seen(f"127.0.0.1:{port}") is Finding.OPEN
        assert seen(f"localhost:{port}") is Finding.OPEN
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert seen(f"{host}:{free_port()}") is Finding.REFUSED


def test_name_that_leads_nowhere_tells_nothing() -> None:
    assert seen("no-such-host.invalid:1") is Finding.SILENT


def test_listener_too_busy_to_take_a_connection_is_there_all_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(path)
        listening.listen(0)
        first.connect(path)
        assert seen(f"unix:{path}", mark_of(f"unix:{path}")) is Finding.OPEN


def test_socket_is_told_from_the_one_that_took_its_place(tmp_path: Path) -> None:
    """Also where the file system gives its number out again."""
    path, target = str(tmp_path / "s"), f"unix:{tmp_path}/s"
    assert (mark_of(target), mark_of("localhost:1")) == (None, None)
    with socket.socket(socket.AF_UNIX) as former, socket.socket(socket.AF_UNIX) as later:
        former.bind(path)
        former.listen()
        mark = mark_of(target)
        assert seen(target, mark) is Finding.OPEN
        os.unlink(path)
        assert seen(target, mark) is Finding.REFUSED
        later.bind(path)
        os.utime(path, ns=(1, 1))
        later.listen()
        assert seen(target, mark) is Finding.REPLACED
    assert seen(target, mark_of(target)) is Finding.REFUSED


@pytest.mark.parametrize("is_apart", [True, False])
def test_serving_place_of_its_own_is_looked_at_too(is_apart: bool) -> None:
    """A server behind an adapter has the models: its end is the adapter's restart."""
    with mesh(0) as made:
        runtime, serving = RuntimeServer(made), RuntimeServer(made)
        runtime.start()
        serving.start()
        apart = {"INTERNAL_SERVING_GRPC_PORT": str(serving.port)} if is_apart else {}
        made.add(**runtime.settings, **apart)
        made.client.register("m")
        made.client.ensure("m")
        serving.kill()
        if is_apart:
            until(lambda: is_away(made), "it is noticed")
        serving.start()
        made.settle()
        made.client.ensure("m")
        assert runtime.fake.total.loads == 1 + is_apart
