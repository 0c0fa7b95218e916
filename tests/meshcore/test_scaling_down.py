"""When one instance gives up a copy, what it takes for that, and what no clock can bring about."""

from __future__ import annotations

from typing import Any

import pytest

from meshcore.commands import Commit, Unload, Withdraw
from meshcore.events import CommitFailed, Conflicted, DrainAsked, Drained, Used
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.units import NEVER
from tests.builders import NOW, instance, model
from tests.meshcore.scale import HOUR, MINUTE, SECOND, Scaled, full, rules


def copies(scaled: Scaled, *others: str, is_ready: bool = True, **fields: Any) -> ModelRecord:
    """The record of m with copies on these others, too."""
    there = {"a": scaled.node.cache.entries["m"].load_ts} | dict.fromkeys(others, NOW - HOUR)
    return model(copies=there, ready=there if is_ready else {"a": there["a"]}, **{"last_used": NOW, **fields})


def crowded(others: int = 2, like: InstanceRecord | None = None, **fields: Any) -> Scaled:
    """Everything is full, m is here and on all others, and was used when it came and not since."""
    scaled = Scaled(others=others, like=like or full(), min_space_units=1000)
    scaled.load("old", last_used=NOW - 2 * HOUR)
    scaled.load("m", units=800)
    scaled.know("m", copies(scaled, *"bcdefg"[:others], **fields))
    scaled.commands.clear()
    return scaled


def test_one_of_many_copies_goes_from_the_record_first_and_then_from_the_runtime() -> None:
    """As long as the record names it, others may send requests; the time of the unload is left there."""
    scaled = crowded()
    scaled.go(35 * MINUTE)
    (reason,) = scaled.decided()
    assert (reason.rule, reason.cause) == (Rule.SCALE_DOWN, "one of many copies, and little used")
    assert set(scaled.written().copies) == {"b", "c"}
    assert scaled.all(Withdraw) == []
    assert scaled.node.cache.entries["m"].is_serving
    scaled.commit()
    assert "m" not in scaled.node.cache.entries
    scaled.feed(Drained("m", scaled.last(Withdraw).gen))
    assert scaled.last(Unload).why.cause == reason.cause
    assert scaled.record("m").last_unload == 0  # two are few


def test_last_unload_is_marked_where_many_are_left() -> None:
    scaled = crowded(others=4)
    scaled.go(35 * MINUTE)
    scaled.commit()
    assert (len(scaled.record("m").copies), scaled.record("m").last_unload) == (4, NOW + 30 * MINUTE + SECOND)


def test_an_evicted_copy_of_many_marks_the_unload_too() -> None:
    """Whatever took it: another one is not given up right after it."""
    scaled = crowded(others=3)
    scaled.node.copies.remove("m", "test")
    scaled.feed(Used(()))
    assert scaled.written().last_unload == scaled.now
    assert model(copies=dict.fromkeys("abc", 5)).unloaded_at(7).last_unload == 7
    assert model(copies=dict.fromkeys("ab", 5), last_unload=7).unloaded_at(9).last_unload == 0


@pytest.mark.parametrize(
    "other",
    [
        full(phase="draining"),
        full(phase="starting"),
        full(is_shutting_down=True),
        full(address=""),
        full(start_ms=NOW - HOUR + 1),
    ],
    ids=["draining", "starting", "going", "a Java pod", "a ghost"],
)
def test_last_copy_that_can_be_reached_stays(other: InstanceRecord) -> None:
    scaled = crowded(others=2, like=other)
    scaled.go(35 * MINUTE)
    assert scaled.decided() == []
    assert scaled.node.cache.entries["m"].is_serving


def test_copy_stays_while_the_others_load_or_do_not_answer() -> None:
    scaled = crowded()
    scaled.know("m", copies(scaled, "b", "c", is_ready=False))
    scaled.go(35 * MINUTE)
    assert scaled.decided() == []
    scaled.know("m", copies(scaled, "b", "c"))
    for name in "bc":
        scaled.node.view.health.failed(name, scaled.now)
    scaled.go(35 * MINUTE)
    assert scaled.decided() != []  # they recovered meanwhile
    assert scaled.node.scaling.can_answer("b", NOW - HOUR)
    scaled.node.view.health.failed("b", scaled.now)
    assert not scaled.node.scaling.can_answer("b", NOW - HOUR)
    assert not scaled.node.scaling.can_answer("z", NOW - HOUR)


def test_two_instances_that_give_up_at_once_do_not_both() -> None:
    """The record says that another one was first: the copy stays, and answers all the while."""
    scaled = crowded()
    scaled.go(35 * MINUTE)
    ticket = scaled.last(Commit).ticket
    scaled.commands.clear()
    scaled.feed(Conflicted(ticket, copies(scaled, "b").encode(), 99))
    assert scaled.all(Commit) == []
    assert not scaled.node.cache.entries["m"].is_leaving
    assert scaled.node.cache.entries["m"].is_serving


def test_copy_stays_where_the_store_does_not_answer() -> None:
    """To part with it is given up, not repeated: later it may be needed. If it was written all the same, the record
    names it anew."""
    scaled = crowded()
    scaled.go(35 * MINUTE)
    commit = scaled.last(Commit)
    scaled.commands.clear()
    scaled.feed(CommitFailed(commit.ticket, "no leader"))
    assert not scaled.node.cache.entries["m"].is_leaving
    assert len(scaled.node.writer) == 0
    assert commit.value is not None
    scaled.know("m", ModelRecord.decode(commit.value))
    assert scaled.written().is_ready("a")


def test_copy_that_left_meanwhile_is_not_missed() -> None:
    scaled = crowded()
    scaled.go(35 * MINUTE)
    ticket = scaled.last(Commit).ticket
    scaled.node.copies.remove("m", "test")
    scaled.feed(Conflicted(ticket, copies_without(scaled).encode(), 99))
    assert "m" not in scaled.node.cache.entries


def copies_without(scaled: Scaled) -> ModelRecord:
    return model(copies={"b": NOW - HOUR}, ready={"b": NOW - HOUR})


def test_more_is_given_up_only_as_far_as_a_twentieth_of_the_capacity() -> None:
    """D-15: the first always, then what is left of that for the others, though all were used at the same instant."""
    scaled = Scaled(others=2, like=full(), min_space_units=1000)
    for name, units in (("first", 100), ("large", 50), ("small", 40), ("tiny", 10)):
        scaled.load(name, units=units)
        there = {"a": scaled.node.cache.entries[name].load_ts, "b": NOW - HOUR, "c": NOW - HOUR}
        scaled.know(name, model(copies=there, ready=there))
    scaled.load("old", last_used=NOW - 2 * HOUR)
    scaled.go(31 * MINUTE)
    assert [reason.model for reason in scaled.decided()] == ["first"]
    scaled.commit()
    scaled.go(6 * MINUTE)
    assert [reason.model for reason in scaled.decided()] == ["first", "large"]


def test_copies_are_looked_at_in_slices() -> None:
    """Those used least recently first; what may be given up is counted over all slices of a look."""
    settings = Settings(slice_models=2)
    scaled = Scaled(others=2, like=full(), min_space_units=1000, settings=settings)
    for number, units in enumerate((20, 60, 50, 20, 9)):
        scaled.load(f"m{number}", units=units, last_used=NOW - HOUR + number)
        there = {"a": scaled.node.cache.entries[f"m{number}"].load_ts, "b": NOW - HOUR, "c": NOW - HOUR}
        scaled.know(f"m{number}", model(copies=there, ready=there))
    scaled.load("old", last_used=NOW - 2 * HOUR)
    told = []
    while scaled.now < NOW + 31 * MINUTE:
        scaled.tick(max(0, scaled.node.next_wake(scaled.now) - scaled.now))
        if len(told) < len(scaled.decided()):
            told = scaled.decided()
    assert [reason.model for reason in told] == ["m0", "m3", "m4"]
    assert [reason.at - told[0].at for reason in told] == [0, 10, 20]


def test_look_ends_where_the_clock_jumps_or_the_instance_goes() -> None:
    """What is left of it says nothing any more."""
    for end in ("jump", "drain"):
        scaled = Scaled(others=2, like=full(), min_space_units=1000, settings=Settings(slice_models=1))
        scaled.load("other", units=400)
        there = {"a": scaled.node.cache.entries["other"].load_ts, "b": NOW - HOUR}
        scaled.know("other", model(copies=there, ready=there, min_copies=2))
        scaled.load("m", units=400)
        there = {"a": scaled.node.cache.entries["m"].load_ts, "b": NOW - HOUR, "c": NOW - HOUR}
        scaled.know("m", model(copies=there, ready=there))
        scaled.load("old", last_used=NOW - 2 * HOUR)
        scaled.go(29 * MINUTE)
        while not scaled.node.scaling._to_look_at:
            scaled.tick(scaled.node.next_wake(scaled.now) - scaled.now)
        scaled.tick(10)
        assert len(scaled.node.scaling._to_look_at) == 1
        if end == "jump":
            scaled.tick(HOUR)
        else:
            scaled.feed(DrainAsked())
            scaled.tick(10)
        assert not scaled.node.scaling._to_look_at
        assert scaled.decided() == []


def test_no_copy_is_looked_at_where_nobody_needs_its_memory() -> None:
    """What all instances together have free tells that, for each type."""
    asked = []

    def scale_down(standing: Standing, settings: Settings) -> str:
        asked.append(standing)
        return ""

    for other, expected in ((instance(), 0), (full(), 3)):
        asked.clear()
        scaled = Scaled(others=2, like=other, min_space_units=1000, rules=Rules(scale_down=scale_down))
        for name in ("m", "n"):
            scaled.load(name)
            there = {"a": scaled.node.cache.entries[name].load_ts, "b": NOW - HOUR}
            scaled.know(name, model(copies=there, ready=there))
        scaled.load("alone")
        scaled.go(6 * MINUTE + SECOND)
        assert len(asked) == min(2, expected)


def test_more_copies_than_there_may_be_do_not_stay_though_nobody_needs_the_memory() -> None:
    """As after max was made smaller, or where a load went on that the store was not told of."""
    scaled = crowded(like=instance(), max_copies=3)
    scaled.go(7 * MINUTE)
    assert scaled.decided() == []
    scaled.know("m", copies(scaled, "b", "c", max_copies=2))
    scaled.go(6 * MINUTE)
    (reason,) = scaled.decided()
    assert (reason.rule, reason.cause) == (Rule.SCALE_DOWN, "more copies than there may be")
    assert set(scaled.written().copies) == {"b", "c"}


def test_a_copy_on_an_instance_that_is_going_is_none_of_those_there_are() -> None:
    """With it this would be one of three, of which one can go."""
    asked = []

    def scale_down(standing: Standing, settings: Settings) -> str:
        asked.append(standing.copies)
        return ""

    scaled = Scaled(others=2, like=full(), min_space_units=1000, rules=Rules(scale_down=scale_down))
    scaled.load("m")
    there = {"a": scaled.node.cache.entries["m"].load_ts, "b": NOW - HOUR, "c": NOW - HOUR}
    scaled.know("m", model(copies=there, ready=there))
    scaled.meet("c", full(address="c:1", is_shutting_down=True))
    scaled.go(6 * MINUTE + SECOND)
    assert asked == [2]


def test_second_copy_goes_where_the_other_is_better_placed() -> None:
    """D-12, D-15: of two that were used at the same instant both are looked at."""
    for other, goes in ((full(lru_ms=NOW - 30 * HOUR), True), (full(lru_ms=NOW - MINUTE), False)):
        scaled = crowded(others=1, like=other)
        scaled.meet("c", full(address="c:1", lru_ms=NOW - 20 * HOUR))
        scaled.go(13 * HOUR)
        assert bool(scaled.decided()) is goes
        if goes:
            assert scaled.decided()[0].cause == "one of two copies, and unused for long"


def test_second_copy_stays_for_long_where_nothing_has_an_age() -> None:
    """All that is loaded is pinned, so no cache tells how long is long."""
    scaled = Scaled(others=1, like=full(lru_ms=NEVER), min_space_units=1000)
    scaled.load("m", units=800, is_pinned=True)
    scaled.know("m", copies(scaled, "b", is_pinned=True))
    scaled.go(10 * HOUR)
    assert scaled.decided() == []
    scaled.go(6 * MINUTE)
    (reason,) = scaled.decided()
    assert (reason.cause, "lru_age_ms" in reason.inputs) == ("one of two copies, and unused for long", False)


def test_heavy_use_is_told_with_the_decision() -> None:
    scaled = crowded()
    scaled.go(10 * SECOND, rpm=6000)
    scaled.go(40 * MINUTE)
    assert "calm_ms" in scaled.decided()[-1].inputs
    assert scaled.decided()[-1].rule is Rule.SCALE_DOWN


# -- clocks


def test_clock_that_jumps_an_hour_changes_no_copy() -> None:
    """Neither do uses before and after it look far apart, nor does a copy look unused."""
    scaled = crowded()
    scaled.go(MINUTE, rpm=60)
    scaled.tick(HOUR)
    scaled.go(MINUTE, rpm=60)
    scaled.go(24 * MINUTE)
    assert scaled.decided() == []
    lone = Scaled(others=1)
    lone.load("m")
    lone.go(MINUTE, rpm=60)
    lone.now += HOUR
    lone.go(5 * MINUTE, rpm=60)
    assert lone.decided() == []
    lone.go(2 * MINUTE + 10 * SECOND, rpm=60)
    assert rules(lone) == [Rule.SECOND_COPY]


@pytest.mark.parametrize("offset", [-HOUR, HOUR])
def test_clock_of_another_instance_changes_no_copy(offset: int) -> None:
    """Its load times, its least recent use and its unloads are instants of its own clock (D-25)."""
    load_ts = NOW + offset
    other = full(start_ms=NOW - 3 * HOUR, lru_ms=NOW - HOUR + offset)
    scaled = Scaled(others=2, like=other, min_space_units=1000)
    scaled.load("old", last_used=NOW - 2 * HOUR)
    scaled.load("m", units=800)
    there = {"a": scaled.node.cache.entries["m"].load_ts, "b": load_ts, "c": load_ts}
    scaled.know("m", model(copies=there, ready=there, last_used=load_ts))
    scaled.go(29 * MINUTE)
    assert scaled.decided() == []
