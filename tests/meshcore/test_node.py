"""One instance's brain: what each event makes of it."""

from __future__ import annotations

import pytest

from meshcore.asks import Answered, AwaitLoaded, Done, Failed, Forward, Infer, Kind, Op, Request, Settled
from meshcore.commands import (
    CancelLoad,
    Commit,
    Holder,
    Load,
    Predict,
    Publish,
    Route,
    Settle,
    Unload,
    Withdraw,
)
from meshcore.entry import State
from meshcore.errors import CopyGone, UnknownModel
from meshcore.events import (
    CommitFailed,
    Conflicted,
    Drained,
    Published,
    PublishFailed,
    RegistrySeen,
    Seen,
    SessionRenewed,
    Unloaded,
    Usage,
    Used,
)
from meshcore.reasons import Rule
from meshcore.records import Failure, InstanceRecord, ModelRecord
from tests.builders import NOW, instance, model
from tests.meshcore.lone import START, Lone

TS = NOW - 600_000


# -- flows


def test_flow_ends_with_its_answer_or_its_failure() -> None:
    """An error of the mesh ends a flow; any other is a mistake of ours and is not hidden."""
    lone = Lone()
    lone.load("m")
    assert lone.ask(Request("m")).answer(Answered(1)) == Done(Answered(1))
    asking = lone.ask(Request("n"))
    assert asking.answer(Seen("n", None, 9)) == Failed(UnknownModel())
    asking = lone.ask(Request("o"))
    with pytest.raises(AssertionError):
        asking.answer(Answered(1))


def test_client_that_goes_away_leaves_nothing_behind() -> None:
    """A flow holds only its own request: closing it is all there is to do; the load goes on."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    asking.flow.close()
    lone.predict("m", 10)
    lone.commit()
    lone.loaded("m", 10)
    assert lone.node.cache.entries["m"].is_serving


def test_event_that_nobody_knows_is_a_mistake() -> None:
    """An event of a newer version in a journal, say, is not passed over in silence."""
    with pytest.raises(AssertionError):
        Lone().feed("news")  # type: ignore[arg-type]


# -- publishing


def test_first_thing_an_instance_does_is_to_say_that_it_is_there() -> None:
    """Its record is written at once, then at most every so often; a write that fails is repeated, and for twice the
    lease after that others whose records are gone may have lost theirs in the same way."""
    lone = Lone()
    lone.feed(SessionRenewed())
    publish = lone.last(Publish)
    assert InstanceRecord.decode(publish.value).start_ms == START
    assert publish.why.rule is Rule.PUBLISH
    lone.commands.clear()
    lone.tick(60_000)
    assert lone.all(Publish) == []  # one at a time
    lone.feed(PublishFailed(publish.seq, "no leader"))
    assert lone.node.next_wake(lone.now) == lone.now + 1_000
    lone.tick(1_000)
    assert lone.last(Publish).value == publish.value
    lone.feed(Published(lone.last(Publish).seq))
    lone.commands.clear()
    lone.tick(40_000)
    assert lone.all(Publish) == []  # it would say the same
    assert lone.node.next_wake(lone.now) == lone.now + 10_000
    lone.tick(10_000)
    assert lone.node.next_wake(lone.now) == lone.now + 30_000


def test_accepted_load_is_told_to_those_who_choose() -> None:
    """The record's counter of accepted loads ends what senders hold in reserve."""
    lone = Lone()
    lone.now += 60_000
    lone.begin_load("m")
    record = InstanceRecord.decode(lone.last(Publish).value)
    assert (record.accepted, record.loads_in_progress) == (1, 1)


def test_node_wakes_for_whatever_is_due_first() -> None:
    """An ejected peer's pause ends before a repeated write is due, and that before the next publish."""
    lone = Lone(peers={"b": instance()})
    lone.feed(SessionRenewed())
    lone.feed(Published(lone.last(Publish).seq))
    assert lone.node.next_wake(NOW) == NOW + 40_000
    lone.know("m", model(copies={"a": START - 1}))
    lone.feed(CommitFailed(lone.last(Commit).ticket, "no leader"))
    assert lone.node.next_wake(NOW) == NOW + 1_000
    lone.node.view.health.failed("b", NOW)
    assert lone.node.next_wake(NOW) == NOW + 40


# -- use


def test_use_that_the_plane_counted_keeps_a_copy() -> None:
    """What was used most recently goes last; a copy that is gone by now is not missed."""
    lone = Lone()
    lone.load("m", last_used=NOW - 9_000)
    lone.feed(Used((Usage("m", 3, NOW - 10, 2), Usage("n", 1, NOW))))
    assert lone.node.cache.last_used("m") == NOW - 10
    assert lone.node.cache.entries["m"].in_flight == 2


# -- the registry and what is here


def test_copies_elsewhere_are_in_the_table_at_once() -> None:
    """A snapshot and changes alike; what only a registration is about needs no route."""
    lone = Lone(peers={"b": instance()})
    on_b = model(copies={"b": TS}, ready={"b": TS})
    assert lone.know("m", model()) == []
    assert lone.know("m", on_b) == [Route("m", None, (Holder("b", TS, True),))]
    assert lone.feed(RegistrySeen(9, (Seen("n", on_b.encode(), 8),), True)) == [
        Route("n", None, (Holder("b", TS, True),)),
        Route("m", None, ()),
    ]


@pytest.mark.parametrize("state", [State.NEW, State.QUEUED, State.LOADING, State.SIZING, State.ACTIVE, State.FAILED])
@pytest.mark.parametrize(
    "record", [None, model(path="other"), model("other"), model(key="other")], ids=["gone", "path", "type", "key"]
)
def test_copy_goes_with_its_registration(state: State, record: ModelRecord | None) -> None:
    """Unregistered, or registered anew as something else: whatever state the copy is in, it goes."""
    lone = Lone(load_threads=1)
    lone.load("x")
    if state is State.QUEUED:
        lone.begin_load("y")
    lone.know("m", model())
    asking = lone.ask(Request("m", Op.ENSURE))
    gen = lone.last(Predict).gen
    if state > State.NEW:
        lone.predict("m", 10)
        lone.commit()
    if state is State.FAILED:
        lone.load_fails("m")
        lone.commit()
    elif state > State.LOADING:
        lone.loaded("m", 10 if state is State.ACTIVE else 0)
        lone.commit()
    assert lone.node.cache.entries["m"].state is state
    lone.commands.clear()
    lone.know("m", record)
    assert "m" not in lone.node.cache.entries
    assert {type(command) for command in lone.commands} - {Route, Publish} == {
        State.NEW: {Settle},
        State.QUEUED: {Settle},
        State.LOADING: {CancelLoad, Settle},
        State.SIZING: {Withdraw},
        State.ACTIVE: {Withdraw},
        State.FAILED: set(),
    }[state]
    if state <= State.LOADING:
        cause = "unregistered" if record is None else "registered as another"
        assert lone.last(Settle) == Settle("m", gen, CopyGone(cause))
        asking.answer(Settled(lone.last(Settle).outcome))
        assert not isinstance(asking.step, Done)


def test_copy_of_a_registration_made_anew_at_once_goes_too() -> None:
    """Deleted and created in one piece of news: the copy may be of what the path held before."""
    lone = Lone()
    gen = lone.load("m")
    lone.feed(RegistrySeen(50, (Seen("m", None, 49), Seen("m", model().encode(), 50))))
    assert lone.last(Withdraw).gen == gen
    assert lone.record("m") == model()


def test_model_registered_anew_while_its_copy_leaves_is_loaded_when_that_is_gone() -> None:
    """The runtime has one copy of a model at a time."""
    lone = Lone()
    former = lone.load("m")
    lone.know("m", None)
    lone.know("m", model(path="new"))
    asking = lone.ask(Request("m"))
    lone.predict("m", 10)
    lone.commit()
    assert lone.all(Load) == []
    assert lone.node.cache.entries["m"].state is State.QUEUED
    lone.feed(Drained("m", former))
    lone.tick(200)
    assert lone.last(Unload).gen == former
    lone.feed(Unloaded("m", former))
    load = lone.last(Load)
    assert (load.path, load.gen > former) == ("new", True)
    lone.loaded("m", 10)
    assert asking.answer(Settled(None)) == Infer("m", load.gen)


def test_record_that_names_a_copy_that_is_not_here_is_put_right() -> None:
    """D-01: a copy from before the start, or one that was given up, is taken out by whom it concerns."""
    lone = Lone()
    lone.know("m", model(copies={"a": START - 5, "b": TS}))
    assert lone.last(Commit).why.cause == "registered here but not here"
    assert lone.written() == model(copies={"b": TS})


def test_record_that_names_another_load_than_the_one_here_is_put_right() -> None:
    """D-01: the load time tells copies of one instance apart."""
    lone = Lone()
    lone.load("m")
    lone.know("m", model(copies={"a": NOW - 7}, ready={"a": NOW - 7}))
    assert lone.written().copies == {}
    lone.commit()
    assert lone.record("m").copies == {"a": NOW}


def test_copy_that_somebody_took_out_of_its_record_is_put_back() -> None:
    """D-01: what answers here is on record."""
    lone = Lone()
    lone.load("m")
    lone.know("m", model())
    assert lone.last(Commit).why.cause == "here but not registered here"
    assert lone.written() == model(copies={"a": NOW}, ready={"a": NOW})


def test_record_that_names_a_failed_load_as_a_copy_is_put_right() -> None:
    """D-01: a store that was put back to an earlier state names what failed since."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m")
    lone.commit()
    lone.know("m", model(copies={"a": NOW}))
    assert lone.last(Commit).why.cause == "registered here but not here"
    assert lone.written().copies == {}


def test_copy_that_its_record_does_not_call_ready_is_called_so_again() -> None:
    """D-01: a store that was put back to an earlier state names a copy as it was before its load was over."""
    lone = Lone()
    lone.load("m")
    lone.know("m", model(copies={"a": NOW}))
    assert lone.last(Commit).why.cause == "here but not registered here"
    assert lone.written() == model(copies={"a": NOW}, ready={"a": NOW})


def test_load_under_way_is_put_on_record_when_it_is_over() -> None:
    """A copy that does not answer yet is nothing to put back."""
    lone = Lone()
    lone.begin_load("m")
    lone.commands.clear()
    lone.know("m", model())
    assert lone.all(Commit) == []
    lone.loaded("m", 10)
    assert lone.written() == model(copies={"a": NOW}, ready={"a": NOW})


def test_failure_that_somebody_took_off_the_record_is_forgotten_here() -> None:
    """The model may be loaded here again at once."""
    lone = Lone()
    gen = lone.begin_load("m")
    lone.load_fails("m")
    lone.commit()
    lone.feed(Unloaded("m", gen))
    assert lone.record("m").failures == {"a": Failure(NOW, "bad")}
    lone.know("m", model(last_used=NOW))
    assert "m" not in lone.node.cache.entries
    assert isinstance(lone.ask(Request("m")).step, AwaitLoaded)


def test_failure_on_its_way_to_the_record_stands() -> None:
    """A record that still names the copy has not heard of the failure yet."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m")
    lone.know("m", model(copies={"a": NOW, "b": TS}))
    assert lone.node.cache.entries["m"].state is State.FAILED


@pytest.mark.parametrize("is_seen_first", [False, True])
def test_load_that_the_store_took_without_saying_so_is_begun_and_not_written_twice(is_seen_first: bool) -> None:
    """The store fell silent though it had written: the load goes on, and its end is the next that is written."""
    lone = Lone()
    lone.know("m", model())
    lone.ask(Request("m"))
    lone.predict("m", 10)
    commit = lone.last(Commit)
    lone.revision += 1
    seen = RegistrySeen(lone.revision, (Seen("m", commit.value, lone.revision),))
    if is_seen_first:
        lone.feed(seen)
    lone.feed(CommitFailed(commit.ticket, "no answer"))
    assert lone.last(Load).model == "m"
    lone.commands.clear()
    if not is_seen_first:
        lone.feed(seen)
    lone.tick(1_000)
    assert lone.all(Commit) == []
    lone.loaded("m")
    assert lone.written().is_ready("a")


def test_load_that_loses_the_race_for_the_record_waits_for_the_winner() -> None:
    """Of two instances that begin to load a model one goes on; the other's request follows it."""
    lone = Lone(peers={"b": instance(used_units=950)})
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    lone.predict("m", 10)
    lone.feed(Conflicted(lone.last(Commit).ticket, model(copies={"b": NOW}).encode(), 9))
    settle = lone.last(Settle)
    assert settle.outcome == CopyGone("another instance is loading the model")
    assert lone.node.cache.entries == {}
    assert lone.last(Route) == Route("m", None, (Holder("b", NOW, False),))
    asking.answer(Settled(settle.outcome))
    assert isinstance(asking.step, Forward)
    assert (asking.step.instance, asking.step.request.kind) == ("b", Kind.HIT)


def test_unreadable_record_is_told_of_and_harms_nobody() -> None:
    """What is loaded serves; the record is left alone; when it can be read again all is as before."""
    lone = Lone()
    gen = lone.load("m")
    lone.revision += 1
    lone.feed(RegistrySeen(lone.revision, (Seen("m", b'{"instanceIds":1}', lone.revision),)))
    assert 'Record "registry/m"' in lone.node.bad["m"]
    assert lone.node.cache.entries["m"].gen == gen
    assert lone.all(Commit) == []
    lone.know("m", model(copies={"a": NOW}, ready={"a": NOW}))
    assert lone.node.bad == {}


def test_unreadable_record_of_a_model_elsewhere_is_forgotten_when_it_is_put_right() -> None:
    """Also when what stands there now names no copy, or is nothing."""
    lone = Lone()
    for record in (model(), None):
        lone.revision += 1
        lone.feed(RegistrySeen(lone.revision, (Seen("m", b'{"instanceIds":1}', lone.revision),)))
        assert "m" in lone.node.bad
        lone.know("m", record)
        assert lone.node.bad == {}


def test_registration_says_what_its_copy_is_worth() -> None:
    """Priority and pin are followed; a copy that was pinned beyond its room goes when it is not pinned any more."""
    lone = Lone(load_threads=1)
    lone.load("m", 80, is_pinned=True)
    assert lone.node.cache.entries["m"].is_pinned
    lone.know("m", model(copies={"a": NOW}, ready={"a": NOW}, priority=9))
    entry = lone.node.cache.entries["m"]
    assert (entry.is_pinned, entry.priority) == (False, 9)


def test_reasons_of_an_unregistered_model_are_forgotten() -> None:
    """What is kept per model is kept for those that are registered."""
    lone = Lone()
    lone.load("m")
    assert lone.node.log.of("m")
    lone.know("m", None)
    assert lone.node.log.of("m") == ()
