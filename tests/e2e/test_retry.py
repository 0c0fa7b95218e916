"""Requests under way while the instance that answers them is killed, and many large ones at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.client import ECHO, GUARD_S
from tests.e2e.test_mesh import Traffic
from tests.processes import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

MIB = 1 << 20
LARGE = 16 * MIB
PROCESS_BYTES = 64 * MIB
MODELS = [f"m{number}" for number in range(20)]
ANY_SIZE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    limits = {"MM_RETRY_BUFFER": f"{2 * LARGE},{PROCESS_BYTES}", "MM_SVC_GRPC_MAX_MSG_SIZE": str(2 * LARGE)}
    with Mesh(tmp_path, {"MM_MIN_CHURN_AGE_MS": "0", **limits}) as made:
        yield made


def test_no_forwarded_request_fails_when_its_holder_is_killed(mesh: Mesh) -> None:
    """Three times an instance that holds every model is killed with requests under way on it; the asked one has room
    for none, so all of its requests are forwarded, and what it sent is kept until an answer begins."""
    mesh.fake("a", "--capacity=2MiB", "--size=100KiB")
    for name in ("b", "c"):
        mesh.fake(name, "--capacity=1GiB", "--size=1MiB", "--loading-concurrency=8")
    mesh.start()
    for model in MODELS:
        mesh["a"].client.register(model, "fake:?size=4MiB&infer_ms=30")
        mesh["a"].client.ensure(model)
    with Traffic(MODELS, lambda: [mesh["a"]]) as traffic:
        for name in ("b", "c", "b"):
            traffic.more(200)
            mesh[name].meshd.kill()
            traffic.more(200)
            mesh[name].start()
            mesh.settle()
        traffic.more(200)
    assert not traffic.failures
    assert mesh["a"].metrics()["meshd_retries"] > 0, "a kill with nothing under way proves nothing"


def test_large_requests_in_flight_stay_within_what_may_be_kept(mesh: Mesh) -> None:
    """32 requests of 16 MiB under way at once through one instance to another: four of them are kept."""
    mesh.fake("a", "--capacity=2MiB", "--size=100KiB")
    mesh.fake("b", "--capacity=1GiB", "--size=4MiB")
    mesh.start()
    client = mesh["a"].client
    client.register("m", "fake:?size=4MiB&infer_ms=4000")
    client.ensure("m")
    until(lambda: client.holders("m") == ["b"] and client.state("m") == "LOADED", "a knows that it is ready on b")
    body, peak, is_over = bytes(LARGE), [0.0], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            peak[0] = max(peak[0], *(mesh[name].metrics()["meshd_retained_bytes"] for name in ("a", "b")))

    def call(_: int) -> int:
        with grpc.insecure_channel(mesh["a"].address, options=ANY_SIZE) as channel:
            reply = channel.unary_unary(ECHO)(body, metadata=(("mm-model-id", "m"),), timeout=GUARD_S)
        return len(reply)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(call, range(32))) == [LARGE] * 32
    finally:
        is_over.set()
        watcher.join()
    assert 0 < peak[0] <= PROCESS_BYTES
    for name in ("a", "b"):
        until(lambda name=name: mesh[name].metrics()["meshd_retained_bytes"] == 0, "nothing is kept")  # type: ignore[misc]
    assert mesh["a"].metrics()["meshd_unretained"] > 0
