"""The copies here from admission to the last byte given back."""

from __future__ import annotations

import pytest

from meshcore.asks import Request
from meshcore.commands import (
    Commit,
    Load,
    Measure,
    Predict,
    Publish,
    Route,
    Settle,
    Withdraw,
)
from meshcore.entry import State
from meshcore.events import (
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    Usage,
    Used,
)
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, model
from tests.meshcore.copy_words import ask, states, unload
from tests.meshcore.lone import Lone

# -- coming


def test_load_of_known_size_is_offered_at_once() -> None:
    """The record names the copy before it takes any room: one unit until then."""
    lone = Lone()
    lone.know("m", model(size_bytes=30 * UNIT_BYTES, type="t", path="p", key="k"))
    lone.ask(Request("m"))
    assert lone.written().copies == {"a": NOW}
    assert (lone.last(Commit).why.rule, lone.all(Load), lone.all(Predict)) == (Rule.ACCEPT, [], [])
    assert (lone.node.cache.used_units, states(lone)) == (1, {"m": State.NEW})
    lone.commit()
    load = lone.last(Load)
    assert (load.type, load.path, load.key, load.deadline_ms) == ("t", "p", "k", 90_000)
    assert (lone.node.cache.used_units, states(lone)) == (30, {"m": State.LOADING})
    assert load.why.inputs == {"units": 30, "waited_ms": 0}


def test_size_that_the_sender_knows_goes_before_the_registrations() -> None:
    """It may have measured the model since."""
    lone = Lone()
    lone.know("m", model(size_bytes=30 * UNIT_BYTES))
    lone.ask(Request("m", size_units=7))
    assert lone.node.cache.entries["m"].predicted_units == 7


@pytest.mark.parametrize(("size_bytes", "units"), [(5 * UNIT_BYTES - 1, 5), (0, 10)], ids=["told", "usual"])
def test_size_that_nobody_knows_is_asked_of_the_runtime(size_bytes: int, units: int) -> None:
    """A runtime that cannot tell leaves the usual size."""
    lone = Lone()
    lone.know("m", model(path="p"))
    lone.ask(Request("m"))
    predict = lone.last(Predict)
    assert (predict.path, predict.deadline_ms, lone.all(Commit)) == ("p", 500, [])
    lone.feed(Predicted("m", predict.gen, size_bytes))
    lone.commit()
    assert lone.node.cache.entries["m"].weight == units


def test_load_time_is_another_than_that_of_the_copy_on_record() -> None:
    """Two copies of one instance are told apart by it, also if they are of the same millisecond."""
    lone = Lone()
    lone.know("m", model(copies={"a": NOW}))
    lone.ask(Request("m"))
    assert lone.node.cache.entries["m"].load_ts == NOW + 1


def test_loaded_copy_answers_while_its_size_is_measured() -> None:
    """Waiting requests go on at once; the loader is free when the size is known."""
    lone = Lone(load_threads=1)
    gen, other = ask(lone, "m", 30), ask(lone, "n", 5)
    lone.now += 700
    lone.commands.clear()
    lone.feed(Loaded("m", gen, 0, 3))
    assert states(lone) == {"m": State.SIZING, "n": State.QUEUED}
    assert lone.all(Settle) == [Settle("m", gen, None)]
    assert lone.last(Measure) == Measure("m", gen, 30_000)
    assert lone.last(Route).local is not None
    assert lone.written().ready == {"a": NOW}
    assert lone.last(Commit).why.inputs == {"load_ms": 700}
    lone.feed(Measured("m", gen, 12 * UNIT_BYTES))
    assert states(lone) == {"m": State.ACTIVE, "n": State.LOADING}
    assert (lone.node.cache.entries["m"].weight, lone.last(Load).gen) == (12, other)


def test_size_told_with_the_load_is_not_asked_again() -> None:
    """Zero is a runtime that does not tell; anything else is at least one unit."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.feed(Loaded("m", gen, 1))
    assert (lone.all(Measure), lone.node.cache.entries["m"].weight) == ([], 1)
    other = ask(lone, "n", 30)
    lone.feed(Loaded("n", other))
    lone.feed(Measured("n", other, 0))
    assert lone.node.cache.entries["n"].weight == 30


def test_loads_start_in_the_order_they_came_inference_first() -> None:
    """D-03: no more at once than the runtime said; an inference that comes to wait for one raises it."""
    lone = Lone(load_threads=1)
    first = ask(lone, "first", 5)
    background = [ask(lone, f"b{number}", 5) for number in range(3)]
    lone.ask(Request("b2"))
    for gen in (first, background[2], background[0]):
        assert lone.last(Load).gen == gen
        lone.feed(Loaded(lone.last(Load).model, gen, 5 * UNIT_BYTES))
    assert lone.last(Load).gen == background[1]


def test_load_waits_until_the_memory_of_what_it_pushed_out_is_free() -> None:
    """An eviction gives room at once and memory when the unload is over; what unloads within the reserve waits for
    nothing."""
    lone = Lone()
    gens = {name: lone.load(name, units, last_used=NOW - 9) for name, units in (("x", 45), ("y", 40))}
    m = ask(lone, "m", 85)
    assert [withdraw.model for withdraw in lone.all(Withdraw)] == ["x", "y"]
    assert (lone.all(Load), states(lone)["m"]) == ([], State.WAITING)
    unload(lone, "x", gens["x"])
    assert lone.all(Load) == []
    unload(lone, "y", gens["y"])
    assert lone.last(Load).gen == m


def test_eviction_says_what_it_was_for_and_what_was_spared() -> None:
    """The least recently used goes first, deregistered and withdrawn before it is unloaded."""
    lone = Lone()
    gen = lone.load("x", 40, last_used=NOW - 9_000)
    lone.load("y", 40, last_used=NOW - 8_000)
    lone.feed(Used((Usage("y", 1, NOW - 7_000, 1),)))
    lone.now += 1
    ask(lone, "m", 30)
    (evict,) = [reason for reason in lone.node.log.of("x") if reason.rule is Rule.EVICT]
    assert (evict.cause, dict(evict.inputs)) == ("room for m", {"age_ms": 9_001, "units": 40, "unload_in_ms": 0})
    assert evict.candidates[0].id == "x"
    assert evict.candidates[0].rejected is None
    assert lone.all(Withdraw) == [Withdraw("x", gen, 127_000)]
    assert lone.record("x").copies == {}
    assert lone.record("x").last_used == NOW - 9_000


def test_copy_larger_than_predicted_pushes_out_what_is_needed_less() -> None:
    """What turns out to be too much is made up for at once."""
    lone = Lone()
    lone.load("x", 50, last_used=NOW - 9_000)
    gen = ask(lone, "m", 30)
    lone.feed(Loaded("m", gen, 60 * UNIT_BYTES))
    assert lone.last(Withdraw).model == "x"
    assert lone.node.log.of("x")[-1].cause == "m is larger than predicted"
    assert states(lone) == {"m": State.ACTIVE}


def test_copy_that_turns_out_to_fit_nowhere_goes_itself() -> None:
    """What is in use elsewhere is needed more than a copy larger than the instance."""
    lone = Lone()
    lone.load("x", 50, is_pinned=True)
    gen = ask(lone, "m", 30)
    lone.feed(Loaded("m", gen, 60 * UNIT_BYTES))
    assert lone.last(Withdraw).gen == gen
    lone.commit()
    assert lone.record("m").copies == {}
    assert states(lone) == {"x": State.ACTIVE}


def test_end_of_a_load_is_told_to_those_who_choose() -> None:
    """A loader is free and the size known: the record says so as soon as the gap allows, also after a failure."""
    for ends in (Loaded("m", 1, 8192), LoadFailed("m", 1, "bad")):
        lone = Lone()
        lone.now += 60_000
        ask(lone, "m", 30)
        lone.feed(Published(lone.last(Publish).seq))
        lone.now += 60_000
        lone.commands.clear()
        lone.feed(ends)
        record = InstanceRecord.decode(lone.last(Publish).value)
        assert (record.loads_in_progress, record.used_units) == (0, 1)
