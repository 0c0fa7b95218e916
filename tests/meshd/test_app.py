"""One instance as a whole: how it starts and why not, what it counts, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from random import Random
from typing import Any

import pytest

from meshcore.errors import BadRecord
from meshd import config as configuration
from meshd import web
from meshd.app import App, StartError
from meshd.config import Host
from meshd.ending import Ending
from meshd.handshake import RuntimeUnusable
from meshd.plane.call import InferenceCall
from meshd.store.memory import MemoryHub
from meshd.web import ListenError
from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from tests.client import ECHO, Client, Status, instance_of, refused
from tests.meshd.mesh import MIB, mesh
from tests.meshd.test_mesh_port import headers, verdict
from tests.omitted import omit
from tests.processes import free_port, got, until

GUARD_S = 30
BALANCED = (("mm-balanced", "true"),)
LOADING_FAILED = Status.LOADING_FAILED


def settings(**given: str) -> dict[str, str]:
    """The least an instance needs, with ports of its own, and what the test gives."""
    ports = ("MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT", "INTERNAL_GRPC_PORT")
    return {
        "MM_SERVICE_NAME": "test",
        "KV_STORE": "memory",
        "MM_INSTANCE_ID": "i0",
        "MM_BIND": "127.0.0.1",
        "MM_PRESTOP_WAIT_PORT": "NONE",
        "MM_METRICS": "disabled",
        **{name: str(free_port()) for name in ports},
        **given,
    }


def app(hub: MemoryHub | None = None, **given: str) -> App:
    return App(configuration.read(settings(**given), Host("host", "127.0.0.1", "0000")), hub)


async def ended(made: App) -> None:
    async with asyncio.timeout(GUARD_S):
        await made.run()


# -- why it does not start --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting", ["MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT", "MM_PRESTOP_WAIT_PORT", "MM_METRICS"]
)
def test_a_port_in_use_is_told_before_anything_is_waited_for(setting: str) -> None:
    """There is no runtime here: that is not found out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        value = f"prometheus:port={port};scheme=http" if setting == "MM_METRICS" else str(port)
        with pytest.raises(ListenError) as caught:
            asyncio.run(ended(app(None, **{setting: value})))
    assert str(caught.value) == f"{setting}: port {port} on 127.0.0.1 cannot be opened: Address already in use"


def test_an_address_of_another_machine_is_told_as_that() -> None:
    with pytest.raises(ListenError, match=r"MM_PROBE_PORT: port \d+ on 192.0.2.1 cannot be opened: Cannot assign"):
        asyncio.run(ended(app(MM_BIND="192.0.2.1")))
    with pytest.raises(ListenError, match=r"MM_MESH_PORT: port \d+ on 192.0.2.1 cannot be opened: Cannot assign"):
        asyncio.run(ended(app(MM_BIND="192.0.2.1", MM_PROBE_PORT="NONE")))


def test_an_instance_that_is_told_to_stop_while_it_waits_for_its_runtime_stops() -> None:
    async def scene() -> None:
        made = app(MM_PROBE_PORT=str(probe := free_port()))
        running = asyncio.create_task(ended(made))
        async with asyncio.timeout(GUARD_S):
            while (told := await asyncio.to_thread(got, f"http://127.0.0.1:{probe}/ready"))[0] != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert told == (503, "not ready: startup\n")
        assert await asyncio.to_thread(got, f"http://127.0.0.1:{probe}/live") == (200, "alive\n")
        made.stop.set()
        with pytest.raises(StartError, match=r"^stopped before it was ready$"):
            await running
        assert (await asyncio.to_thread(got, f"http://127.0.0.1:{probe}/ready"))[0] == 0

    asyncio.run(scene())


def test_a_runtime_that_cannot_be_worked_with_is_told() -> None:
    async def scene() -> None:
        fake = Fake(10 * MIB, Behaviour())
        async with sdk.serving(fake, sdk.Listen(port=0), grace_s=0) as running:
            fake.default_model_size_bytes = 2 * MIB  # too much for the capacity, as the runtime did not notice
            await ended(app(INTERNAL_GRPC_PORT=running.address.rpartition(":")[2]))

    with pytest.raises(RuntimeUnusable, match="The model server reports capacityInBytes = 10485760; it must be at"):
        asyncio.run(scene())


def test_a_key_that_no_mesh_has_made_ends_the_start() -> None:
    with mesh(0) as made:
        made.put("meshd/key", b"short")
        with pytest.raises(BadRecord, match='"/mm/test/meshd/key" has 5 bytes, and the key of a mesh has 32: stop all'):
            made.run(ended(app(made.hub, MM_SERVICE_NAME="test", MM_KVSTORE_PREFIX="mm")))
        assert made.value("meshd/key") == b"short"


def test_a_second_instance_of_the_same_id_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd.app.PEER_TRY_S", GUARD_S)
    with mesh(1) as made:
        twin = app(made.hub, MM_KVSTORE_PREFIX="mm")
        with pytest.raises(StartError) as caught:
            made.run(ended(twin))
        address = made.client.instances()["i0"].address
        assert str(caught.value) == (
            f"another process answers as instance i0 at {address}; stop it, or set MM_INSTANCE_ID to another name"
        )
        assert made.client.instances()["i0"].phase == "ready"


@pytest.mark.parametrize("record", [b'{"meshd":{"addr":"127.0.0.1:%d"}}', b'{"startTime":1}', b"nonsense %d"])
def test_what_a_dead_instance_left_under_the_same_id_is_no_obstacle(record: bytes) -> None:
    """Somebody else may listen at its address by now."""
    with socket.create_server(("127.0.0.1", 0)) as other, mesh(0) as made:
        made.put("instances/i0", record % other.getsockname()[1] if b"%d" in record else record)
        accepting = threading.Thread(target=lambda: other.accept()[0].close(), daemon=True)
        accepting.start()
        made.add()
        assert made.client.instances()["i0"].phase == "ready"
        made.client.register("m", load=True)


def test_copies_from_before_a_restart_are_not_used() -> None:
    with mesh(0) as made:
        made.put("registry/m", b'{"type":"fake","instanceIds":{"i0":5},"meshd":{"ready":{"i0":5}}}')
        made.add()
        assert made.client.infer("m").body == b"hello"
        record = made.record("m")
        assert record is not None
        assert record["instanceIds"]["i0"] > made.client.instances()["i0"].start_ms - 1


def test_an_instance_is_known_only_once_it_answers() -> None:
    """Whoever reads of it in the store may send it something at once."""
    with mesh(1) as made:
        made.client.register("m", load=True)
        seen: list[Any] = []

        async def first_seen() -> None:
            while not (pairs := made.hub.kv.read(["/mm/test/instances/i1"]).pairs):
                await made.hub.news.wait()
            seen.append(pairs[0])

        looking = asyncio.run_coroutine_threadsafe(first_seen(), made._loop)
        made.add(wait=False)
        looking.result(GUARD_S)
        client = Client(f"127.0.0.1:{made[1].port}")
        assert client.infer("m").body == b"hello"
        client.close()


def test_an_instance_can_live_on_an_ipv6_address() -> None:
    if not socket.has_ipv6:
        omit("a machine with IPv6")
    with mesh(0) as made:
        made.add(wait=False, MM_BIND="::1")
        with Client(f"[::1]:{made[0].port}") as client:
            until(lambda: got(f"http://[::1]:{made[0].probe_port}/ready")[0] == 200, "ready")
            client.register("m", load=True)
            assert client.infer("m").body == b"hello"
            assert client.instances()["i0"].address.startswith("[::1]:")


# -- what it counts ---------------------------------------------------------------------------------------------


def test_what_happens_is_counted_once_and_where_it_happens() -> None:
    with mesh(2) as made:
        one, two = made.instances
        counted = (
            "requests", "hits", "cold", "failures", "forwarded", "flows", "retries", "loads", "evictions",
        )  # fmt: skip

        def counts(number: int) -> dict[str, int]:
            metrics = made[number].metrics()
            found = {name: int(metrics[f"meshd_{name}"]) for name in counted}
            return {name: value for name, value in found.items() if value}

        assert counts(0) == counts(1) == {}
        one.client.register("a", "fake:?")
        one.client.infer("a", metadata=BALANCED)  # loads it here
        assert one.client.holders("a") == ["i0"]
        for _ in range(3):
            one.client.infer("a")
        until(lambda: two.client.state("a") == "LOADED", "i1 knows")
        for _ in range(4):
            two.client.infer("a")
        assert counts(0) == {"requests": 4, "hits": 3, "cold": 1, "flows": 1, "loads": 1}
        assert counts(1) == {"requests": 4, "hits": 4, "forwarded": 4}

        assert refused(lambda: one.client.infer("unknown"))[0] == "NOT_FOUND"
        assert refused(lambda: one.client.call(ECHO))[0] == "INVALID_ARGUMENT"  # names no model: no inference
        one.client.register("bad", "fake:?infer_fail=ABORTED")
        assert refused(lambda: one.client.infer("bad", metadata=BALANCED))[0] == "ABORTED"  # cold
        assert refused(lambda: one.client.infer("bad", metadata=BALANCED))[0] == "ABORTED"
        one.client.register("slow", "fake:?infer_ms=600000")
        slow = one.client.begin(ECHO, b"x", (("mm-model-id", "slow"), *BALANCED))
        until(lambda: one.fake.total.in_flight == 1, "it is under way")
        slow.cancel()
        until(lambda: one.fake.total.in_flight == 0, "it is over")
        until(lambda: counts(0).get("requests") == 8, "it is counted")
        assert counts(0) == {
            "requests": 8, "hits": 4, "cold": 2, "failures": 2, "flows": 5, "loads": 3,
        }  # fmt: skip

        metrics = one.metrics()
        assert metrics['modelmesh_api_request_milliseconds_count{method="Method",code="OK",}'] == 4
        assert metrics['modelmesh_api_request_milliseconds_count{method="Method",code="ABORTED",}'] == 2
        assert metrics['modelmesh_api_request_milliseconds_count{method="Method",code="NOT_FOUND",}'] == 1
        assert metrics['modelmesh_api_request_milliseconds_count{method="Method",code="CANCELLED",}'] == 1
        assert metrics['modelmesh_invoke_model_milliseconds_count{method="Method",code="OK",}'] == 8, "i1's too"
        assert metrics["modelmesh_cache_miss_milliseconds_count"] == 3
        assert metrics["modelmesh_loadmodel_milliseconds_count"] == 3
        assert metrics["modelmesh_instance_models_total"] == 3
        assert metrics["modelmesh_instance_used_bytes"] == 3 * (64 << 10)


def test_a_cold_start_elsewhere_is_a_cold_start_of_who_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, waiting = InferenceCall.waits, list[InferenceCall]()

    def seen(call: InferenceCall) -> None:
        waits(call)
        waiting.append(call)

    monkeypatch.setattr(InferenceCall, "waits", seen)
    with mesh(2) as made:
        one, two = made.instances
        one.client.register("a")
        with made.held("load"):
            load = one.client.begin(ECHO, b"x", (("mm-model-id", "a"), *BALANCED))
            until(lambda: two.client.state("a") == "LOADING", "i1 knows that i0 loads it")
            passed_on = two.client.begin(ECHO, b"x", (("mm-model-id", "a"),))
            until(lambda: len(waiting) == 2, "both wait for it")
        assert (load.result(), passed_on.result()) == (b"x", b"x")
        assert (two.metrics()["meshd_cold"], two.metrics()["meshd_hits"]) == (1, 0)
        assert (one.metrics()["meshd_cold"], one.metrics()["meshd_requests"]) == (1, 1)


def test_evictions_and_failed_loads_are_counted() -> None:
    with mesh(1, capacity=100 * MIB, MM_MIN_CHURN_AGE_MS="0") as made:
        for number in range(12):
            made.client.register(f"m{number}", load=True)
        made.client.register("bad", "fake:?fail=ABORTED", load=True)
        metrics = made[0].metrics()
        assert metrics["meshd_loads"] == 12
        assert metrics["modelmesh_loadmodel_failure"] == 1
        held = metrics["modelmesh_instance_models_total"]
        assert metrics["meshd_evictions"] == 13 - held, "the failed one takes a place too"
        assert metrics["modelmesh_age_at_eviction_milliseconds_count"] == metrics["meshd_evictions"]


# -- the churn guard --------------------------------------------------------------------------------------------


def test_by_default_a_cache_full_of_models_just_used_takes_no_more() -> None:
    with mesh(1, capacity=20 * MIB, default=Behaviour(MIB)) as made:
        for number in range(19):
            made.client.register(f"m{number}")
            made.client.infer(f"m{number}")
        made.client.register("one-more")
        assert verdict(made, 0, headers(made, "one-more", kind="load"))[:2] == ("UNAVAILABLE", "full")
        code, text = refused(lambda: made.client.infer("one-more"))
        assert (code, text.partition(":")[0]) == ("INTERNAL", "Cache churn threshold exceeded")
        told = made.client.ensure("one-more")
        assert told.status == LOADING_FAILED
        assert told.errors[0].startswith("Cache churn threshold exceeded")
        assert made.client.state("one-more") == "NOT_LOADED", "to be refused is no failure of the model"
        assert sorted(made[0].fake.models) == sorted(f"m{number}" for number in range(19))


def test_without_the_guard_the_least_recently_used_makes_room() -> None:
    with mesh(1, capacity=20 * MIB, default=Behaviour(MIB), MM_MIN_CHURN_AGE_MS="0") as made:
        for number in range(25):
            made.client.register(f"m{number:02}")
            made.client.infer(f"m{number:02}")
        until(
            lambda: sorted(made[0].fake.models) == [f"m{number:02}" for number in range(6, 25)], "the last 19 are left"
        )
        assert made.client.infer("m00").body == b"hello"


# -- how it ends ------------------------------------------------------------------------------------------------


def test_an_instance_that_is_told_to_stop_finishes_what_it_began() -> None:
    with mesh(2, SHUTDOWN_TIMEOUT_MS="60000") as made:
        one, two = made.instances
        one.client.register("slow")
        made.copy("slow", 0)
        one.client.register("quick")
        one.client.infer("quick", metadata=BALANCED)
        one.client.register("cold")
        stopping = threading.Thread(target=made.stop, args=(0,))
        with made.held("answer", 0) as held:
            slow = one.client.begin(ECHO, b"x", (("mm-model-id", "slow"), *BALANCED))
            until(lambda: held() == 1, "it is under way")
            stopping.start()
            until(lambda: one.ready() == (503, "not ready: this instance is going\n"), "it says so")
            until(lambda: two.client.instances()["i0"].phase == "draining", "the others know")
            assert two.client.instances()["i0"].shutting_down
            for _ in range(5):
                assert instance_of(one.client.infer("quick")) == "i1", "another took it over first"
                assert instance_of(two.client.infer("quick")) == "i1"
            assert instance_of(one.client.infer("cold")) == "i1", "it takes no new loads"
            one.client.register("colder")
            assert verdict(made, 0, headers(made, "colder", kind="load"))[:2] == ("UNAVAILABLE", "draining")
        assert slow.result() == b"x"
        stopping.join(GUARD_S)
        assert not stopping.is_alive()
        until(lambda: "i0" not in two.client.instances(), "it is gone from the table")
        for name in ("slow", "quick"):
            record = made.record(name)
            assert record is not None
            assert list(record["instanceIds"]) == ["i1"]
        assert two.fake.counts["quick"].loads == 1


def test_who_waits_for_a_load_on_an_instance_that_goes_is_answered_elsewhere() -> None:
    with mesh(2) as made:
        one, two = made.instances
        names = ("first", "second", "third")
        for name in names:
            one.client.register(name)
        with made.held("load", 0):
            waiting = [one.client.begin(ECHO, b"x", (("mm-model-id", name), *BALANCED)) for name in names]
            until(lambda: one.client.instances()["i0"].models == 3, "one loads, two are queued")
            stopping = threading.Thread(target=made.stop, args=(0,))
            stopping.start()
            until(lambda: "third" in two.fake.counts, "it is loaded elsewhere")
        assert [call.result() for call in waiting] == [b"x"] * 3
        assert two.fake.counts["third"].loads == 1
        stopping.join(GUARD_S)


def test_an_instance_ends_in_its_time_and_containers_beside_it_wait_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go = Ending.runtime_may_go

    async def both_told(ending: Ending) -> str:
        asyncio.get_running_loop().call_soon(ending.stop.set)
        return await may_go(ending)

    monkeypatch.setattr(Ending, "runtime_may_go", both_told)
    monkeypatch.setattr(web, "prestop_limit_s", lambda _: GUARD_S)
    with mesh(0) as made:
        made.add(MM_PRESTOP_WAIT_PORT=str(port := free_port()), SHUTDOWN_TIMEOUT_MS="1500")
        made.client.register("m", "fake:?infer_ms=600000")
        endless = made.client.begin(ECHO, b"x", (("mm-model-id", "m"),))
        until(lambda: made[0].fake.total.in_flight == 1, "it is under way")
        assert got(f"http://127.0.0.1:{port}/prestop") == (200, "stopped\n")
        made.stop(0)
        assert refused(endless.result)[0] in ("CANCELLED", "UNAVAILABLE"), "what does not end is ended"


# -- logs -------------------------------------------------------------------------------------------------------


def test_every_request_can_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), mesh(1, MM_LOG_EACH_INVOKE="true") as made:
        made.client.register("m")
        made.client.infer("m")
    assert f"invoking model runtime: {ECHO} of m" in caplog.text


def test_random_orders_of_starts_end_with_one_key() -> None:
    """Instances that start at the same moment agree on the key they know each other by."""
    order = Random(7)
    with mesh(3) as made:
        made.client.register("m", load=True)
        for _ in range(6):
            assert made[order.randrange(3)].client.infer("m").body == b"hello"
