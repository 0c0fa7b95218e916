"""How large a model is taken to be: told, the cluster's average while many loads wait, or the runtime's guess."""

from __future__ import annotations

import pytest

from meshcore.asks import Kind, Op, Request
from meshcore.commands import Load, Predict
from meshcore.entry import State
from meshcore.events import Loaded, Predicted
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord
from meshcore.sizing import average_units
from meshcore.totals import Totals
from meshcore.units import NEVER, UNIT_BYTES
from tests.builders import instance, model
from tests.meshcore.lone import Lone


def others(copies: int = 40, used: int = 660) -> dict[str, InstanceRecord]:
    return {"b": instance(address="b:8080", count=copies, used_units=used)}


def busy(lone: Lone, loads: int) -> None:
    """So many loads of one unit that do not end, of which two run."""
    for number in range(loads):
        lone.know(f"busy-{number}", model(size_bytes=UNIT_BYTES))
        lone.ask(Request(f"busy-{number}", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    lone.commands.clear()


def wants(lone: Lone, name: str, size_units: int = 0, size_bytes: int = 0) -> int:
    lone.know(name, model(size_bytes=size_bytes))
    lone.ask(Request(name, Op.ENSURE, Kind.LOAD, is_sync=False, size_units=size_units))
    lone.commit()
    return lone.node.cache.entries[name].gen


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        (Totals(2, 9, 1000, 100, NEVER), 0),
        (Totals(2, 10, 1000, 100, NEVER), 91),
        (Totals(2, 7, 1000, 100, NEVER), 0),
        (Totals(2, 300, 1000, 100, NEVER), 4),
    ],
)
def test_average_is_what_a_copy_takes_and_a_unit_more(totals: Totals, expected: int) -> None:
    assert average_units(totals, 10) == expected


@pytest.mark.parametrize(("size_units", "size_bytes", "expected"), [(7, 3 * UNIT_BYTES, 7), (0, 3 * UNIT_BYTES, 3)])
def test_size_that_the_sender_knows_counts_before_the_declared_one(
    size_units: int, size_bytes: int, expected: int
) -> None:
    """And either before any guess, however many loads wait."""
    lone = Lone(peers=others())
    busy(lone, 5)
    wants(lone, "m", size_units, size_bytes)
    assert lone.node.cache.entries["m"].predicted_units == expected
    assert lone.all(Predict) == []


def test_runtime_is_asked_while_few_loads_wait() -> None:
    """Up to a third more than it takes at a time."""
    lone = Lone(peers=others())
    busy(lone, 2)
    wants(lone, "m")
    assert [asked.model for asked in lone.all(Predict)] == ["m"]
    assert lone.node.cache.entries["m"].state is State.NEW


def test_average_stands_for_a_prediction_while_many_loads_wait() -> None:
    """The runtime has enough to do; it is asked at the load's turn, and what is more than the average counts."""
    lone = Lone(peers=others())
    busy(lone, 3)
    gen = wants(lone, "m")
    entry = lone.node.cache.entries["m"]
    assert (entry.state, entry.predicted_units, lone.all(Predict)) == (State.QUEUED, 16, [])
    accepted = next(reason for reason in lone.node.log.of("m") if reason.rule is Rule.ACCEPT)
    assert accepted.inputs == {"size_units": 16, "is_average": 1}
    for number in range(2):
        lone.loaded(f"busy-{number}", 1)
    assert [asked.gen for asked in lone.all(Predict)] == [gen]
    assert [load.model for load in lone.all(Load)] == ["busy-2"]
    lone.feed(Predicted("m", gen, 20 * UNIT_BYTES))
    assert (lone.last(Load).model, entry.weight) == ("m", 20)


def test_prediction_below_the_average_changes_nothing() -> None:
    """What was promised to the others is held to."""
    lone = Lone(peers=others())
    busy(lone, 3)
    gen = wants(lone, "m")
    for number in range(3):
        lone.loaded(f"busy-{number}", 1)
    lone.feed(Predicted("m", gen, 3 * UNIT_BYTES))
    assert (lone.last(Load).model, lone.node.cache.entries["m"].weight) == ("m", 16)


def test_load_that_waits_for_its_size_has_a_loader() -> None:
    """So no more are asked for than could begin, and others go on beside it."""
    lone = Lone(peers=others())
    busy(lone, 3)
    gens = [wants(lone, name) for name in ("m", "n", "o")]
    for number in range(3):
        lone.loaded(f"busy-{number}", 1)
    assert [asked.gen for asked in lone.all(Predict)] == gens[:2]
    lone.feed(Predicted("n", gens[1], UNIT_BYTES))
    assert [load.model for load in lone.all(Load)][-1] == "n"
    assert len(lone.all(Predict)) == 2
    lone.feed(Predicted("m", gens[0], UNIT_BYTES))
    lone.loaded("m", 1)
    assert [asked.gen for asked in lone.all(Predict)] == gens


def test_load_that_goes_while_its_size_is_asked_for_gives_its_loader_to_the_next() -> None:
    lone = Lone(peers=others())
    busy(lone, 3)
    gens = [wants(lone, name) for name in ("m", "n", "o")]
    for number in range(3):
        lone.loaded(f"busy-{number}", 1)
    lone.know("m", None)
    assert len(lone.all(Predict)) == 2, "the answer is still to come"
    lone.feed(Predicted("m", gens[0], UNIT_BYTES))
    assert [asked.gen for asked in lone.all(Predict)] == gens


def test_model_that_turns_out_not_to_fit_at_its_turn_fails_without_a_load() -> None:
    lone = Lone(peers=others())
    busy(lone, 3)
    gen = wants(lone, "m")
    for number in range(3):
        lone.loaded(f"busy-{number}", 1)
    lone.commands.clear()
    lone.feed(Predicted("m", gen, 91 * UNIT_BYTES))
    assert lone.node.cache.entries["m"].state is State.FAILED
    assert lone.all(Load) == []


def test_average_beyond_this_instance_is_no_reason_to_fail() -> None:
    """It says nothing of this model."""
    lone = Lone(peers=others(copies=8, used=1000))
    busy(lone, 3)
    gen = wants(lone, "m")
    assert lone.node.cache.entries["m"].predicted_units > 90
    assert lone.node.cache.entries["m"].state is State.QUEUED
    for number in range(3):
        lone.loaded(f"busy-{number}", 1)
    lone.feed(Predicted("m", gen, UNIT_BYTES))
    assert lone.node.cache.entries["m"].state is State.FAILED


def test_measured_size_goes_with_what_is_loaded_elsewhere() -> None:
    """A load that failed says what it was expected to take."""
    lone = Lone(peers=others())
    gen = lone.begin_load("m", 12)
    lone.feed(Loaded("m", gen, 33 * UNIT_BYTES))
    assert lone.node.cache.entries["m"].weight == 33
