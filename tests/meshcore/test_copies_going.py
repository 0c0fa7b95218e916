"""Loads that come to nothing, and copies that go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import Kind, Op, Request
from meshcore.commands import (
    Begin,
    CancelLoad,
    Commit,
    Load,
    Predict,
    Route,
    Settle,
    Unload,
    Withdraw,
)
from meshcore.entry import State
from meshcore.errors import ChurnRefused, CopyGone, FellThrough, LoadFailure
from meshcore.events import (
    Conflicted,
    Drained,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Unloaded,
    UnloadFailed,
    Usage,
    Used,
)
from meshcore.reasons import Rejected, Rule
from meshcore.records import Failure
from meshcore.settings import Settings
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, model
from tests.meshcore.copy_words import SPACE_WAIT_MS, ask, states, unload
from tests.meshcore.lone import Lone

# -- not coming


def test_model_larger_than_the_instance_fails_at_once() -> None:
    """The runtime is not bothered and nothing is pushed out; the record says why, in the words that clients know."""
    lone = Lone()
    lone.load("x", 50)
    gen = ask(lone, "m", 91)
    text = "Predicted size of 745472 bytes (91 units) is larger than capacity (90 units)"
    assert lone.all(Load) == lone.all(Unload) == []
    assert lone.last(Settle) == Settle("m", gen, LoadFailure(text))
    assert lone.record("m").failures == {"a": Failure(NOW, text)}
    assert lone.record("m").copies == {}
    assert states(lone) == {"x": State.ACTIVE, "m": State.FAILED}
    assert lone.node.cache.entries["m"].weight == 1


def test_queued_load_fails_when_lost_memory_leaves_no_room_for_it() -> None:
    """Memory that the runtime never gave back is not there any more; others are loaded in what is left."""
    lone = Lone(settings=Settings(unload_retries=0), load_threads=1)
    gen = lone.load("x", 40)
    lone.know("x", None)
    running = ask(lone, "running", 5)
    ask(lone, "m", 75)
    ask(lone, "n", 5)
    lone.feed(Drained("x", gen))
    lone.feed(UnloadFailed("x", gen, "busy"))
    assert states(lone) == {"running": State.LOADING, "m": State.QUEUED, "n": State.QUEUED}
    lone.feed(Loaded("running", running, 5 * UNIT_BYTES))
    assert states(lone) == {"running": State.ACTIVE, "m": State.FAILED, "n": State.LOADING}
    assert lone.node.cache.entries["m"].failure.endswith("(75 units) is larger than capacity (50 units)")
    assert lone.all(Unload) == [unload for unload in lone.all(Unload) if unload.model == "x"]


def test_load_that_has_its_place_loses_it_with_the_memory() -> None:
    """It goes elsewhere; here it would not fit any more."""
    lone = Lone(settings=Settings(unload_retries=0))
    gen = lone.load("x", 40)
    waiting = ask(lone, "m", 75)
    ask(lone, "n", 5)
    assert states(lone) == {"m": State.WAITING, "n": State.QUEUED}
    lone.feed(Drained("x", gen))
    lone.feed(UnloadFailed("x", gen, "busy"))
    assert states(lone) == {"n": State.LOADING}
    assert lone.all(Settle) == [Settle("m", waiting, CopyGone("x cannot be unloaded"))]


def test_full_instance_refuses_to_push_out_what_was_used_only_just_now() -> None:
    """Churn: a request is better served elsewhere than by taking a copy from another."""
    lone = Lone(min_churn_age_ms=300_000)
    for name in ("x", "y"):
        lone.load(name, 40)
    lone.now += 299_999
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    expected = "Cache churn threshold exceeded: the least recently used model here was used 299 s ago"
    assert asking.error == ChurnRefused(expected)
    assert lone.node.log.of("m")[-2].cause == expected
    lone.now += 1
    assert lone.ask(Request("m")).step != asking.step
    assert "m" in lone.node.cache.entries


def test_model_used_less_recently_than_all_others_falls_through_at_the_door() -> None:
    """What it would push out is needed more; the request hears of it."""
    lone = Lone()
    lone.load("x", 90, last_used=NOW - 50)
    lone.know("m", model())
    asking = lone.ask(Request("m", Op.ENSURE, last_used=NOW - 90))
    assert asking.step.answer.errors[0].startswith("m does not fit")  # type: ignore[union-attr]
    assert states(lone) == {"x": State.ACTIVE}


def test_model_that_does_not_fit_when_its_turn_comes_falls_through() -> None:
    """Its size decides: the record stops naming it and nothing is held against the instance."""
    lone = Lone()
    lone.load("x", 60, last_used=NOW - 50)
    lone.know("m", model())
    lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, last_used=NOW - 90))
    gen = lone.last(Predict).gen
    lone.predict("m", 40)
    lone.commit()
    outcome = lone.last(Settle).outcome
    assert lone.last(Settle).gen == gen
    assert isinstance(outcome, FellThrough)
    assert (lone.record("m").copies, lone.record("m").failures) == ({}, {})
    assert states(lone) == {"x": State.ACTIVE}
    assert lone.all(Withdraw) == []


def test_load_does_not_push_out_another_but_waits_for_its_end() -> None:
    """A load that gave way to the next would be work for nothing."""
    lone = Lone()
    first = ask(lone, "x", 60)
    second = ask(lone, "m", 60)
    assert states(lone) == {"x": State.LOADING, "m": State.WAITING}
    lone.now += 1
    lone.feed(Loaded("x", first, 60 * UNIT_BYTES))
    assert lone.last(Withdraw).gen == first
    unload(lone, "x", first)
    assert lone.last(Load).gen == second


def test_large_load_takes_the_places_of_those_that_wait_behind_it() -> None:
    """With no load under way there is no end to wait for: of two that wait one has to go elsewhere."""
    lone = Lone()
    for name in ("large", "small"):
        lone.know(name, model())
        lone.ask(Request(name, Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.predict("large", 90)
    lone.predict("small", 5)
    lone.commit()
    assert states(lone) == {"large": State.LOADING}
    assert lone.last(Load).model == "large"
    assert lone.last(Settle).outcome == CopyGone("room for large")
    assert lone.record("small").copies == {}


def test_load_given_up_lets_the_next_one_start() -> None:
    """The one unit that it held may be what another waits for."""
    lone = Lone(load_threads=2)
    pinned = lone.load("pinned", 20, is_pinned=True)
    running = ask(lone, "running", 60)
    lone.know("new", model())
    lone.ask(Request("new", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.predict("new", 10)
    commit = lone.last(Commit)
    lone.commands.clear()
    waiting = ask(lone, "waiting", 10)
    assert states(lone)["waiting"] is State.WAITING
    lone.meet("b")
    lone.feed(Conflicted(commit.ticket, model(copies={"b": NOW}).encode(), 99))
    assert lone.last(Load).gen == waiting
    assert {pinned, running} < {entry.gen for entry in lone.node.cache.entries.values()}


def test_load_that_finds_no_memory_in_time_goes_and_those_behind_it_start() -> None:
    """D-01: it is deregistered, so that it can be loaded elsewhere; nothing is held against the instance."""
    lone = Lone(load_threads=3)
    lone.load("x", 80)
    waiting = ask(lone, "m", 85)
    behind = ask(lone, "n", 5)
    started = lone.now
    assert states(lone) == {"m": State.WAITING, "n": State.QUEUED}
    assert lone.node.copies.next_wake() == started + SPACE_WAIT_MS
    lone.tick(SPACE_WAIT_MS - 1)
    assert lone.all(Load) == []
    lone.tick(1)
    assert Settle("m", waiting, CopyGone("no memory came free in time")) in lone.commands
    lone.commit()
    assert (lone.record("m").copies, lone.record("m").failures) == ({}, {})
    assert lone.last(Load).gen == behind


def test_failed_load_leaves_its_reason_and_one_unit() -> None:
    """Waiting requests hear why, the record says why, the runtime cleans up, and what it held comes back after it."""
    lone = Lone()
    lone.know("m", model(size_bytes=60 * UNIT_BYTES))
    asking = lone.ask(Request("m"))
    lone.commit()
    gen = lone.last(Load).gen
    lone.feed(LoadFailed("m", gen, "bad load"))
    assert lone.last(Settle) == Settle("m", gen, LoadFailure("bad load"))
    assert lone.last(Route) == Route("m", None, ())
    assert lone.all(Unload) == []
    lone.tick(1_000)
    assert (lone.last(Unload).gen, lone.last(Unload).why.rule) == (gen, Rule.FAIL)
    assert lone.last(Unload).why.inputs == {"unload_in_ms": 1_000}
    lone.commit()
    assert lone.record("m").failures == {"a": Failure(NOW, "bad load")}
    assert lone.all(Begin) == []  # who waits sees to it
    assert (states(lone), lone.node.cache.used_units) == ({"m": State.FAILED}, 1)
    other = ask(lone, "n", 70)
    assert states(lone)["n"] is State.WAITING
    lone.feed(Unloaded("m", gen))
    assert lone.last(Load).gen == other
    asking.flow.close()


def test_failed_load_that_nobody_waits_for_is_begun_elsewhere() -> None:
    """Whoever asked has gone on; the model is still wanted."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.feed(LoadFailed("m", gen, "bad load"))
    begin = lone.last(Begin)
    assert begin.request == Request("m", Op.ENSURE, is_sync=False, last_used=NOW, exclude=("a",), size_units=30)
    assert begin.why.cause == "bad load"


def test_failed_load_is_begun_elsewhere_as_what_it_was() -> None:
    """Asked for by a client by the time it failed, or not."""
    lone = Lone()
    for name, is_asked_for in (("m", True), ("n", False), ("o", False)):
        lone.begin_load(name, 30, is_asked_for=is_asked_for)
    lone.ask(Request("o", Op.ENSURE, Kind.LOAD, is_sync=False))
    for name in "mno":
        lone.load_fails(name)
        lone.feed(Unloaded(name, lone.node.cache.entries[name].gen))
    found = {begin.request.model: begin.request.is_asked_for for begin in lone.all(Begin)}
    assert found == {"m": True, "n": False, "o": True}


def test_failed_copy_is_tried_again_here_when_the_failure_is_over() -> None:
    """The new load waits until the runtime has cleaned up after the former; then the failure is off the record."""
    lone = Lone()
    former = ask(lone, "m", 30)
    lone.feed(LoadFailed("m", former, "bad load"))
    lone.commit()
    lone.now += 900_000
    lone.ask(Request("m"))
    lone.commit()
    assert states(lone) == {"m": State.QUEUED}
    lone.commands.clear()
    lone.feed(Unloaded("m", former))
    assert lone.last(Load).gen > former
    assert (lone.record("m").failures, lone.record("m").copies) == ({}, {"a": NOW + 900_000})


def test_failed_copy_is_evicted_like_any_other() -> None:
    """Its one unit goes with its turn; there is nothing to unload."""
    lone = Lone()
    gen = ask(lone, "bad", 20)
    lone.feed(LoadFailed("bad", gen, "bad load"))
    lone.feed(Unloaded("bad", gen))
    lone.commit()
    lone.now += 1
    lone.commands.clear()
    ask(lone, "m", 90)
    assert states(lone) == {"m": State.LOADING}
    assert lone.all(Withdraw) == lone.all(Unload) == []
    assert lone.record("bad").failures == {"a": Failure(NOW, "bad load")}


# -- going


def test_copy_is_unloaded_when_its_requests_have_ended() -> None:
    """Withdrawn, drained, unloaded; the memory is there when the runtime says so."""
    lone = Lone()
    gen = lone.load("m", 60)
    lone.node.copies.remove("m", "because")
    lone.node.copies.remove("m", "again")
    lone.feed(Used(()))
    assert [type(c) for c in lone.commands if isinstance(c, Withdraw | Unload)] == [Withdraw]
    other = ask(lone, "n", 60)
    lone.feed(Drained("m", gen))
    lone.tick(200)
    assert lone.last(Unload).why.cause == "because"
    assert lone.all(Load) == []
    lone.feed(Unloaded("m", gen))
    assert lone.last(Load).gen == other


@pytest.mark.parametrize("ended", [Loaded("m", 1, 8192), LoadFailed("m", 1, "cancelled")], ids=["loaded", "failed"])
def test_load_that_nobody_wants_any_more_is_cancelled_and_cleaned_up_after(ended: Loaded | LoadFailed) -> None:
    """However it ends, what the runtime has of it is unloaded, once; the next load of the model waits for that."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    assert gen == 1
    lone.know("m", None)
    assert lone.last(CancelLoad) == CancelLoad("m", gen)
    assert lone.all(Unload) == []
    lone.feed(ended)
    lone.feed(ended)
    assert lone.all(Unload) == []
    lone.tick(3_000)
    assert [command.gen for command in lone.all(Unload)] == [gen]
    lone.feed(Unloaded("m", gen))
    assert lone.node.cache.free_units == 90


def test_answer_about_a_former_copy_changes_nothing() -> None:
    """Each copy has its number; what comes for another is old news."""
    lone = Lone()
    gen = lone.load("m", 30)
    for event in (
        Predicted("m", gen - 1, 8192),
        Loaded("m", gen - 1, 8192),
        LoadFailed("m", gen - 1, "x"),
        Measured("m", gen - 1, 8192),
        Drained("m", gen - 1),
        Unloaded("m", gen - 1),
        UnloadFailed("m", gen - 1, "x"),
        Drained("other", 1),
    ):
        assert lone.feed(event) == []
    lone.know("m", None)
    lone.commands.clear()
    for event in (Drained("m", gen - 1), Unloaded("m", gen - 1), UnloadFailed("m", gen - 1, "x"), Loaded("m", gen)):
        assert lone.feed(event) == []
    assert (states(lone), lone.node.cache.entries) == ({}, {})


def test_failed_unload_is_repeated_and_in_the_end_its_memory_is_lost() -> None:
    """After a second, then every ten; what never works is memory that this instance no longer has."""
    lone = Lone(settings=Settings(unload_retries=2))
    gen = lone.load("m", 40)
    lone.load("n", 30)
    lone.know("m", None)
    lone.feed(Drained("m", gen))
    for pause_ms in (1_000, 10_000):
        lone.feed(UnloadFailed("m", gen, "busy"))
        assert lone.node.copies.next_wake() == lone.now + pause_ms
        lone.commands.clear()
        lone.tick(pause_ms - 1)
        assert lone.all(Unload) == []
        lone.tick(1)
        assert [command.gen for command in lone.all(Unload)] == [gen]
    assert lone.node.cache.buffer.capacity == 100
    lone.feed(UnloadFailed("m", gen, "busy"))
    assert lone.node.cache.buffer.capacity == 60
    assert [r.cause for r in lone.node.log.since(0) if r.rule is Rule.UNLOAD] == ["failed: busy"] * 3
    assert ask(lone, "m", 10) == lone.last(Load).gen  # nothing to wait for any more


def test_lost_memory_pushes_out_what_does_not_fit_any_more() -> None:
    """And what waited for it starts in what is left."""
    lone = Lone(settings=Settings(unload_retries=0))
    gen = lone.load("m", 50, last_used=NOW - 9)
    lone.know("m", None)
    lone.load("x", 40, last_used=NOW - 8)
    lone.load("y", 10, last_used=NOW - 7)
    lone.feed(Drained("m", gen))
    lone.feed(UnloadFailed("m", gen, "busy"))
    assert [withdraw.model for withdraw in lone.all(Withdraw)] == ["x"]
    assert lone.node.log.of("x")[-1].cause == "m cannot be unloaded"
    assert states(lone) == {"y": State.ACTIVE}


def test_copy_not_pinned_any_more_goes_if_there_is_too_much() -> None:
    """Pinned copies may come to exceed the cache when memory is lost; unpinned ones may not."""
    lone = Lone(settings=Settings(unload_retries=0))
    gen = lone.load("lost", 10, last_used=NOW - 9)
    lone.load("pinned", 50, is_pinned=True)
    lone.know("lost", None)
    unpinned = model(copies={"a": NOW}, ready={"a": NOW})
    lone.know("pinned", replace(unpinned, is_pinned=True, priority=9))
    lone.feed(Drained("lost", gen))
    lone.load("more", 35, is_pinned=True)
    lone.feed(UnloadFailed("lost", gen, "busy"))
    assert states(lone) == {"pinned": State.ACTIVE, "more": State.ACTIVE}
    lone.know("pinned", unpinned)
    assert lone.last(Withdraw).model == "pinned"
    assert lone.node.log.of("pinned")[-1].cause == "pinned is not pinned any more"


def test_spared_copies_stand_in_the_reason() -> None:
    """Whoever was looked at and stays is named with why."""
    lone = Lone(load_threads=3)
    lone.load("x", 40, last_used=NOW - 9_000)
    lone.load("y", 40, last_used=NOW - 8_000)
    lone.feed(Used((Usage("x", 1, NOW - 9_000, 2),)))
    ask(lone, "m", 30)
    (evict,) = [reason for reason in lone.node.log.of("y") if reason.rule is Rule.EVICT]
    assert [(c.id, c.rejected) for c in evict.candidates] == [("y", None), ("x", Rejected.IN_USE)]
