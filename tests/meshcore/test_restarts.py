"""While the runtime is away nothing is asked of it, and what comes back is taken as it is."""

from __future__ import annotations

from dataclasses import replace

from meshcore.asks import Kind, Op, Request, Verdict
from meshcore.commands import Commit, Load, Predict, Publish, Settle, Unload, Withdraw
from meshcore.entry import State
from meshcore.errors import CopyGone
from meshcore.events import Drained, Failing, Loaded, LoadFailed, Measured, Predicted, Unloaded, UnloadFailed
from meshcore.reasons import Rejected, Rule
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.asked import forwarded, peers, verdict
from tests.meshcore.copy_words import ask, states
from tests.meshcore.lone import Lone
from tests.meshcore.restart_words import back, published, restart


def test_nothing_is_asked_of_a_runtime_that_is_away_and_answers_from_before_mean_nothing() -> None:
    """Its memory is empty: what was being unloaded is, what was lost for ever is there again."""
    lone = Lone(settings=Settings(unload_retries=0))
    stuck = lone.load("stuck", 20)
    lone.know("stuck", None)
    lone.feed(Drained("stuck", stuck))
    lone.feed(UnloadFailed("stuck", stuck, "busy"))
    leaving = lone.load("leaving", 10)
    lone.know("leaving", None)
    gens = {"used": lone.load("used", 10)}
    gens["sizing"] = ask(lone, "sizing", 10)
    lone.feed(Loaded("sizing", gens["sizing"]))
    gens["loading"] = ask(lone, "loading", 10)
    gens["queued"] = ask(lone, "queued", 10)
    lone.know("new", model())
    lone.ask(Request("new", Op.ENSURE, Kind.LOAD, is_sync=False))
    gens["new"] = lone.last(Predict).gen
    lone.commands.clear()
    restart(lone)
    assert [command.model for command in lone.all(Withdraw)] == ["used", "sizing"]
    assert (states(lone), lone.node.cache.buffer.capacity, lone.node.cache.free_units) == ({}, 100, 90)
    lone.commit()
    lone.commands.clear()
    for event in (
        Drained("leaving", leaving), Unloaded("leaving", leaving), Drained("used", gens["used"]),
        Measured("sizing", gens["sizing"], 8192), Loaded("loading", gens["loading"], 8192),
        LoadFailed("loading", gens["loading"], "UNAVAILABLE: x", Failing.LOST),
    ):  # fmt: skip
        lone.feed(event)
    lone.feed(Predicted("new", gens["new"], 8192))
    lone.tick(10_000)
    assert [command for command in lone.commands if not isinstance(command, Publish)] == []


def test_failed_copy_is_forgotten_with_the_runtime_and_stays_on_record() -> None:
    """It says what an instance could not do, whatever runs there."""
    lone = Lone()
    gen = ask(lone, "m", 10)
    lone.feed(LoadFailed("m", gen, "bad"))
    lone.commit()
    lone.commands.clear()
    restart(lone)
    assert (states(lone), lone.all(Commit), lone.all(Unload)) == ({}, [], [])
    assert lone.record("m").failures["a"].text == "bad"


def test_others_are_told_and_do_the_loading_until_it_is_back() -> None:
    """The phase is in the record at once, whatever gap writes usually have; the Java flag for an end is not set."""
    lone = Lone(peers=peers("b"))
    lone.load("m")
    restart(lone)
    record = published(lone)
    assert (record.phase, record.is_shutting_down, record.count) == ("starting", False, 0)
    lone.know("n", model())
    lone.meet("b", instance(address="b:8080", capacity_units=50))
    assert forwarded(lone.ask(Request("n")))[0] == "b"
    (place,) = [reason for reason in lone.node.log.of("n") if reason.rule is Rule.PLACE]
    assert {c.id: c.rejected for c in place.candidates} == {"b": None, "a": Rejected.AWAY}
    back(lone)
    assert published(lone).phase == "ready"


def test_load_sent_here_meanwhile_is_declined_once_where_somebody_else_is() -> None:
    """The sender did not know yet; alone, or asked again, this instance takes it and waits."""
    lone = Lone()
    restart(lone)
    lone.know("m", model(size_bytes=8192))
    sent = Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, origin="c")
    lone.ask(sent)
    assert states(lone) == {"m": State.NEW}
    lone.meet("b")
    lone.know("n", model(size_bytes=8192))
    asking = lone.ask(replace(sent, model="n"))
    assert verdict(asking).verdict is Verdict.DECLINED
    lone.ask(replace(sent, model="n", targets=("b",)))
    assert states(lone) == {"m": State.NEW, "n": State.NEW}


def test_loads_wait_for_the_runtime_in_their_order_and_without_a_limit() -> None:
    """The time a load may wait for memory begins with its turn."""
    lone = Lone(load_threads=1)
    restart(lone)
    first, second = ask(lone, "m", 10), ask(lone, "n", 10)
    lone.tick(170_000)
    assert (lone.all(Load), states(lone)) == ([], {"m": State.QUEUED, "n": State.QUEUED})
    back(lone, load_threads=2)
    assert [load.gen for load in lone.all(Load)] == [first, second]
    assert [load.deadline_ms for load in lone.all(Load)] == [90_000] * 2


def test_smaller_runtime_is_taken_as_it_is() -> None:
    """What does not fit any more fails, what waits in too little room goes."""
    lone = Lone()
    restart(lone)
    for number in range(4):
        ask(lone, f"m{number}", 1, last_used=NOW)
        lone.now += 1
    ask(lone, "large", 50)
    back(lone, capacity_units=10, reserve_units=2, load_threads=5, default_units=1, min_space_units=1)
    assert states(lone)["large"] is State.FAILED
    assert lone.node.cache.entries["large"].failure.endswith("(50 units) is larger than capacity (8 units)")
    assert [load.model for load in lone.all(Load)] == ["m0", "m1", "m2", "m3"]
    assert lone.node.own_record().capacity_units == 8


def test_runtime_much_smaller_pushes_out_loads_that_have_not_begun() -> None:
    """The last ones that came have been used most recently, and stay."""
    lone = Lone()
    restart(lone)
    for number in range(4):
        ask(lone, f"m{number}", 1)
        lone.now += 1
    back(lone, capacity_units=3, reserve_units=1, load_threads=4, default_units=1, min_space_units=1)
    assert set(states(lone)) == {"m2", "m3"}
    assert [command.outcome for command in lone.all(Settle) if command.model] == [
        CopyGone("the runtime has less memory than before")
    ] * 2


def test_churn_is_judged_by_the_new_parameters() -> None:
    """Everywhere where they count."""
    lone = Lone()
    restart(lone)
    back(lone, min_churn_age_ms=77)
    assert (lone.node.cache.params.min_churn_age_ms, lone.node.view.order.churn_age_ms) == (77, 77)
