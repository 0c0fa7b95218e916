"""The conformance run: each way not to be a runtime is named, and our own runtimes are ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from mmctl.doctor.check import examine
from mmctl.doctor.conformance import conformance
from mmctl.doctor.finding import Finding, Level
from mmctl.doctor.runtime import (
    Patience,
    Runtime,
    Wanted,
    connections_to_port,
    connections_to_socket,
    parse_target,
    users_of,
)
from mmctl.errors import Usage
from protos import grpc_predict_v2_pb2_grpc as v2_grpc
from protos.model_runtime_pb2_grpc import add_ModelRuntimeServicer_to_server
from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from runtimes.onnx import Onnx
from tests.mmctl.runtimes_broken import BAD, BREACHES, Good
from tests.runtimes.onnx_models import affine

CALM = Patience(call_s=60, ready_s=60, predict_s=60, load_s=60, unload_s=60, linger_s=2)
HASTY = {
    "NeverReady": replace(CALM, ready_s=0),
    "SilentStatus": replace(CALM, call_s=0.3),
    "SlowGuess": replace(CALM, predict_s=0.2),
    "NeverLoads": replace(CALM, load_s=0.3),
    "NeverUnloads": replace(CALM, unload_s=0.2),
}
"""What never comes is waited for shortly; whatever comes has all the time it needs, however busy the machine is."""
WANTED = Wanted("t", "p", bad_path=BAD)


@asynccontextmanager
async def served(servicer: Any) -> AsyncIterator[str]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add_ModelRuntimeServicer_to_server(servicer, server)
    v2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def ran(target: str, wanted: Wanted, patience: Patience) -> list[Finding]:
    runtime = Runtime(target, patience)
    try:
        return await examine(conformance(runtime, wanted), lambda name, left: None, in_order=True)
    finally:
        await runtime.close()


def problems(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.what) for finding in found if finding.level is Level.PROBLEM]


async def tried(servicer: Any, patience: Patience) -> list[Finding]:
    async with served(servicer) as target:
        return await ran(target, WANTED, patience)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Finding]]:
    """What the run finds out about each variant; they wait side by side."""

    async def scene() -> dict[str, list[Finding]]:
        variants = [variant for variant, _, _ in BREACHES]
        found = await asyncio.gather(*(tried(each(), HASTY.get(each.__name__, CALM)) for each in variants))
        return dict(zip((each.__name__ for each in variants), found, strict=True))

    return asyncio.run(scene())


def test_a_runtime_that_does_all_it_has_to_has_no_finding_but_ok() -> None:
    runtime = Good()
    assert {finding.level for finding in asyncio.run(tried(runtime, CALM))} == {Level.OK}
    assert runtime.models == {}, "the run leaves nothing"


@pytest.mark.parametrize(("variant", "step", "words"), [(each.__name__, *rest) for each, *rest in BREACHES])
def test_each_breach_is_named_by_the_step_that_finds_it(
    outcomes: dict[str, list[Finding]], variant: str, step: str, words: str
) -> None:
    found = outcomes[variant]
    named = [what for check, what in problems(found) if check == step]
    assert any(words in what for what in named), problems(found)
    assert all(finding.do for finding in found if finding.level is Level.PROBLEM)


def test_nobody_there_is_one_problem_and_the_rest_is_not_looked_at() -> None:
    found = asyncio.run(ran("127.0.0.1:1", WANTED, CALM))
    assert [check for check, _ in problems(found)] == ["status"]
    assert all("not looked at" in finding.what for finding in found[1:])


def test_the_fake_runtime_passes() -> None:
    async def scene() -> list[Finding]:
        async with sdk.serving(Fake(1 << 30, Behaviour()), sdk.Listen(0), grace_s=0) as running:
            wanted = Wanted("fake", "fake:?size=1MiB&load_ms=40", bad_path="fake:?fail=NOT_FOUND")
            return await ran(running.address, wanted, CALM)

    assert {finding.level for finding in asyncio.run(scene())} == {Level.OK}


def test_the_onnx_runtime_passes(tmp_path: Path) -> None:
    affine(tmp_path / "m.onnx")

    async def scene() -> list[Finding]:
        async with sdk.serving(Onnx(tmp_path, 1 << 30), sdk.Listen(0), grace_s=0) as running:
            return await ran(running.address, Wanted("onnx", "m.onnx"), CALM)

    found = asyncio.run(scene())
    assert problems(found) == []
    assert {finding.check for finding in found if finding.level is Level.OK} >= {
        "load",
        "unload",
        "purge",
        "infer-unknown",
    }


def test_without_a_model_what_takes_none_is_tried_all_the_same() -> None:
    async def scene() -> list[Finding]:
        async with served(Good()) as target:
            return await ran(target, Wanted("", "", bad_path=BAD), CALM)

    found = {finding.check: finding for finding in asyncio.run(scene())}
    assert found["load"].what.startswith("not looked at: it takes a model")
    assert {name for name, each in found.items() if each.level is Level.OK} == {
        "status", "unload-unknown", "load-impossible", "infer-unknown",
    }  # fmt: skip


def test_somebody_who_uses_the_runtime_is_seen(tmp_path: Path) -> None:
    async def scene() -> None:
        runtime = sdk.serving(Fake(1 << 30, Behaviour()), sdk.Listen(0), grace_s=0)
        async with runtime as running:
            target = f"localhost:{running.address.rpartition(':')[2]}"
            assert users_of(target) == 0
            async with grpc.aio.insecure_channel(running.address) as channel:
                await channel.channel_ready()
                assert users_of(target) == 1
        path = tmp_path / "s"
        async with sdk.serving(Fake(1 << 30, Behaviour()), sdk.Listen(0, str(path)), grace_s=0):
            assert users_of(f"unix:{path}") == 0
            async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
                await channel.channel_ready()
                assert users_of(f"unix:{path}") == 1
        assert users_of("192.0.2.1:8085") is None

    asyncio.run(scene())


def test_the_kernels_tables_are_read_as_they_are_written() -> None:
    head = "  sl  local_address rem_address   st\n"
    to_runtime = "   0: 0100007F:A1B2 0100007F:1F95 01 00000000:00000000\n"
    from_runtime = "   1: 0100007F:1F95 0100007F:A1B2 01 00000000:00000000\n"
    over = "   2: 0100007F:A1B3 0100007F:1F95 06 00000000:00000000\n"
    elsewhere = "   3: 0A00020F:A1B3 5DB8D822:1F95 01 00000000:00000000\n"
    mapped = "   4: 0000000000000000FFFF00000100007F:A1B4 0000000000000000FFFF00000100007F:1F95 01 0\n"
    assert connections_to_port(head + to_runtime + from_runtime + over + elsewhere + mapped, 8085) == 2
    read_twice = to_runtime + from_runtime
    assert connections_to_port(head + read_twice + read_twice, 8085) == 1
    of_another_host = "   5: 0A00020F:1F95 5DB8D822:A1B3 01 00000000:00000000\n"
    assert connections_to_port(head + of_another_host + over + elsewhere, 8085) == 1
    unix = "Num RefCount Protocol Flags Type St Inode Path\n"
    unix += "0: 00000002 00000000 00010000 0001 01 11 /a/s\n0: 00000003 00000000 00000000 0001 03 12 /a/s\n"
    assert connections_to_socket(unix + "0: 00000003 00000000 00000000 0001 03 13\n", "/a/s") == 1


@pytest.mark.parametrize("text", ["", "host", ":8085", "host:0", "host:99999", "unix:", "http://a:1"])
def test_a_target_that_is_none_is_said_so(text: str) -> None:
    with pytest.raises(Usage, match="HOST:PORT or unix:PATH"):
        parse_target(text)
