"""A request for several copies: it sees to as many as there shall be, each on another instance, and to no more."""

from __future__ import annotations

import pytest

from meshcore.asks import (
    CopyInfo,
    Done,
    Failed,
    Forward,
    Kind,
    Op,
    Refused,
    Request,
    Status,
    StatusInfo,
    Told,
    Verdict,
    VerdictError,
)
from meshcore.commands import Commit
from meshcore.edits import Accept, GiveUp
from meshcore.errors import CopyGone, CopyNeeded
from meshcore.records import ModelRecord
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Asking, Lone

TS = NOW - 600_000
PEERS = {name: instance(address=f"{name}:1") for name in "bcde"}


def ask(lone: Lone, copies: int, *exclude: str) -> Asking:
    return lone.ask(Request("m", Op.ENSURE, is_sync=False, exclude=exclude, copies=copies, last_used=NOW + 20_000))


def loading(asking: Asking) -> str:
    """The instance that the request goes to; it answers that it loads now."""
    assert isinstance(asking.step, Forward)
    target = asking.step.instance
    assert asking.step.request.kind is Kind.LOAD
    told = StatusInfo(Status.LOADING, copies=(CopyInfo(target, Status.UNKNOWN, NOW),))
    asking.answer(Told(told))
    return target


def test_copies_are_loaded_one_after_the_other_on_different_instances() -> None:
    """The record does not name the one that was asked for just now: the next is to come to another instance."""
    lone = Lone(peers=PEERS, capacity_units=10)  # nothing fits here
    lone.know("m", model(copies={"b": TS}, ready={"b": TS}, size_bytes=1 << 20))
    asking = ask(lone, 4, "e")
    assert sorted([loading(asking), loading(asking)]) == ["c", "d"]
    assert isinstance(asking.step, Done)  # e is excluded, b holds one, there is nobody else


def test_as_many_as_wanted_are_enough() -> None:
    """Somebody else saw to it: nothing is loaded, and none of them counts as used."""
    lone = Lone(peers=PEERS)
    lone.know("m", model(copies={"b": TS, "c": TS}, ready={"b": TS}))
    assert isinstance(ask(lone, 2).step, Done)
    assert isinstance(ask(lone, 3).step, Forward)


def test_copies_beyond_those_that_a_request_tries_are_no_reason_to_give_up() -> None:
    lone = Lone(peers={name: instance(address=f"{name}:1") for name in "bcdefghi"})
    there = dict.fromkeys("bcdefg", TS)
    lone.know("m", model(copies=there, ready=there))
    assert isinstance(ask(lone, 7).step, Forward)


def test_chain_ends_with_the_load_that_fails() -> None:
    lone = Lone(peers={"b": PEERS["b"]}, capacity_units=10)
    lone.know("m", model(size_bytes=1 << 20))
    asking = ask(lone, 3)
    asking.answer(Refused(Verdict.LOAD_FAILED, "b", text="bad"))
    assert isinstance(asking.step, Done)
    assert isinstance(asking.step.answer, StatusInfo)
    assert asking.step.answer.status is Status.LOADING_FAILED


def sent_here(lone: Lone, copies: int) -> Asking:
    return lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, origin="b", copies=copies, size_units=10))


def test_instance_that_is_sent_one_loads_it_beside_those_there_are() -> None:
    lone = Lone(peers=PEERS)
    lone.know("m", model(copies={"b": TS}, ready={"b": TS}))
    assert isinstance(sent_here(lone, 2).step, Done)
    assert lone.written().copies.keys() == {"a", "b"}
    again = sent_here(lone, 2)
    assert isinstance(again.step, Done)
    assert len(lone.all(Commit)) == 1


def test_instance_that_has_one_says_so() -> None:
    """It may be on its way here still: another one is loaded elsewhere."""
    lone = Lone(peers=PEERS)
    lone.load("m")
    assert isinstance(sent_here(lone, 5).step, Done)
    assert lone.all(Commit) == []


def test_failed_copy_here_is_not_loaded_over_and_over() -> None:
    lone = Lone(peers=PEERS)
    lone.begin_load("m")
    lone.load_fails("m")
    lone.commit()
    end = sent_here(lone, 2).step
    assert isinstance(end, Failed)
    assert isinstance(end.error, VerdictError)


@pytest.mark.parametrize(
    ("copies", "there", "is_accepted"),
    [(1, "", True), (1, "x", False), (2, "x", True), (2, "xy", False), (3, "bx", True), (3, "bxy", False),
     (1, "b", True), (2, "bc", True)],
)  # fmt: skip
def test_load_is_accepted_while_there_are_fewer_others_than_wanted(copies: int, there: str, is_accepted: bool) -> None:
    """Two instances that ask for a third copy at once get one; who knew of all others has chosen to load (b, c)."""
    record = model(copies=dict.fromkeys(there, TS))
    accept = Accept("a", NOW, NOW, {"b": TS, "c": TS}, lambda *_: True, lambda *_: False, copies)
    after = accept.apply(record)
    assert isinstance(after, ModelRecord if is_accepted else CopyGone)


@pytest.mark.parametrize(
    ("fields", "goes"),
    [
        ({}, True),
        ({"copies": {"a": NOW, "b": TS}, "ready": {"a": NOW, "b": TS}}, False),  # c went meanwhile
        ({"copies": {"a": NOW, "b": TS, "c": TS, "d": TS}}, False),
        ({"copies": {"a": NOW + 1, "b": TS, "c": TS}}, False),
        ({"ready": {"a": NOW, "b": TS}}, True),
        ({"ready": {"a": NOW}}, False),
        ({"min_copies": 2}, True),
        ({"min_copies": 3}, False),
        ({"min_copies": 2, "ready": {"a": NOW, "b": TS}}, False),
    ],
)
def test_copy_is_given_up_only_while_enough_others_answer(fields: dict[str, object], goes: bool) -> None:
    """Judged by the record as it stands when it is written."""
    there = {"a": NOW, "b": TS, "c": TS}
    record = model(**({"copies": there, "ready": there} | fields))
    after = GiveUp("a", NOW, NOW + 5, NOW + 9, there, lambda *_: True).apply(record)
    if goes:
        assert isinstance(after, ModelRecord)
        assert (set(after.copies), after.last_used, after.last_unload) == ({"b", "c"}, NOW + 5, 0)
    else:
        assert isinstance(after, CopyNeeded)


def test_copy_is_not_given_up_where_nobody_else_can_be_reached() -> None:
    there = {"a": NOW, "b": TS}
    edit = GiveUp("a", NOW, NOW, NOW, there, lambda *_: False)
    assert isinstance(edit.apply(model(copies=there, ready=there)), CopyNeeded)
