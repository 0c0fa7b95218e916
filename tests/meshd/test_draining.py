"""Drain and cordon through any instance, and what clients feel of it: nothing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from meshcore.records import InstanceRecord
from protos import meshd_pb2 as pb
from tests.client import GUARD_S
from tests.meshd.mesh import mesh
from tests.processes import free_port, got, until

DRAIN, CORDON, UNCORDON = (pb.DrainRequest.Action.Value(name) for name in ("DRAIN", "CORDON", "UNCORDON"))


def asked(instance: Any, name: str, action: int = DRAIN, **fields: int) -> list[Any]:
    """All that is told of a drain, cordon or uncordon of ``name``, asked of ``instance``."""
    request = pb.DrainRequest(instance=name, action=action, **fields)
    return list(instance.client.v1.Drain(request, timeout=GUARD_S))


def refused(instance: Any, name: str, **fields: int) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        asked(instance, name, **fields)
    return error.value.code(), error.value.details()


def test_a_drained_instance_hands_over_and_stops() -> None:
    """Asked of another one: its copies are loaded elsewhere first; the last word is that it stops, and it does."""
    with mesh(3) as made:
        for number in range(4):
            made.client.register(f"m{number}")
            made.copy(f"m{number}", 0)
        told = asked(made[1], "i0")
        assert [progress.done for progress in told] == [False] * (len(told) - 1) + [True]
        assert (told[0].models, told[-1].settled, told[-1].text) == (4, 4, "i0 stops: its copies are handed over")
        made.run(_ended(made[0].task))
        for number in range(4):
            assert made[1].client.holders(f"m{number}") in (["i1"], ["i2"])
            assert made[1].client.infer(f"m{number}", b"x")


def test_what_cannot_be_drained_is_said() -> None:
    """Nobody of that name; a Java pod; a budget that makes no sense; nobody at all."""
    with mesh(2) as made:
        made.put("instances/java", InstanceRecord(start_ms=1).encode())
        until(lambda: "java" in made.client.instances(), "the pod is known")
        assert refused(made[0], "i7") == (grpc.StatusCode.NOT_FOUND, "there is no instance 'i7'; known: i0, i1, java")
        assert refused(made[0], "java")[0] is grpc.StatusCode.FAILED_PRECONDITION
        assert refused(made[0], "i1", budget_ms=-1)[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert refused(made[0], "")[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_cordoned_instance_answers_and_loads_nothing() -> None:
    """Its record says so to all; what it has it answers for; loads go elsewhere until it is let in again."""
    with mesh(2) as made:
        for name in "mn":
            made.client.register(name)
        made.copy("m", 0)
        (told,) = asked(made[1], "i0", CORDON)
        assert (told.done, told.text) == (True, "i0 takes no more loads, and answers for what it has")
        until(lambda: made[1].client.instances()["i0"].cordoned, "i1 knows")
        assert made[0].client.infer("m", b"x")
        assert made[0].client.infer("n", b"x")
        assert (made[0].client.holders("m"), made[0].client.holders("n")) == (["i0"], ["i1"])
        assert made[0].ready()[0] == 200
        asked(made[0], "i0", UNCORDON)
        until(lambda: not made[1].client.instances()["i0"].cordoned, "i1 knows")


def test_a_drain_with_nowhere_to_go_says_so_and_stops() -> None:
    """The only instance answers until nobody asks, then it stops."""
    with mesh(1) as made:
        made.client.register("m")
        made.copy("m", 0)
        told = asked(made[0], "i0")
        assert any("no other instance can take its copies; 1 are answered here" in each.text for each in told)
        assert told[-1].text == "i0 stops: no other instance can take its copies"
        made.run(_ended(made[0].task))


async def _ended(task: Any) -> None:
    await task


def test_prestop_has_the_copies_taken_over_of_an_instance_that_stays() -> None:
    """Its runtime goes: the answer comes when others have them; the instance itself goes on, and takes no loads."""
    with mesh(1) as made:
        made.add(MM_PRESTOP_WAIT_PORT=str(port := free_port()))
        for name in "mn":
            made.client.register(name)
            made.copy(name, 1)
        assert got(f"http://127.0.0.1:{port}/prestop") == (200, "others have taken over\n")
        for name in "mn":
            until(lambda name=name: made[0].client.holders(name) == ["i0"], "it is there alone")  # type: ignore[misc]
        assert made[1].client.infer("m", b"x")
        assert made[1].ready()[0] == 200
        until(lambda: made[0].client.instances()["i1"].phase == "draining", "it says so")
        assert not made[1].task.done()


def test_a_second_word_that_an_instance_shall_end_changes_nothing() -> None:
    with mesh(2) as made:
        made.client.register("m")
        made.copy("m", 0)

        async def ask() -> None:
            for _ in range(3):
                made[0].app.ending.ask()
            await made[0].task

        made.run(ask())
        assert made[1].client.holders("m") == ["i1"]
        assert made[1].fake.counts["m"].loads == 1
