"""When the runtime is asked to give memory back: not before its grace is over, and again where it could not."""

from __future__ import annotations

import pytest

from meshcore.asks import Kind, Op, Request
from meshcore.commands import CancelLoad, Load, Unload
from meshcore.entry import State
from meshcore.events import Drained, Failing, Loaded, LoadFailed, Unloaded, UnloadFailed
from meshcore.reasons import Rule
from meshcore.settings import Settings
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, model
from tests.meshcore.copy_words import ask, states
from tests.meshcore.lone import Lone


def unloads_after(lone: Lone, ms: int) -> None:
    """The one unload comes after so long, and not earlier."""
    lone.commands.clear()
    lone.tick(ms - 1)
    assert lone.all(Unload) == []
    assert lone.node.copies.next_wake() == lone.now + 1
    lone.tick(1)
    assert [unload.model for unload in lone.all(Unload)] == ["m"]


def test_copy_that_answered_is_unloaded_when_its_last_request_has_ended() -> None:
    """Nobody can reach it any more, so there is nothing else to wait for."""
    lone = Lone()
    gen = lone.load("m")
    lone.know("m", None)
    lone.tick(5_000)
    assert lone.all(Unload) == []
    lone.feed(Drained("m", gen))
    assert lone.last(Unload).gen == gen


def test_copy_that_answered_can_be_given_a_grace() -> None:
    """It counts from the decision."""
    lone = Lone(settings=Settings(unload_used_ms=200))
    gen = lone.load("m")
    lone.know("m", None)
    lone.feed(Drained("m", gen))
    unloads_after(lone, 200)


def test_copy_that_is_being_sized_has_longer() -> None:
    """The runtime is still measuring it."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.feed(Loaded("m", gen))
    assert states(lone) == {"m": State.SIZING}
    lone.know("m", None)
    lone.feed(Drained("m", gen))
    reason = next(reason for reason in lone.node.log.since(0) if reason.rule is Rule.REMOVE)
    assert reason.inputs == {"unload_in_ms": 1_500}
    unloads_after(lone, 1_500)


@pytest.mark.parametrize(("how", "ms"), [(Failing.ERROR, 1_000), (Failing.LATE, 3_000)])
def test_what_a_failed_load_left_is_cleaned_up_after_a_while(how: Failing, ms: int) -> None:
    """A runtime that did not end in time may well be at it still."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.feed(LoadFailed("m", gen, "bad", how))
    reason = next(reason for reason in lone.node.log.of("m") if reason.rule is Rule.FAIL)
    assert reason.inputs == {"unload_in_ms": ms}
    unloads_after(lone, ms)


def test_load_that_is_not_wanted_any_more_is_cancelled_at_once_and_cleaned_up_after_a_while() -> None:
    """However soon it ends."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.know("m", None)
    assert lone.last(CancelLoad).gen == gen
    lone.feed(LoadFailed("m", gen, "cancelled"))
    unloads_after(lone, 3_000)


def test_load_pushed_out_for_room_has_less_time() -> None:
    """Somebody waits for its memory."""
    lone = Lone()
    lone.load("pinned", 50, is_pinned=True)
    gen = ask(lone, "m", 30)
    other = ask(lone, "other", 10)
    lone.feed(Loaded("other", other, 40 * UNIT_BYTES))
    assert lone.last(CancelLoad).gen == gen
    assert lone.node.log.of("m")[-1].inputs["unload_in_ms"] == 500
    lone.feed(LoadFailed("m", gen, "cancelled"))
    unloads_after(lone, 500)


def test_load_that_ends_long_after_it_was_cancelled_is_cleaned_up_at_once() -> None:
    """Nothing is asked of the runtime about a model that it still loads."""
    lone = Lone()
    gen = ask(lone, "m", 30)
    lone.know("m", None)
    lone.tick(10_000)
    assert lone.all(Unload) == []
    lone.feed(Loaded("m", gen, 8192))
    assert lone.last(Unload).gen == gen


def two_stuck(lone: Lone) -> dict[str, int]:
    """Two models whose unload failed just now."""
    gens = {name: lone.load(name, 10, last_used=NOW - 9) for name in ("x", "y")}
    for name, gen in gens.items():
        lone.know(name, None)
        lone.feed(Drained(name, gen))
    lone.tick(200)
    for name, gen in gens.items():
        lone.feed(UnloadFailed(name, gen, "busy"))
    lone.commands.clear()
    return gens


def test_failed_unloads_are_tried_again_right_before_a_load() -> None:
    """The load may need the memory; each is one try of the many, so this is done once in ten seconds at most."""
    lone = Lone()
    gens = two_stuck(lone)
    first = ask(lone, "m", 5)
    tried = [(type(command), command.model) for command in lone.commands if isinstance(command, Unload | Load)]
    assert tried == [(Unload, "x"), (Unload, "y"), (Load, "m")]
    for name, gen in gens.items():
        lone.feed(UnloadFailed(name, gen, "busy"))
    lone.feed(Loaded("m", first, 8192))
    lone.commands.clear()
    ask(lone, "n", 5)
    assert [type(command) for command in lone.commands if isinstance(command, Unload | Load)] == [Load]
    assert lone.node.copies.next_wake() == lone.now + 10_000


def test_unload_that_works_gives_those_that_failed_another_try() -> None:
    """What kept the runtime from it may be over; one that is being asked already is not asked again."""
    lone = Lone()
    gens = two_stuck(lone)
    third = lone.load("z", 10)
    lone.tick(11_000)
    for name, gen in gens.items():
        lone.feed(UnloadFailed(name, gen, "busy"))
    lone.know("z", None)
    lone.feed(Drained("z", third))
    lone.tick(200)
    lone.commands.clear()
    lone.feed(Unloaded("z", third))
    assert [unload.model for unload in lone.all(Unload)] == ["x", "y"]
    lone.commands.clear()
    lone.feed(Unloaded("x", gens["x"]))
    lone.tick(30_000)
    assert lone.all(Unload) == []
    lone.feed(Unloaded("y", gens["y"]))
    assert len(lone.node.copies.unloads) == 0


def test_load_of_a_model_whose_copy_is_still_there_waits_for_the_retry() -> None:
    """The runtime has one copy of a model at a time."""
    lone = Lone()
    gens = two_stuck(lone)
    lone.know("x", model(size_bytes=8192))
    lone.ask(Request("x", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    assert lone.all(Load) == []
    lone.tick(1_000)
    lone.feed(Unloaded("x", gens["x"]))
    assert lone.last(Load).model == "x"
