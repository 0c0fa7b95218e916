"""etcd dies without a word in the middle of ten thousand registrations: what was acknowledged is there afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from protos import etcd_pb2, etcd_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import GUARD_S
from tests.processes import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

NUMBER = 10_000
BEFORE = 3_000
"""So many are acknowledged when it dies."""

OK, UNAVAILABLE = 0, grpc.StatusCode.UNAVAILABLE.value[0]


def request(number: int) -> wire.RegisterRequest:
    return wire.RegisterRequest(model=wire.ModelSpec(name=f"m{number:05}", type="fake", path=f"p{number}"))


def registered(mesh: Mesh) -> dict[str, int]:
    """What stands in etcd: the revision that wrote each model's record."""
    prefix = b"/mm/mm/registry/"
    asked = etcd_pb2.RangeRequest(key=prefix, range_end=prefix[:-1] + b"0")
    options = (("grpc.max_receive_message_length", 64 << 20),)
    with grpc.insecure_channel(mesh.etcd.address, options) as channel:
        reply = etcd_pb2_grpc.KVStub(channel).Range(asked)
    return {pair.key[len(prefix) :].decode(): pair.mod_revision for pair in reply.kvs}


def test_no_acknowledged_registration_is_lost_and_the_rest_can_be_repeated(tmp_path: Path) -> None:
    with Mesh(tmp_path, {"MM_PROACTIVE_PERIOD_MS": "0"}) as mesh:  # nobody else writes the records
        mesh.fake("a", "--capacity=512MiB")
        mesh.start()
        v1 = mesh["a"].client.v1
        is_dead = threading.Event()

        def requests() -> Iterator[wire.RegisterRequest]:
            for number in range(NUMBER):
                if number == BEFORE + 1_000:
                    is_dead.wait(GUARD_S)  # the stream itself lasts through it
                yield request(number)

        results: list[wire.RegisterResult] = []
        for result in v1.Register(requests(), timeout=5 * GUARD_S):
            results.append(result)
            if len(results) == BEFORE:
                mesh.etcd.kill()
                is_dead.set()
            if result.code == UNAVAILABLE and not mesh.etcd.is_running():
                mesh.etcd.start()
        assert [result.index for result in results] == list(range(NUMBER)), "each has a result, in order"
        acknowledged = {result.name: result.revision for result in results if result.code == OK}
        failed = [result for result in results if result.code != OK]
        assert len(acknowledged) >= BEFORE
        assert failed, "some fell into the time without etcd"
        assert {result.code for result in failed} == {UNAVAILABLE}
        stands = registered(mesh)
        assert {name: stands.get(name) for name in acknowledged} == acknowledged

        until(lambda: v1.Info(wire.InfoRequest(), timeout=GUARD_S).store_available, "it notices that etcd is back")
        again = list(v1.Register(iter([request(result.index) for result in failed]), timeout=5 * GUARD_S))
        assert [result.code for result in again] == [OK] * len(failed)
        assert registered(mesh).keys() == {request(number).model.name for number in range(NUMBER)}
        assert [result.created for result in again] == [result.name not in stands for result in again], (
            "what was written though nobody heard of it is found, not written again"
        )
        assert "Traceback" not in mesh["a"].meshd.said()
