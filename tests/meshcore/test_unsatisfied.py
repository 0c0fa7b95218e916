"""Pinned models that there is no room for: accepted, and told of."""

from __future__ import annotations

from dataclasses import replace

from meshcore.asks import Kind, Op, Request
from meshcore.events import Loaded
from meshcore.reasons import Reason, Rule
from meshcore.units import UNIT_BYTES
from tests.builders import model
from tests.meshcore.copy_words import states
from tests.meshcore.lone import Lone


def told(lone: Lone) -> list[Reason]:
    return [reason for reason in lone.node.log.since(0) if reason.rule is Rule.UNSATISFIED]


def test_pinned_copies_beyond_what_there_is_are_told_of_once_and_when_it_is_over() -> None:
    """They stay, all of them."""
    lone = Lone()
    lone.load("a", 50, is_pinned=True)
    gen = lone.begin_load("b", 40, is_pinned=True)
    assert told(lone) == []
    lone.feed(Loaded("b", gen, 55 * UNIT_BYTES))
    lone.commit()
    (reason,) = told(lone)
    assert (reason.inputs, reason.cause) == ({"units": 15}, "pinned models take more than there is for models")
    assert states(lone).keys() == {"a", "b"}
    lone.know("a", replace(lone.record("a"), priority=6))
    assert len(told(lone)) == 1
    lone.know("b", replace(lone.record("b"), is_pinned=False))
    assert [reason.inputs["units"] for reason in told(lone)] == [15, 0]
    assert states(lone).keys() == {"a"}, "what is no longer pinned goes"


def test_pinned_model_without_a_place_among_pinned_ones_is_told_of() -> None:
    """The request goes elsewhere."""
    lone = Lone()
    lone.load("a", 90, is_pinned=True)
    lone.know("m", model(is_pinned=True, size_bytes=10 * UNIT_BYTES))
    asking = lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False))
    assert "does not fit" in str(asking.step)
    (reason,) = told(lone)
    assert (reason.model, reason.cause.startswith("m does not fit: 1 more units")) == ("m", True)


def test_model_that_is_not_pinned_and_does_not_fit_is_refused_and_nothing_more() -> None:
    lone = Lone()
    lone.load("a", 90, is_pinned=True)
    lone.know("m", model(size_bytes=10 * UNIT_BYTES))
    lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False))
    assert told(lone) == []
    assert [reason.rule for reason in lone.node.log.of("m")][-1] is Rule.REFUSE


def test_pinned_model_is_no_churn() -> None:
    """It is to be here whatever was used just now, and it comes once."""
    lone = Lone(min_churn_age_ms=300_000)
    lone.load("a", 45)
    lone.load("b", 45)
    lone.know("p", model(is_pinned=True, size_bytes=45 * UNIT_BYTES))
    lone.ask(Request("p", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    assert states(lone).keys() == {"b", "p"}


def test_pinned_load_that_finds_no_room_at_its_turn_is_told_of() -> None:
    lone = Lone()
    lone.load("a", 50, is_pinned=True)
    lone.know("p", model(is_pinned=True, size_bytes=60 * UNIT_BYTES))
    lone.ask(Request("p", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    assert [reason.model for reason in told(lone)] == ["p"]
    assert states(lone).keys() == {"a"}
