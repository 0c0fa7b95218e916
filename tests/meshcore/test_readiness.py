"""When an instance lets clients be sent to it: not before others are gone, and not any more if its loads go wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from meshcore.asks import Kind, Op, Request
from meshcore.commands import Probe
from meshcore.events import (
    Finding,
    InstancesSeen,
    Loaded,
    LoadFailed,
    Measured,
    RuntimeBack,
    RuntimeProbed,
    RuntimeSuspected,
    Seen,
    Started,
)
from meshcore.failfast import Blame, Trials, blame, verdict
from meshcore.reasons import Reason, Rule
from meshcore.records import Failure, InstanceRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model, params
from tests.meshcore.lone import Lone

L_MS = 90_000
"""The load timeout of tests.builders.params."""
OLD_MS = Settings().failfast_old_ms
JUST_STARTED = {"start_ms": NOW}


def going(**fields: Any) -> InstanceRecord:
    return instance(**({"address": "x:8080", "phase": "draining", "is_shutting_down": True} | fields))


def reasons(lone: Lone, rule: Rule) -> list[Reason]:
    return [why for why in lone.node.log.since(0) if why.rule is rule]


# -- others that are going ------------------------------------------------------------------------------------


def test_an_instance_is_not_ready_until_once_nobody_is_going() -> None:
    """So a rolling change takes one instance after the other."""
    lone = Lone(me=JUST_STARTED, peers={"b": going(), "c": instance(), "d": going()})
    assert lone.node.readiness.missing == ("waits until other instances are gone: b, d",)
    lone.lose("b")
    assert lone.node.readiness.missing == ("waits until other instances are gone: d",)
    lone.lose("d")
    assert lone.node.readiness.missing == ()
    assert [why.cause for why in reasons(lone, Rule.GATE)] == ["waits for b, d", "nobody is going any more"]


def test_whoever_goes_later_is_not_waited_for() -> None:
    """Once ready, ready: the last instances of a rolling change may all go at once."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance()})
    lone.meet("b", going())
    assert lone.node.readiness.missing == ()
    assert reasons(lone, Rule.GATE) == []


def test_nobody_is_forgotten_that_stands_in_the_first_look_behind_others() -> None:
    """The first snapshot is looked at as a whole."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance(), "z": going()})
    assert lone.node.readiness.missing == ("waits until other instances are gone: z",)


@pytest.mark.parametrize("peers", [{}, {"a": going(start_ms=NOW - 10)}, {"a": going(start_ms=NOW - 10, address="")}])
def test_a_lone_instance_never_waits(peers: dict[str, InstanceRecord]) -> None:
    """What its own former process left, whichever kind it was, is nobody to wait for."""
    lone = Lone(me=JUST_STARTED, peers=peers)
    assert lone.node.readiness.missing == ()


def test_a_java_pod_that_is_going_is_waited_for_too() -> None:
    """One rolling change may lead from one kind to the other."""
    lone = Lone(me=JUST_STARTED, peers={"j": going(address="")})
    assert lone.node.readiness.missing != ()


def test_many_that_are_going_are_counted() -> None:
    """A line stays a line."""
    lone = Lone(me=JUST_STARTED, peers={f"b{number}": going() for number in range(5)})
    assert lone.node.readiness.missing == ("waits until other instances are gone: b0, b1, b2 and 2 more",)


def test_nobody_is_waited_for_for_ever() -> None:
    """A record that says it is going and stays, without a lease say, keeps no instance out for longer than this."""
    settings = Settings(ready_wait_ms=600_000)
    lone = Lone(me=JUST_STARTED, peers={"b": going()}, settings=settings)
    assert lone.node.readiness.next_wake() == NOW + 600_000
    assert lone.node.next_wake(NOW) <= NOW + 600_000
    lone.tick(599_999)
    assert lone.node.readiness.missing != ()
    lone.tick(1)
    assert (lone.node.readiness.missing, lone.node.readiness.next_wake()) == ((), NEVER)
    assert reasons(lone, Rule.GATE)[-1].cause == "waited long enough for b"
    lone.meet("c", going())
    assert lone.node.readiness.missing == ()


def test_an_instance_that_has_not_started_waits_for_whoever_goes_meanwhile() -> None:
    """What it is to load before clients come takes its time: nobody going when that began says nothing."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance()}, has_started=False)
    assert lone.node.readiness.missing == ()
    lone.meet("b", going())
    assert lone.node.readiness.missing == ("waits until other instances are gone: b",)
    lone.lose("b")
    assert lone.node.readiness.missing == ()
    lone.meet("c", going())
    lone.now += 60_000
    lone.feed(Started())
    assert lone.node.readiness.missing == ("waits until other instances are gone: c",)
    assert lone.node.readiness.next_wake() == lone.now + Settings().ready_wait_ms
    lone.lose("c")
    lone.meet("d", going())
    assert lone.node.readiness.missing == ()
    assert [why.cause for why in reasons(lone, Rule.GATE)] == ["waits for b", "waits for c", "nobody is going any more"]


def test_an_instance_whose_runtime_is_away_is_not_ready_and_goes_on_waiting() -> None:
    """The first time at which it is ready counts, not the first at which nobody is going."""
    lone = Lone(me=JUST_STARTED, has_started=False)
    lone.feed(RuntimeSuspected("reset"))
    lone.feed(RuntimeProbed(lone.last(Probe).question, Finding.REFUSED))
    lone.feed(Started())
    lone.meet("b", going())
    assert lone.node.readiness.missing == ("waits until other instances are gone: b",)
    lone.lose("b")
    lone.feed(RuntimeBack(params(min_churn_age_ms=0)))
    lone.meet("b", going())
    assert lone.node.readiness.missing == ()


@runs(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("bcd"), st.sampled_from(["going", "there", "gone"])), max_size=20))
def test_it_is_ready_from_the_first_moment_at_which_nobody_was_going(events: list[tuple[str, str]]) -> None:
    """Whatever comes before and after."""
    lone = Lone(me=JUST_STARTED, peers={"b": going()})
    known, was_clear = {"b": "going"}, False
    for name, what in events:
        if what == "gone":
            lone.lose(name)
            known.pop(name, None)
        else:
            lone.meet(name, going() if what == "going" else instance(address="x:1"))
            known[name] = what
        was_clear = was_clear or "going" not in known.values()
        assert (lone.node.readiness.missing == ()) == was_clear


# -- what a failed load says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "asked_for", "unasked"),
    [
        ({}, Blame.GENERAL, Blame.NONE),
        ({"copies": {"b": NOW - L_MS}}, Blame.FATAL, Blame.FATAL),
        ({"copies": {"b": NOW - L_MS + 1}}, Blame.GENERAL, Blame.NONE),
        ({"copies": {"a": NOW - L_MS}}, Blame.GENERAL, Blame.NONE),
        ({"copies": {"gone": NOW - L_MS}}, Blame.GENERAL, Blame.NONE),
        ({"failures": {"b": Failure(NOW - OLD_MS, "bad")}}, Blame.NONE, Blame.NONE),
        ({"failures": {"b": Failure(NOW - OLD_MS + 1, "bad")}}, Blame.GENERAL, Blame.NONE),
        ({"copies": {"b": NOW - L_MS}, "failures": {"c": Failure(NOW - OLD_MS, "bad")}}, Blame.FATAL, Blame.FATAL),
    ],
)
def test_a_failure_is_the_instances_where_others_hold_the_model_and_the_models_where_it_failed_long_ago(
    fields: dict[str, Any], asked_for: Blame, unasked: Blame
) -> None:
    """A copy counts when it is as old as a load may take, so that it did load; a failure after half an hour. What
    nobody asked for and nobody has says nothing: it may lie broken in the registry for long."""
    for is_asked_for, expected in ((True, asked_for), (False, unasked)):
        found = blame(model(**fields), is_asked_for, "a", lambda name, _: name != "gone", L_MS, NOW, Settings())
        assert found is expected


@pytest.mark.parametrize(
    ("trials", "in_progress", "text"),
    [
        (Trials(), 0, ""),
        (Trials(failed=2, fatal=2), 0, ""),
        (Trials(failed=3, fatal=3), 0, "3 models that other instances hold could not be loaded here"),
        (Trials(failed=20), 0, ""),
        (Trials(failed=21), 0, "21 of 21 loads failed here"),
        (Trials(failed=11, loaded=5), 5, "11 of 21 loads failed here"),
        (Trials(failed=10, loaded=11), 0, ""),
        (Trials(failed=11, loaded=11), 0, ""),
        (Trials(failed=11, loaded=1), 9, "11 of 21 loads failed here"),
    ],
)
def test_more_than_two_fatal_failures_or_more_than_half_of_more_than_twenty_loads_settle_it(
    trials: Trials, in_progress: int, text: str
) -> None:
    """Loads under way count among those that were tried."""
    assert verdict(trials, in_progress, Settings()) == text


# -- an instance that fails -----------------------------------------------------------------------------------

BROKEN = "3 models that other instances hold could not be loaded here, so it stays out of use (fail-fast)"


def fail(lone: Lone, name: str, is_asked_for: bool = True, **fields: Any) -> None:
    """A load here that the runtime ends with an error."""
    lone.know(name, model(**fields))
    lone.begin_load(name, is_asked_for=is_asked_for)
    lone.load_fails(name)
    lone.commit()


def held_elsewhere(since_ms: int = 3_000_000) -> dict[str, Any]:
    return {"copies": {"b": NOW - since_ms}, "ready": {"b": NOW - since_ms}}


def scaled(
    lone: Lone, name: str, outcome: type[LoadFailed] | type[Loaded] = LoadFailed, is_asked_for: bool = True
) -> None:
    """A further copy here of a model that b holds, which fails (or not)."""
    lone.know(name, model())
    lone.begin_load(name, is_asked_for=is_asked_for)
    gen = lone.node.cache.entries[name].gen
    record = lone.record(name)
    lone.know(name, record.with_copy("b", NOW - 3_000_000))
    lone.feed(LoadFailed(name, gen, "bad") if outcome is LoadFailed else Loaded(name, gen, 8192))
    lone.commit()


def test_an_instance_that_cannot_load_what_others_hold_is_not_ready_any_more_for_good() -> None:
    """A rolling change to a broken build stops at its first instance: its loads are not waited for any longer."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance()}, capacity_units=1000)
    for number in range(3):
        assert lone.node.readiness.missing == ()
        scaled(lone, f"m{number}")
    assert lone.node.readiness.missing == (BROKEN,)
    (why,) = reasons(lone, Rule.FAILFAST)
    assert (why.chosen, why.cause) == ("a", f"{BROKEN.partition(',')[0]}: not ready any more, for good")
    assert dict(why.inputs) == {"loaded": 0, "failed": 3, "fatal": 3, "since_ms": 0}
    for number in range(50):
        scaled(lone, f"n{number}", Loaded)
    lone.tick(10_000_000)
    assert lone.node.readiness.missing == (BROKEN,)
    assert len(reasons(lone, Rule.FAILFAST)) == 1


def test_a_java_pod_that_holds_the_model_counts_as_another_instance() -> None:
    """An instance that takes over from ModelMesh and cannot load what that serves is broken."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance(address="")}, capacity_units=1000)
    for number in range(3):
        fail(lone, f"m{number}", **held_elsewhere())
    assert lone.node.readiness.missing == (BROKEN,)


def test_loads_that_fail_everywhere_count_by_their_share() -> None:
    """20 of 21 were tried and failed: not yet; the next one settles it."""
    lone = Lone(me=JUST_STARTED, capacity_units=1000, load_threads=64)
    for number in range(20):
        fail(lone, f"m{number}")
    assert lone.node.readiness.missing == ()
    fail(lone, "m20")
    assert lone.node.readiness.missing == ("21 of 21 loads failed here, so it stays out of use (fail-fast)",)


def test_loads_that_work_make_up_for_those_that_do_not() -> None:
    """Half is not more than half; a model that failed long ago elsewhere does not count at all."""
    lone = Lone(me=JUST_STARTED, capacity_units=1000, load_threads=64)
    for number in range(15):
        lone.load(f"good{number}", units=1)
    for number in range(15):
        fail(lone, f"m{number}")
    for number in range(15):
        fail(lone, f"old{number}", failures={"c": Failure(NOW - OLD_MS, "bad")})
    assert lone.node.readiness.missing == ()
    fail(lone, "last")
    assert lone.node.readiness.missing == ("16 of 31 loads failed here, so it stays out of use (fail-fast)",)


def test_loads_that_nobody_asked_for_count_only_where_others_hold_the_model() -> None:
    """Neither those that fail nor those that work, nor those under way."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance()}, capacity_units=10_000, load_threads=64)
    for number in range(40):
        fail(lone, f"idle{number}", is_asked_for=False)
        lone.begin_load(f"slow{number}", is_asked_for=False)
    for number in range(20):
        fail(lone, f"m{number}")
        lone.begin_load(f"good{number}", is_asked_for=False)
        lone.loaded(f"good{number}", 10)
    assert lone.node.readiness._trials == Trials(failed=20)
    scaled(lone, "held", is_asked_for=False)
    assert lone.node.readiness.missing == ("21 of 21 loads failed here, so it stays out of use (fail-fast)",)


@pytest.mark.parametrize("op", [Op.ENSURE, Op.INFER])
def test_a_load_that_was_begun_in_advance_counts_once_a_client_wants_it(op: Op) -> None:
    """Whether that client waits for it or not; who asks only what it does says nothing."""
    lone = Lone(me=JUST_STARTED, capacity_units=1000)
    for number, asked in enumerate((Op.STATUS, op)):
        lone.begin_load(f"m{number}", is_asked_for=False)
        lone.ask(Request(f"m{number}", asked, Kind.LOAD, is_sync=False))
        lone.load_fails(f"m{number}")
        assert lone.node.readiness._trials == Trials(failed=number)


def test_a_model_that_was_unregistered_meanwhile_says_nothing() -> None:
    """There is nothing to tell by whose fault it failed."""
    lone = Lone(me=JUST_STARTED, capacity_units=1000)
    for number in range(30):
        lone.know(f"m{number}", model())
        gen = lone.begin_load(f"m{number}")
        lone.node.view.see_model(f"m{number}", None, lone.revision + 1)
        lone.feed(LoadFailed(f"m{number}", gen, "bad"))
    assert lone.node.readiness.missing == ()


@pytest.mark.parametrize(
    ("failfast_ms", "late_ms", "is_broken"), [(1000, 999, True), (1000, 1000, False), (0, 0, False)]
)
def test_only_the_first_loads_count(failfast_ms: int, late_ms: int, is_broken: bool) -> None:
    """An instance that has been at work for a while is no new build; 0: it is never looked at."""
    lone = Lone(
        me=JUST_STARTED, peers={"b": instance()}, capacity_units=1000, settings=Settings(failfast_ms=failfast_ms)
    )
    lone.tick(late_ms)
    for number in range(3):
        scaled(lone, f"m{number}")
    assert bool(lone.node.readiness.missing) is is_broken


def test_a_model_that_cannot_fit_is_no_failure_of_the_runtime() -> None:
    """It was never asked."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance()})
    for number in range(30):
        lone.know(f"m{number}", model())
        lone.begin_load(f"m{number}", units=100_000)
    assert lone.node.readiness.missing == ()


def test_both_causes_are_told() -> None:
    """Each is a text of its own."""
    lone = Lone(me=JUST_STARTED, peers={"b": instance(), "c": going()}, capacity_units=1000)
    for number in range(3):
        scaled(lone, f"m{number}")
    assert lone.node.readiness.missing == ("waits until other instances are gone: c", BROKEN)
    lone.feed(InstancesSeen(99, (Seen("c", None, 99),)))
    assert lone.node.readiness.missing == (BROKEN,)


def test_a_load_counts_once_it_is_measured() -> None:
    """Until then it is one that is under way."""
    lone = Lone(me=JUST_STARTED)
    gen = lone.begin_load("m")
    lone.loaded("m")
    assert lone.node.readiness._trials == Trials()
    lone.feed(Measured("m", gen, 8192))
    assert lone.node.readiness._trials == Trials(loaded=1)
