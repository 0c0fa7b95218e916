"""What a runtime says of itself at the start, and when it is taken for ready."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from meshcore.events import Unloaded
from meshd.handshake import RuntimeUnusable
from protos import model_runtime_pb2 as spi
from tests.meshd.scripted_runtime import (
    FAILING,
    SERVICE,
    STARTING,
    UNLOAD,
    FakeRuntime,
    bytes_of,
    client_of,
    given_up,
    raw,
    ready,
    run,
    serving,
)


def test_a_starting_runtime_is_asked_until_it_is_ready_and_then_never_again() -> None:
    async def scene() -> None:
        unavailable = grpc.StatusCode.UNAVAILABLE
        status = ready(
            runtimeVersion="1.2", allowAnyMethod=True, limitModelConcurrency=True,
            methodInfos={"a.B/C": spi.RuntimeStatusResponse.MethodInfo(idInjectionPath=[1, 2])},
        )  # fmt: skip
        starting = spi.RuntimeStatusResponse(status=STARTING)
        runtime = FakeRuntime(unavailable, starting, grpc.StatusCode.INTERNAL, starting, status)
        async with serving(servicer=runtime) as target, client_of(target) as client:
            info = await client.start(poll_s=0)
            assert len(runtime.asked) == 5
            assert info.target == target
            assert info.method_infos == {"a.B/C": (1, 2)}
            assert (info.allow_any_method, info.limits_concurrency, info.version) == (True, True, "1.2")
            assert (info.params.load_threads, info.params.load_timeout_ms, info.params.capacity_units) == (
                6,
                90_000,
                131_072,
            )
            assert info.params.limits_concurrency

    run(scene())


def test_the_churn_age_of_the_settings_is_in_the_parameters() -> None:
    async def scene() -> None:
        async with serving(servicer=FakeRuntime()) as target, client_of(target, min_churn_age_ms=7) as client:
            assert (await client.start(poll_s=0)).params.min_churn_age_ms == 7

    run(scene())


@pytest.mark.parametrize(("status", "word"), [(FAILING, "FAILING"), (17, "the unknown state 17")])
def test_a_runtime_that_fails_stops_the_start(status: int, word: str) -> None:
    async def scene() -> None:
        runtime = FakeRuntime(spi.RuntimeStatusResponse(status=status))
        async with serving(servicer=runtime) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match=f"^the runtime at {target} answers {word}$"):
                await client.start(poll_s=0)

    run(scene())


def test_a_runtime_that_does_not_get_ready_in_time_stops_the_start() -> None:
    async def scene() -> None:
        async with (
            serving(servicer=FakeRuntime(*[spi.RuntimeStatusResponse()] * 9)) as target,
            client_of(target) as client,
        ):
            assert await given_up(client) == f"{target} answers STARTING"

    run(scene())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"maxLoadingConcurrency": 0}, "The model server reports maxLoadingConcurrency = 0; it must be at least 1"),
        ({"capacityInBytes": 50 << 20}, "The model server reports capacityInBytes = 52428800; it must be"),
        ({"capacityInBytes": 2**64 - 1}, "The model server reports capacityInBytes = 18446744073709551615; it must be"),
        ({"defaultModelSizeInBytes": 2**63}, "The model server reports defaultModelSizeInBytes = 9223372036854775808"),
    ],
)
def test_parameters_that_cannot_be_stop_the_start(fields: dict[str, int], text: str) -> None:
    async def scene() -> None:
        async with serving(servicer=FakeRuntime(ready(**fields))) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable) as caught:
                await client.start(poll_s=0)
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith(f"({target})")

    run(scene())


def test_an_old_runtime_is_talked_to_by_its_old_name_from_then_on() -> None:
    async def scene() -> None:
        old = raw("com.ibm.watson.tas.internal.proto.ModelServer", runtimeStatus=bytes_of(ready()), unloadModel=b"")
        async with serving(old) as target, client_of(target) as client:
            assert (await client.start(poll_s=0)).target == target
            assert await client.unload(UNLOAD) == Unloaded("m", 3)

    run(scene())


def test_a_server_that_is_no_runtime_is_not_taken_for_one() -> None:
    async def scene() -> None:
        async with serving() as target, client_of(target) as client:
            assert f"{target} answers UNIMPLEMENTED" in await given_up(client)
        async with serving(raw(SERVICE, runtimeStatus=b"\xff")) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match="no RuntimeStatusResponse"):
                await client.start(poll_s=0)

    run(scene())


def test_of_two_places_the_one_that_is_ready_first_is_used(tmp_path: Path) -> None:
    async def scene() -> None:
        socket = f"unix:{tmp_path}/grpc.sock"
        waiting = FakeRuntime(*[spi.RuntimeStatusResponse()] * 9)
        async with (
            serving(servicer=FakeRuntime(), address=socket),
            serving(servicer=waiting) as port,
            client_of(socket, port) as client,
        ):
            assert (await client.start(poll_s=9)).target == socket
        async with serving(servicer=FakeRuntime()) as port, client_of(f"unix:{tmp_path}/none", port) as client:
            assert (await client.start(poll_s=9)).target == port

    run(scene())
