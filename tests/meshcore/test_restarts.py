"""A runtime that may have restarted, and one that did."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import AwaitLoaded, Done, Infer, Kind, Met, Op, Request, RuntimeFailed, Settled, Verdict
from meshcore.commands import (
    Begin,
    CancelLoad,
    Commit,
    Greet,
    Load,
    Predict,
    Probe,
    Publish,
    Route,
    Settle,
    Stop,
    Unload,
    Withdraw,
)
from meshcore.entry import State
from meshcore.errors import Code, CopyGone, LoadFailure
from meshcore.events import (
    CommitFailed,
    Committed,
    DrainAsked,
    Drained,
    Failing,
    Finding,
    Idled,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    RuntimeBack,
    RuntimeProbed,
    RuntimeSuspected,
    Unloaded,
    UnloadFailed,
)
from meshcore.reasons import Rejected, Rule
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model, params
from tests.meshcore.asked import forwarded, peers, verdict
from tests.meshcore.copy_words import ask, states
from tests.meshcore.lone import Asking, Lone

LOST = RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: who?")
ENDED = RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: Socket closed")
SUSPECTED = RuntimeSuspected("the connection ended")


def restart(lone: Lone) -> None:
    """The runtime is found to have restarted."""
    lone.feed(SUSPECTED)
    lone.feed(RuntimeProbed(lone.last(Probe).question, Finding.REFUSED))


def back(lone: Lone, **limits: int) -> None:
    lone.feed(RuntimeBack(params(**{"min_churn_age_ms": 0} | limits)))


def lose(lone: Lone, name: str) -> Asking:
    """The runtime says that it does not have the model."""
    asking = lone.ask(Request(name))
    asking.answer(LOST)
    return asking


def committed(lone: Lone, commit: Commit) -> None:
    """The store takes one write."""
    lone.revision += 1
    lone.feed(Committed(commit.ticket, lone.revision))


def published(lone: Lone) -> InstanceRecord:
    """What the instance says of itself once it may."""
    while publishes := lone.all(Publish):
        lone.commands.clear()
        lone.feed(Published(publishes[-1].seq))
        record = InstanceRecord.decode(publishes[-1].value)
    return record


# -- doubt


@pytest.mark.parametrize("finding", [Finding.REFUSED, Finding.REPLACED])
def test_lost_connection_and_nobody_or_another_where_it_listened_is_a_restart(finding: Finding) -> None:
    """All copies are gone at once; the runtime is greeted once."""
    lone = Lone()
    for name in ("x", "y"):
        lone.load(name)
    lone.feed(SUSPECTED)
    assert lone.all(Greet) == []
    assert [reason.rule for reason in lone.node.log.since(0)][-1] is Rule.SUSPECT
    question = lone.last(Probe).question
    lone.feed(RuntimeProbed(question, finding))
    assert [route.holders for route in lone.all(Route)] == [(), ()]
    assert (len(lone.all(Greet)), lone.last(Greet).why.inputs) == (1, {"copies": 2})
    lone.feed(RuntimeProbed(question, finding))
    lone.feed(SUSPECTED)
    assert (len(lone.all(Greet)), len(lone.all(Probe))) == (1, 1)


def test_lost_connection_to_a_runtime_that_is_there_changes_nothing() -> None:
    """A proxy between them may have dropped it."""
    lone = Lone()
    lone.load("m")
    lone.feed(SUSPECTED)
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    assert [type(command) for command in lone.commands] == [Probe, Settle]
    assert states(lone) == {"m": State.ACTIVE}
    assert lone.node.runtime.next_wake() == NEVER


@pytest.mark.parametrize("finding", [Finding.OPEN, Finding.SILENT])
def test_what_was_seen_before_the_connection_ended_counts_for_nothing(finding: Finding) -> None:
    """The runtime may have gone just after."""
    lone = Lone()
    lone.load("m")
    lone.ask(Request("m")).answer(ENDED)
    lone.feed(SUSPECTED)
    assert lone.all(Probe) == [Probe(1)]
    lone.feed(RuntimeProbed(1, finding))
    assert (lone.all(Probe), lone.all(Settle)) == ([Probe(1)] * 2, [])
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    assert len(lone.all(Greet)) == 1


def test_runtime_that_shows_nothing_is_looked_at_until_it_does() -> None:
    """Once a second, however long: its connection was lost, and whether it restarted has to be known."""
    lone = Lone()
    lone.load("m")
    lone.feed(SUSPECTED)
    for _ in range(60):
        lone.commands.clear()
        lone.feed(RuntimeProbed(1, Finding.SILENT))
        assert lone.node.next_wake(lone.now) <= lone.now + 1_000
        lone.tick(999)
        assert lone.all(Probe) == []
        lone.tick(1)
        assert lone.all(Probe) == [Probe(1)]
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    assert lone.all(Settle) == [Settle("", 1, None)]
    assert (lone.node.runtime.next_wake(), states(lone)) == (NEVER, {"m": State.ACTIVE})


def test_two_models_lost_at_once_by_a_doubtful_runtime_show_a_restart() -> None:
    """It was back before anybody looked; which models it lost is in the reason."""
    lone = Lone()
    for name in ("x", "y"):
        lone.load(name)
    lone.feed(SUSPECTED)
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    lone.tick(9_000)
    lose(lone, "x")
    assert lone.all(Greet) == []
    lone.tick(900)
    lose(lone, "y")
    assert lone.last(Greet).why.cause == "the connection was lost, and with it x and y"


def test_two_models_lost_just_before_the_lost_connection_is_noticed_show_a_restart() -> None:
    """What happened first is not always heard first; a question that is open needs no answer any more."""
    lone = Lone()
    for name in ("x", "y"):
        lone.load(name)
        lose(lone, name)
    lone.feed(SUSPECTED)
    assert lone.all(Settle)[-1] == Settle("", 1, None)
    assert len(lone.all(Greet)) == 1


@pytest.mark.parametrize("case", ["connection kept", "long ago", "one model twice", "too far apart"])
def test_models_lost_otherwise_show_no_restart(case: str) -> None:
    """To ask a runtime that works for its status would cost it all its models: each that is lost is loaded again."""
    lone = Lone()
    for name in ("x", "y"):
        lone.load(name)
    if case != "connection kept":
        lone.feed(SUSPECTED)
        lone.feed(RuntimeProbed(1, Finding.OPEN))
    if case == "long ago":
        lone.tick(10_000)
    lose(lone, "x")
    lone.tick(5_001 if case == "too far apart" else 5_000)
    if case == "one model twice":
        lone.feed(Drained("x", 1))
        lone.feed(Unloaded("x", 1))
        lone.load("x")
        lose(lone, "x")
    else:
        lose(lone, "y")
    assert lone.all(Greet) == []
    assert not lone.node.is_runtime_away


def test_answer_to_a_question_that_is_settled_says_nothing() -> None:
    """It is about what was before."""
    lone = Lone()
    for name in ("x", "y"):
        lone.load(name)
        lose(lone, name)
    lone.feed(SUSPECTED)
    back(lone)
    lone.feed(SUSPECTED)
    assert [probe.question for probe in lone.all(Probe)] == [1, 2]
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    assert len(lone.all(Greet)) == 1
    lone.feed(RuntimeProbed(2, Finding.REFUSED))
    assert len(lone.all(Greet)) == 2


# -- requests and loads meanwhile


def test_request_that_the_runtimes_end_cut_off_waits_for_certainty_and_is_answered() -> None:
    """With nobody else there it is loaded here again, once the runtime is ready."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m"))
    assert asking.answer(ENDED) == AwaitLoaded("", 1, 10_000)
    assert lone.last(Probe) == Probe(1)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    assert lone.all(Settle) == [Settle("", 1, None)]
    asking.answer(Settled(None))
    lone.predict("m", 10)
    lone.commit()
    gen = lone.node.cache.entries["m"].gen
    assert asking.step == AwaitLoaded("m", gen, 450_000)
    assert lone.all(Load) == []
    back(lone)
    assert lone.last(Load).gen == gen
    lone.loaded("m", 10)
    assert asking.answer(Settled(None)) == Infer("m", gen)


def test_request_that_the_plane_saw_cut_off_waits_too() -> None:
    """Also where the restart is known already by the time it is told."""
    lone = Lone()
    gen = lone.load("m")
    met = Met("a", NOW, gen, ENDED)
    asking = lone.ask(Request("m", met=met))
    assert isinstance(asking.step, AwaitLoaded)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    late = lone.ask(Request("m", met=met))
    assert isinstance(late.step, AwaitLoaded)
    assert late.step.model == "m"
    passed_on = lone.ask(Request("m", kind=Kind.HIT, tried=(("a", NOW),), origin="b", met=met))
    assert isinstance(passed_on.step, AwaitLoaded)


def test_copy_that_the_runtimes_end_took_is_not_here_for_other_instances() -> None:
    """The sender goes on elsewhere."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    asking.answer(ENDED)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    asking.answer(Settled(None))
    assert verdict(asking).verdict is Verdict.NOT_HERE


def test_unavailable_runtime_is_looked_at_once_a_second_at_most() -> None:
    """One that is overloaded says so in every answer."""
    lone = Lone()
    lone.load("m")
    first = lone.ask(Request("m"))
    second = lone.ask(Request("m"))
    assert first.answer(ENDED) == second.answer(ENDED)
    assert len(lone.all(Probe)) == 1
    lone.feed(RuntimeProbed(1, Finding.SILENT))
    lone.tick(999)
    assert lone.ask(Request("m")).answer(ENDED) == first.answer(Settled(None))
    lone.tick(1)
    assert lone.ask(Request("m")).answer(ENDED) == AwaitLoaded("", 2, 10_000)


def test_load_that_the_runtimes_end_cut_off_is_not_held_against_the_model() -> None:
    """Whoever waits for it chooses anew; what nobody waits for is begun anew."""
    lone = Lone()
    awaited = ask(lone, "awaited", 10)
    asking = lone.ask(Request("awaited"))
    other = ask(lone, "other", 10)
    for name, gen in (("awaited", awaited), ("other", other)):
        lone.feed(LoadFailed(name, gen, "UNAVAILABLE: Socket closed", Failing.LOST))
    assert states(lone) == {"awaited": State.LOADING, "other": State.LOADING}
    lone.feed(RuntimeProbed(lone.last(Probe).question, Finding.REFUSED))
    assert [command.outcome for command in lone.all(Settle) if command.model] == [
        CopyGone("the runtime restarted: nobody listens where it did")
    ] * 2
    assert [begin.request for begin in lone.all(Begin)] == [Request("other", Op.ENSURE, is_sync=False, last_used=NOW)]
    lone.commit()
    for name in ("awaited", "other"):
        assert (lone.record(name).copies, lone.record(name).failures) == ({}, {})
    assert lone.all(Unload) == lone.all(CancelLoad) == []
    asking.flow.close()


def test_load_that_fails_unavailable_at_a_runtime_that_is_there_has_failed() -> None:
    """As with any other text, only a moment later."""
    lone = Lone()
    gen = ask(lone, "m", 10)
    lone.feed(LoadFailed("m", gen, "UNAVAILABLE: no disk", Failing.LOST))
    assert lone.all(Settle) == []
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    assert lone.last(Settle) == Settle("m", gen, LoadFailure("UNAVAILABLE: no disk"))
    assert states(lone) == {"m": State.FAILED}


# -- while it is away


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


# -- deregistration


def test_copies_are_taken_out_of_their_records_a_few_at_a_time() -> None:
    """However many there were, the store serves others meanwhile."""
    lone = Lone(settings=Settings(deregister_batch=3))
    names = [f"m{number}" for number in range(8)]
    for name in names:
        lone.load(name, 5)
    for name in names[3:5]:  # somebody else did it already, which is not heard of as a change here
        lone.node.view.see_model(name, model().encode(), 10**6)
    restart(lone)
    most = 0
    while commits := lone.all(Commit):
        most = max(most, len(commits))
        commit = commits[0]
        assert commit.why.rule is Rule.RESTART
        lone.commands.remove(commit)
        committed(lone, commit)
    assert most == 3
    assert all(lone.record(name).copies == {} for name in names)


def test_store_that_is_away_keeps_no_more_than_a_batch_waiting() -> None:
    """The facts are written when it is back."""
    lone = Lone(settings=Settings(deregister_batch=2))
    for name in ("x", "y", "z"):
        lone.load(name, 5)
    restart(lone)
    commits = lone.all(Commit)
    lone.commands.clear()
    for commit in commits:
        lone.feed(CommitFailed(commit.ticket, "no leader"))
    assert lone.all(Commit) == []
    lone.tick(1_000)
    assert len(lone.all(Commit)) == 2
    lone.commit()
    assert all(lone.record(name).copies == {} for name in ("x", "y", "z"))


# -- at the end of the instance


def test_instance_that_is_going_goes_on_with_it_when_its_runtime_restarts() -> None:
    """It says that it goes, and nothing else; its end waits for what is to be deregistered."""
    lone = Lone(settings=Settings(deregister_batch=1))
    for name in ("x", "y"):
        lone.load(name, 5)
    lone.feed(DrainAsked())
    restart(lone)
    commits = lone.all(Commit)
    assert len(commits) == 1
    assert published(lone).phase == "draining"
    back(lone)
    assert lone.node.is_draining
    restart(lone)
    lone.commands = [command for command in lone.commands if not isinstance(command, Commit)] + commits
    lone.feed(Idled())
    assert lone.all(Stop) == []
    lone.commit()
    assert len(lone.all(Stop)) == 1
    assert all(lone.record(name).copies == {} for name in ("x", "y"))


def test_drain_that_begins_while_the_runtime_is_away_stays() -> None:
    """Its return changes nothing about it."""
    lone = Lone()
    restart(lone)
    lone.feed(DrainAsked())
    back(lone)
    assert published(lone).phase == "draining"


def test_model_loaded_again_here_while_its_former_copy_is_still_on_record_stays_there() -> None:
    """The deregistration names the load time of the copy that is gone."""
    lone = Lone(settings=Settings(deregister_batch=1))
    for name in ("x", "m"):
        lone.load(name, 5)
    lone.commands.clear()
    restart(lone)
    commit = lone.last(Commit)
    assert commit.model == "x"
    lone.commands.remove(commit)
    back(lone)
    asking = lone.ask(Request("m"))
    lone.predict("m", 5)
    lone.commit()
    lone.loaded("m", 5)
    assert isinstance(asking.answer(Settled(None)), Infer)
    committed(lone, commit)
    lone.commit()
    assert lone.record("m").copies == {"a": lone.node.cache.entries["m"].load_ts}
    assert isinstance(asking.answer(RuntimeFailed(Code.INTERNAL, "x")), Done)
