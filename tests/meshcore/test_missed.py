"""Copies that make room here and are loaded where there is room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcore.asks import Op, Request
from meshcore.commands import Begin
from meshcore.records import InstanceRecord
from tests.builders import NOW, instance
from tests.meshcore.copy_words import ask
from tests.meshcore.lone import Lone

LOAD_TIMEOUT_MS = 90_000


def roomy(**fields: Any) -> InstanceRecord:
    return instance(address="b:8080", **fields)


def evicted(peers: dict[str, InstanceRecord], load_age_ms: int = 2 * LOAD_TIMEOUT_MS + 1) -> Lone:
    """A node that has just pushed out its only copy, m of 60 units, for another."""
    lone = Lone(peers=peers)
    lone.load("m", 60)
    lone.node.view.see_self(lone.node.own_record())
    lone.now += load_age_ms
    lone.commands.clear()
    ask(lone, "new", 60)
    assert "m" not in lone.node.cache.entries
    return lone


def test_copy_that_makes_room_is_loaded_where_there_is_room() -> None:
    """Not here, as old as it was, and with the size that is known by now."""
    lone = evicted({"b": roomy()})
    begin = lone.last(Begin)
    assert begin.request == Request(
        "m", Op.ENSURE, is_sync=False, last_used=NOW, exclude=("a",), size_units=60, is_asked_for=False
    )
    assert (begin.why.rule, begin.why.cause) == ("evict", "room for new")


@pytest.mark.parametrize(
    ("peers", "load_age_ms"),
    [
        ({}, 10**9),
        ({"b": roomy(used_units=1000)}, 10**9),
        ({"b": roomy(used_units=980, min_space_units=10)}, 10**9),
        ({"b": roomy()}, 2 * LOAD_TIMEOUT_MS),
    ],
    ids=["nobody else", "the other is full", "under 5 % is free", "loaded just now"],
)
def test_copy_that_makes_room_is_gone_where(peers: dict[str, InstanceRecord], load_age_ms: int) -> None:
    assert evicted(peers, load_age_ms).all(Begin) == []


def test_copy_that_another_answers_in_place_of_is_not_loaded_again() -> None:
    lone = Lone(peers={"b": roomy()})
    lone.load("m", 60)
    record = lone.record("m")
    lone.know("m", replace(record, copies={**record.copies, "b": NOW}, ready={**record.ready, "b": NOW}))
    lone.now += 10**9
    lone.commands.clear()
    ask(lone, "new", 60)
    assert "m" not in lone.node.cache.entries
    assert lone.all(Begin) == []
