"""Memory that counts as lost: what that costs, and how it comes back when the unload works at last."""

from __future__ import annotations

from meshcore.commands import Load, Publish, Unload
from meshcore.entry import State
from meshcore.events import Drained, Loaded, LoadFailed, Published, Unloaded, UnloadFailed
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from tests.invariants import check_cache
from tests.meshcore.copy_words import ask, states, unload
from tests.meshcore.lone import Lone


def lost(name: str = "m", units: int = 40) -> tuple[Lone, int]:
    """A node that counts a model's memory as lost at once, and the gen of that copy."""
    lone = Lone(settings=Settings(unload_retries=0))
    gen = lone.load(name, units)
    lone.know(name, None)
    lone.feed(Drained(name, gen))
    lone.feed(UnloadFailed(name, gen, "busy"))
    lone.commands.clear()
    return lone, gen


def unload_causes(lone: Lone) -> list[str]:
    return [reason.cause for reason in lone.node.log.since(0) if reason.rule is Rule.UNLOAD]


def test_runtime_goes_on_being_asked_for_what_counts_as_lost() -> None:
    """Every ten seconds, for ever, and without a word for each time."""
    lone, gen = lost()
    for _ in range(3):
        lone.commands.clear()
        lone.tick(9_999)
        assert lone.all(Unload) == []
        lone.tick(1)
        assert [asked.gen for asked in lone.all(Unload)] == [gen]
        lone.feed(UnloadFailed("m", gen, "busy"))
        assert lone.node.cache.lost_units == 40
    assert unload_causes(lone) == ["failed: busy"]


def test_unload_that_works_after_all_gives_the_capacity_back() -> None:
    lone, gen = lost()
    assert (lone.node.cache.buffer.capacity, lone.node.cache.capacity_units) == (60, 50)
    lone.tick(10_000)
    lone.feed(Unloaded("m", gen))
    assert (lone.node.cache.lost_units, lone.node.cache.buffer.capacity, lone.node.cache.used_units) == (0, 100, 0)
    assert unload_causes(lone) == ["failed: busy", "worked after all"]
    assert len(lone.node.copies.unloads) == 0
    check_cache(lone.node.cache)


def test_capacity_that_is_back_starts_what_waits_for_it() -> None:
    lone, gen = lost()
    lone.load("x", 40)
    lone.node.cache.entries["x"].in_flight = 1
    ask(lone, "n", 50)
    assert states(lone) == {"n": State.WAITING}
    lone.tick(10_000)
    lone.feed(Unloaded("m", gen))
    assert lone.last(Load).model == "n"


def test_others_hear_of_lost_capacity_and_of_its_return() -> None:
    """The instance's record says what it has, and what it lacks."""
    lone, gen = lost()

    def published() -> tuple[int, int]:
        lone.tick(10_000)
        last = lone.last(Publish)
        lone.feed(Published(last.seq))
        record = InstanceRecord.decode(last.value)
        return record.capacity_units, record.lost_units

    assert published() == (50, 40)
    lone.feed(Unloaded("m", gen))
    assert published() == (90, 0)


def test_model_is_loaded_anew_though_its_former_copy_cannot_be_unloaded() -> None:
    """The runtime has it, perhaps, twice; it is asked to unload it when the new copy goes, and then all is back."""
    lone, former = lost()
    gen = ask(lone, "m", 10)
    assert lone.last(Load).gen == gen
    lone.feed(Loaded("m", gen, 10 * 8192))
    lone.commands.clear()
    lone.tick(30_000)
    assert lone.all(Unload) == [], "it would take the new copy"
    lone.feed(Unloaded("m", former))
    lone.know("m", None)
    unload(lone, "m", gen)
    assert (lone.node.cache.lost_units, lone.node.cache.buffer.capacity) == (0, 100)
    check_cache(lone.node.cache)


def test_what_is_lost_of_a_model_twice_comes_back_at_once() -> None:
    lone, _ = lost()
    gen = ask(lone, "m", 10)
    lone.feed(Loaded("m", gen, 10 * 8192))
    lone.know("m", None)
    lone.feed(Drained("m", gen))
    lone.feed(UnloadFailed("m", gen, "busy"))
    assert (lone.node.cache.lost_units, lone.node.cache.buffer.capacity) == (50, 50)
    lone.tick(10_000)
    lone.feed(Unloaded("m", gen))
    assert (lone.node.cache.lost_units, lone.node.cache.buffer.capacity) == (0, 100)


def test_model_is_not_loaded_anew_in_the_middle_of_an_attempt_to_unload_it() -> None:
    """Its answer would be about the new copy."""
    lone, gen = lost()
    lone.tick(10_000)
    lone.commands.clear()
    ask(lone, "m", 10)
    assert lone.all(Load) == []
    lone.feed(UnloadFailed("m", gen, "busy"))
    assert lone.last(Load).model == "m"


def test_load_that_fails_where_a_former_copy_is_left_cleans_both_up() -> None:
    lone, _ = lost()
    gen = ask(lone, "m", 10)
    lone.feed(LoadFailed("m", gen, "bad"))
    lone.tick(1_000)
    assert lone.last(Unload).gen == gen
    lone.feed(Unloaded("m", gen))
    assert lone.node.cache.lost_units == 0


def test_unload_that_works_gives_what_is_lost_another_try() -> None:
    lone = Lone(settings=Settings(unload_retries=0))
    gens = {name: lone.load(name, 10) for name in ("m", "x")}
    for name, gen in gens.items():
        lone.know(name, None)
        lone.feed(Drained(name, gen))
    lone.feed(UnloadFailed("m", gens["m"], "busy"))
    lone.commands.clear()
    lone.feed(Unloaded("x", gens["x"]))
    assert [asked.gen for asked in lone.all(Unload)] == [gens["m"]]


def test_deficit_is_paid_by_memory_that_is_back() -> None:
    """A copy that turned out larger than there was room for owes what comes back."""
    lone, gen = lost(units=30)
    pinned = lone.begin_load("p", 10, is_pinned=True)
    lone.feed(Loaded("p", pinned, 80 * 8192))
    owed = lone.node.cache.buffer.deficit
    assert owed > 0
    lone.tick(10_000)
    lone.feed(Unloaded("m", gen))
    assert lone.node.cache.buffer.deficit == max(0, owed - 30)
    check_cache(lone.node.cache)
