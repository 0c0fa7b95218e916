"""Whether the runtime restarted: what shows that it did, and what does not."""

from __future__ import annotations

import pytest

from meshcore.asks import Request
from meshcore.commands import Greet, Probe, Route, Settle
from meshcore.entry import State
from meshcore.events import Drained, Finding, RuntimeProbed, Unloaded
from meshcore.reasons import Rule
from meshcore.units import NEVER
from tests.meshcore.copy_words import states
from tests.meshcore.lone import Lone
from tests.meshcore.restart_words import ENDED, SUSPECTED, back, lose


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
