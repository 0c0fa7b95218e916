"""One model after the other: what an instance that goes makes of each, whatever comes in between."""

from __future__ import annotations

from dataclasses import replace

from meshcore.asks import Forward, Op, Request, RuntimeFailed, Status, StatusInfo, Told, Unreachable
from meshcore.commands import Begin, Commit, Depart, Withdraw
from meshcore.errors import Code
from meshcore.events import CommitFailed, DrainAsked, RegistrySeen, RuntimeLeaving, Seen
from meshcore.reasons import Rule
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from tests.builders import NOW, instance
from tests.meshcore.lone import Asking, Lone

B = instance(address="b:8080", load_threads=2)
"""One other instance, which makes one such copy at a time."""


def going(*models: str, **peers: object) -> Lone:
    """Instance a with copies of ``models``, the first used last, as it goes."""
    lone = Lone(peers={"b": B} | peers)  # type: ignore[arg-type]
    for at, name in enumerate(models):
        lone.load(name, last_used=NOW - at * 1_000)
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    return lone


def asking(lone: Lone, name: str) -> Asking:
    """The request for another copy of a model."""
    (begun,) = [begin for begin in lone.all(Begin) if begin.request.model == name]
    lone.commands.remove(begun)
    return lone.ask(begun.request)


def ready_on(lone: Lone, name: str, *instances: str) -> None:
    """The record names copies there that answer, beside those it has."""
    record, at = lone.record(name), dict.fromkeys(instances, lone.now)
    lone.know(name, replace(record, copies={**record.copies, **at}, ready={**record.ready, **at}))


def made(asked: Asking) -> None:
    asked.answer(Told(StatusInfo(Status.LOADED)))


def causes(lone: Lone, name: str) -> list[str]:
    return [reason.cause for reason in lone.node.log.of(name) if reason.rule is Rule.DRAIN]


def test_another_copy_is_asked_for_as_it_was_used_and_the_size_it_has() -> None:
    """Not here, and by nobody who waits for it: so clients' loads go first."""
    lone = going("m")
    (begun,) = lone.all(Begin)
    assert begun.request == Request(
        "m", Op.ENSURE, last_used=NOW, exclude=("a",), size_units=10, is_asked_for=False, is_handover=True
    )
    assert begun.why.rule is Rule.DRAIN
    assert isinstance(lone.ask(begun.request).step, Forward)


def test_the_copy_goes_a_second_after_its_record_stopped_naming_it() -> None:
    """Until then others pass requests on to it, and it answers."""
    lone = going("m")
    made(asking(lone, "m"))
    assert lone.all(Commit) == []
    ready_on(lone, "m", "b")
    assert list(lone.written().copies) == ["b"]
    lone.commit()
    lone.tick(999)
    assert lone.node.cache.entries["m"].is_serving
    assert lone.all(Withdraw) == lone.all(Depart) == []
    lone.tick(1)
    assert [withdrawn.model for withdrawn in lone.all(Withdraw)] == ["m"]
    lone.tick(0)
    assert len(lone.all(Depart)) == 1


def test_who_waits_for_its_turn_has_it_when_another_one_is_made() -> None:
    """One that needs none any more is passed over, whoever comes later waits behind."""
    lone = going("m", "n", "o", "p")
    begun = [begin.request.model for begin in lone.all(Begin)]
    assert begun == ["m", "n", "o", "p"], "the latest used first"
    first, *others = [asking(lone, name) for name in begun]
    assert isinstance(first.step, Forward)
    assert not any(isinstance(other.step, Forward) for other in others), "b makes one at a time"
    lone.know("n", None)
    lone.commands.clear()
    made(first)
    lone.tick(0)
    assert [begin.request.model for begin in lone.all(Begin)] == ["o"]


def test_an_answer_that_never_came_is_no_refusal() -> None:
    """Two seconds later it is asked again."""
    lone = going("m")
    asking(lone, "m").answer(Unreachable("connection reset", is_retryable=False))
    assert lone.all(Begin) == []
    lone.tick(2_000)
    assert [begun.request.model for begun in lone.all(Begin)] == ["m"]


def test_a_record_that_changed_meanwhile_is_looked_at_again() -> None:
    """The other copy went before this one was taken out: it stays until there is another."""
    lone = going("m")
    made(asking(lone, "m"))
    ready_on(lone, "m", "b")
    lone.lose("b")
    commit = lone.last(Commit)
    lone.conflict(commit)
    assert not lone.node.cache.entries["m"].is_leaving
    lone.meet("b", B)
    lone.tick(2_000)
    assert lone.all(Withdraw) == []


def test_a_store_that_does_not_take_it_is_asked_again() -> None:
    lone = going("m")
    made(asking(lone, "m"))
    ready_on(lone, "m", "b")
    lone.feed(CommitFailed(lone.last(Commit).ticket, "no leader"))
    lone.commands.clear()
    lone.tick(1_000)
    assert list(lone.written().copies) == ["b"]
    lone.tick(2_000)
    assert lone.node.cache.entries["m"].is_leaving


def test_a_model_that_is_unregistered_meanwhile_is_waited_for_no_longer() -> None:
    """Whatever becomes of what was asked for it, and of what is written."""
    lone = going("m", "n")
    asked = asking(lone, "m")
    lone.know("m", None)
    made(asked)
    ready_on(lone, "n", "b")
    lone.know("n", None)
    lone.commit()
    lone.tick(1_000)
    assert len(lone.all(Depart)) == 1


def test_a_copy_that_is_gone_before_it_goes_is_nobodys_business() -> None:
    """Lost before it was its turn, or unregistered while all heard that its record does not name it any more."""
    lone = Lone(settings=Settings(slice_models=1), peers={"b": B})
    for at, name in enumerate("mn"):
        lone.load(name, last_used=NOW - at * 1_000)
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    ready_on(lone, "m", "b")
    lone.commit()
    lone.ask(Request("n")).answer(RuntimeFailed(Code.NOT_FOUND, "no n"))
    lone.know("m", None)
    lone.tick(1_000)
    assert [len(lone.all(kind)) for kind in (Begin, Depart)] == [1, 1]


def test_a_copy_that_no_record_names_goes_when_the_instance_stays() -> None:
    lone = Lone(settings=Settings(runtime_leave_ms=500), peers={"b": B})
    lone.load("m")
    lone.feed(RuntimeLeaving(100))
    ready_on(lone, "m", "b")
    lone.commit()
    lone.tick(100)
    lone.tick(500)
    assert [withdrawn.model for withdrawn in lone.all(Withdraw)] == ["m"]
    assert not lone.node.is_draining


def test_one_of_two_that_are_made_at_an_instance_makes_place_for_the_next() -> None:
    lone = going("m", "n", "o", b=replace(B, load_threads=4))
    first, _, third = [asking(lone, name) for name in "mno"]
    assert not isinstance(third.step, Forward)
    made(first)
    lone.tick(0)
    assert [begin.request.model for begin in lone.all(Begin)] == ["o"]


def test_where_nobody_waits_any_more_nobody_has_a_turn() -> None:
    lone = going("m", "n")
    first, _ = [asking(lone, name) for name in "mn"]
    lone.know("n", None)
    made(first)
    assert lone.all(Begin) == []


def test_who_had_its_turn_and_came_too_late_is_the_next() -> None:
    """Models of every type have a turn when a place is free, which one of them takes."""
    lone = Lone(peers={"b": B})
    lone.know("x", ModelRecord("other"))
    lone.know("y", ModelRecord("other"))
    for at, name in enumerate("mnxy"):
        lone.load(name, last_used=NOW - at * 1_000)
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    first, *_ = [asking(lone, name) for name in "mnxy"]
    made(first)
    second, late = asking(lone, "n"), asking(lone, "x")
    assert isinstance(second.step, Forward)
    assert not isinstance(late.step, Forward)
    made(second)
    assert [begin.request.model for begin in lone.all(Begin)] == ["x"]


def test_a_record_that_cannot_be_read_holds_up_nothing() -> None:
    lone = Lone(peers={"b": B})
    lone.load("m")
    lone.revision += 1
    lone.feed(RegistrySeen(lone.revision, (Seen("m", b"{", lone.revision),)))
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    assert len(lone.all(Depart)) == 1
    assert "m" in lone.node.cache.entries


def test_a_copy_that_is_being_given_up_is_looked_at_when_that_has_ended() -> None:
    lone = Lone(peers={"b": B})
    lone.load("m")
    lone.node.cache.entries["m"].is_leaving = True
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    assert lone.all(Begin) == []
    lone.node.cache.entries["m"].is_leaving = False
    lone.tick(2_000)
    assert [begun.request.model for begun in lone.all(Begin)] == ["m"]


def test_a_load_that_fails_while_the_instance_goes_leaves_nothing_to_hand_over() -> None:
    lone = Lone(peers={"b": B})
    lone.begin_load("m")
    lone.feed(DrainAsked(60_000))
    lone.load_fails("m")
    lone.tick(5_000)
    assert causes(lone, "m") == []


def test_what_is_under_way_when_the_instance_stays_after_all_ends_well() -> None:
    """A copy whose record is about to stop naming it goes at once; a request for another one is nobody's any more."""
    lone = Lone(peers={"b": B})
    for name in "mno":
        lone.load(name)
    lone.commands.clear()
    lone.feed(RuntimeLeaving(1_000))
    again = next(begun.request for begun in lone.all(Begin) if begun.request.model == "n")
    late = asking(lone, "n")
    ready_on(lone, "m", "b")
    ready_on(lone, "o", "b")
    first, second = lone.all(Commit)
    lone.tick(1_000)
    lone.tick(60_000)
    assert not lone.node.is_draining
    lone.commands = [command for command in lone.commands if not isinstance(command, Begin)]
    made(late)
    assert isinstance(lone.ask(again).step, Forward)
    lone.lose("b")
    lone.conflict(second)
    assert not lone.node.cache.entries["o"].is_leaving
    lone.commands = [first]
    lone.commit()
    assert set(lone.node.cache.entries) == {"n", "o"}


def test_of_a_model_without_a_last_copy_elsewhere_one_that_answers_is_enough() -> None:
    """It had two copies, nobody can have a third: the one that is there answers for both."""
    lone = Lone(peers={"b": B})
    lone.load("m")
    ready_on(lone, "m", "b")
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    asking(lone, "m")
    assert causes(lone, "m")[-2:] == [
        "no other instance can have it: it is answered here to the end", "others answer in its place"
    ]  # fmt: skip
    lone.commit()
    lone.tick(1_000)
    assert [withdrawn.model for withdrawn in lone.all(Withdraw)] == ["m"]


def test_other_instances_that_go_take_nothing_over() -> None:
    """Their copies do not count, and they are asked for none."""
    lone = Lone(peers={"b": replace(B, is_shutting_down=True), "c": instance(address="c:8080")})
    lone.load("m")
    ready_on(lone, "m", "b")
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    step = asking(lone, "m").step
    assert isinstance(step, Forward)
    assert step.instance == "c"
    assert lone.all(Commit) == []


def test_a_request_that_waits_for_a_load_is_told_of_once() -> None:
    """Whoever counts who was made to wait counts these."""
    lone = Lone()
    lone.begin_load("m")
    for _ in range(2):
        lone.ask(Request("m"))
    lone.ask(Request("m", Op.ENSURE))
    assert [reason.rule for reason in lone.node.log.of("m")].count(Rule.WAIT) == 1
