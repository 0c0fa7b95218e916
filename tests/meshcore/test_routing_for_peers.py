"""A request that another instance passed on, and one that only has a model loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import (
    AwaitLoaded,
    Done,
    Infer,
    Kind,
    Met,
    Op,
    Outcome,
    Request,
    RuntimeFailed,
    Settled,
    Status,
    StatusInfo,
    StoreSilent,
    TimedOut,
    Told,
    Verdict,
)
from meshcore.errors import (
    ChurnRefused,
    Code,
    CopyGone,
    LoadFailure,
)
from meshcore.events import DrainAsked, Finding, RuntimeProbed, Seen, Unloaded
from meshcore.records import InstanceRecord
from tests.builders import NOW, instance, model
from tests.meshcore.asked import TS, forwarded, on, peers, verdict
from tests.meshcore.lone import Lone

# -- for another instance: only a copy here


def test_hit_is_answered_by_the_copy_here() -> None:
    """Every answer of the runtime's goes back as it came: the sender decides what it is worth."""
    lone = Lone()
    gen = lone.load("m")
    for failed in (
        RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"),
        RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: full"),
    ):
        asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
        assert asking.step == Infer("m", gen)
        if failed.code is Code.UNAVAILABLE:
            question = asking.answer(failed)
            assert isinstance(question, AwaitLoaded)
            lone.feed(RuntimeProbed(question.gen, Finding.OPEN))
            assert asking.answer(Settled(None)) == Done(failed)
        else:
            assert asking.answer(failed) == Done(failed)


def test_hit_without_a_copy_is_not_here() -> None:
    """No store, no other instance: the sender goes on, with this instance's record as it is now."""
    lone = Lone(peers=peers("b"))
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    told = verdict(asking)
    assert (told.verdict, told.instance, told.load_ts) == (Verdict.NOT_HERE, "a", 0)
    assert InstanceRecord.decode(told.record).address == "a:8080"


def test_hit_waits_for_a_load_that_is_under_way() -> None:
    """News of the copy may be ahead of the copy."""
    lone = Lone()
    gen = lone.begin_load("m")
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    assert asking.step == AwaitLoaded("m", gen, 450_000)
    asking.answer(Settled(CopyGone("unregistered")))
    told = verdict(asking)
    assert (told.verdict, told.text) == (Verdict.NOT_HERE, "not here")


def test_hit_for_a_failed_copy_says_why() -> None:
    """The sender reads the failure before the record shows it."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m", "bad load")
    told = verdict(lone.ask(Request("m", kind=Kind.HIT, origin="b")))
    assert (told.verdict, told.code, told.text) == (Verdict.LOAD_FAILED, Code.INTERNAL, "bad load")
    assert told.load_ts == NOW


def test_hit_that_the_plane_tried_already_is_not_tried_again() -> None:
    """The plane of this instance met its own copy gone: that is the answer."""
    lone = Lone()
    lone.load("m")
    gone = RuntimeFailed(Code.NOT_FOUND, "gone")
    asking = lone.ask(Request("m", kind=Kind.HIT, met=Met("a", NOW, 1, gone)))
    assert verdict(asking).verdict is Verdict.NOT_HERE
    failed = RuntimeFailed(Code.INTERNAL, "bad input")
    assert lone.ask(Request("m", kind=Kind.HIT, met=Met("a", NOW, 1, failed))).step == Done(failed)


# -- for another instance: load here


def test_load_for_another_instance_is_begun_here_whoever_else_has_room() -> None:
    """The sender chose; the target looks again only when it has become full."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model())
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    assert isinstance(asking.step, AwaitLoaded)


def test_load_for_another_instance_follows_a_copy_that_came_meanwhile() -> None:
    """One hit may follow: the model was loaded elsewhere since the sender looked."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("c"))
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    name, request = forwarded(asking)
    assert (name, request.kind, request.hops) == ("c", Kind.HIT, 2)
    failed = RuntimeFailed(Code.UNAVAILABLE, "busy")
    assert asking.answer(failed) == Done(failed)


def test_request_crosses_no_more_than_three_instances() -> None:
    """At the hop limit only a copy here is used; a load here is still a load here."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("c"))
    far = Request("m", kind=Kind.LOAD, origin="b", hops=3)
    assert isinstance(lone.ask(far).step, AwaitLoaded)
    gen = lone.load("n")
    assert lone.ask(replace(far, model="n")).step == Infer("n", gen)


def test_target_that_became_full_declines_with_its_fresh_record() -> None:
    """D-04: it knows of one that is not full; the eighth target of a request has to decide otherwise."""
    lone = Lone(peers=peers("b"))
    lone.meet("a", instance(used_units=0))  # as published before
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert told.verdict is Verdict.DECLINED
    assert InstanceRecord.decode(told.record).used_units == 80
    second = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1, targets=("c",) * 7))
    assert isinstance(second.step, AwaitLoaded)


@pytest.mark.parametrize("others", [{}, {"b": instance(used_units=950)}], ids=["nobody else", "all full"])
def test_target_that_knows_of_no_better_place_takes_the_load(others: dict[str, InstanceRecord]) -> None:
    """D-04: declining has to be of use."""
    lone = Lone(peers=others)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    assert isinstance(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)).step, AwaitLoaded)


def test_draining_target_takes_no_load() -> None:
    """The sender hears of it before the record tells."""
    lone = Lone()
    lone.know("m", model())
    lone.feed(DrainAsked())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert (told.verdict, told.code) == (Verdict.DRAINING, Code.UNAVAILABLE)
    assert InstanceRecord.decode(told.record).is_shutting_down


def test_target_where_the_load_failed_lately_says_so_again() -> None:
    """A failure stands until it expires, whether or not the sender knew of it."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m", "bad load")
    load = Request("m", kind=Kind.LOAD, origin="b", hops=1)
    assert (verdict(lone.ask(load)).verdict, verdict(lone.ask(load)).text) == (Verdict.LOAD_FAILED, "bad load")
    lone.commit()
    lone.feed(Unloaded("m", lone.node.cache.entries["m"].gen))
    lone.now += 900_000
    assert isinstance(lone.ask(load).step, AwaitLoaded)


@pytest.mark.parametrize(
    ("outcome", "word", "text"),
    [
        (Settled(LoadFailure("bad load")), Verdict.LOAD_FAILED, "bad load"),
        (Settled(ChurnRefused("full")), Verdict.FULL, "full"),
        (Settled(CopyGone("evicted")), Verdict.NOT_HERE, "loaded here, and gone again or out of use"),
        (TimedOut(), Verdict.LOAD_FAILED, "model not loaded within 450000 ms"),
    ],
)
def test_target_tries_once_and_tells_how_it_went(outcome: Outcome, word: Verdict, text: str) -> None:
    """Going round is the sender's part."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(outcome)
    assert (verdict(asking).verdict, verdict(asking).text) == (word, text)


def test_target_that_waits_too_long_for_a_load_it_found_begins_no_other() -> None:
    """A copy that is here, however slow, is not loaded over."""
    lone = Lone()
    lone.begin_load("m")
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    assert isinstance(asking.step, AwaitLoaded)
    asking.answer(TimedOut())
    assert (verdict(asking).verdict, verdict(asking).code) == (Verdict.LOAD_FAILED, Code.DEADLINE_EXCEEDED)


def test_target_refuses_what_it_would_thrash_for() -> None:
    """Churn and age are full, not failed: nothing is held against the instance."""
    lone = Lone(min_churn_age_ms=300_000)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert (told.verdict, told.text.split(":")[0]) == (Verdict.FULL, "Cache churn threshold exceeded")


def test_target_knows_that_a_model_is_not_registered() -> None:
    """It has read the store."""
    lone = Lone()
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(Seen("m", None, 9))
    assert verdict(asking).verdict is Verdict.UNKNOWN_MODEL


def test_verdict_of_a_peer_of_the_peer_is_passed_on_as_it_is() -> None:
    """A target that cannot reach the store says UNAVAILABLE to the sender too."""
    lone = Lone()
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(StoreSilent("no leader"))
    assert (verdict(asking).verdict, verdict(asking).code) == (Verdict.LOAD_FAILED, Code.UNAVAILABLE)


# -- ensure


def test_ensure_is_told_that_the_load_has_begun_unless_it_wants_to_wait() -> None:
    """Asynchronously LOADING is the answer, synchronously the load is waited for."""
    lone = Lone()
    lone.know("m", model())
    told = lone.ask(Request("m", Op.ENSURE, is_sync=False)).step
    assert isinstance(told, Done)
    assert isinstance(told.answer, StatusInfo)
    assert told.answer.status is Status.LOADING
    waiting = lone.ask(Request("m", Op.ENSURE))
    assert isinstance(waiting.step, AwaitLoaded)
    lone.predict("m", 10)
    lone.commit()
    lone.loaded("m", 10)
    waiting.answer(Settled(None))
    assert isinstance(waiting.step, Done)
    assert isinstance(waiting.step.answer, StatusInfo)
    assert waiting.step.answer.status is Status.LOADED


def test_ensure_counts_as_use_at_the_given_instant() -> None:
    """A copy that is there is touched: now, or as given, but never backwards."""
    lone = Lone()
    lone.load("m", last_used=NOW - 5_000)
    for last_used, expected in ((NOW - 9_000, NOW - 5_000), (NOW - 1_000, NOW - 1_000), (0, NOW)):
        lone.ask(Request("m", Op.ENSURE, last_used=last_used))
        assert lone.node.cache.last_used("m") == expected


def test_ensure_of_a_copy_elsewhere_is_what_its_holder_tells() -> None:
    """The holder knows whether it is loaded; the client also reads of the copies that this instance knows."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model(copies={"b": TS}))
    asking = lone.ask(Request("m", Op.ENSURE))
    assert forwarded(asking)[1].op is Op.ENSURE
    asking.answer(Told(StatusInfo(Status.LOADED)))
    assert isinstance(asking.step, Done)
    assert isinstance(asking.step.answer, StatusInfo)
    assert asking.step.answer.status is Status.LOADED
    assert [copy.instance for copy in asking.step.answer.copies] == ["b"]


def test_ensure_for_another_instance_tells_of_a_model_unregistered_meanwhile() -> None:
    """Where the record is gone by the time the load is over, the status is all there is to tell."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", Op.ENSURE, kind=Kind.HIT))
    assert verdict(asking).verdict is Verdict.NOT_HERE
    lone.begin_load("m")
    asking = lone.ask(Request("m", Op.ENSURE, kind=Kind.HIT))
    lone.loaded("m", 10)
    lone.know("m", None)
    assert asking.answer(Settled(None)) == Done(StatusInfo(Status.LOADED))
