"""Load failures on record, and when they do not count any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import Forward, Kind, Op, Request
from meshcore.commands import Commit, Load
from meshcore.entry import State
from meshcore.errors import LoadFailure
from meshcore.events import Conflicted, Unloaded
from meshcore.failures import keeps_out
from meshcore.reasons import Rule
from meshcore.records import Failure
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.copy_words import ask, states
from tests.meshcore.lone import Lone

EXPIRY_MS = 900_000
HALF_MS = EXPIRY_MS // 2
IN_USE_MS = 180_000


def failed(**settings: int) -> Lone:
    """The load of m has failed here at NOW."""
    lone = Lone(settings=Settings(**settings))
    gen = ask(lone, "m", 30)
    lone.load_fails("m")
    lone.commit()
    lone.tick(1_000)
    lone.feed(Unloaded("m", gen))
    lone.now = NOW
    lone.commands.clear()
    return lone


def at(lone: Lone, ms: int) -> None:
    """So long after the failure, with everything done that was due meanwhile."""
    lone.tick(NOW + ms - lone.now)
    lone.commit()


def is_on_record(lone: Lone) -> bool:
    return "a" in lone.record("m").failures


def test_failure_is_taken_off_the_record_when_its_time_is_over() -> None:
    """To the millisecond, without anybody asking; the placeholder goes with it."""
    lone = failed()
    assert lone.node.failures.next_wake() == NOW + EXPIRY_MS
    at(lone, EXPIRY_MS - 1)
    assert (is_on_record(lone), states(lone)) == (True, {"m": State.FAILED})
    at(lone, EXPIRY_MS)
    assert (is_on_record(lone), states(lone)) == (False, {})
    expired = next(reason for reason in lone.node.log.since(0) if reason.rule is Rule.EXPIRE)
    assert (expired.model, expired.inputs) == ("m", {"age_ms": EXPIRY_MS})
    assert lone.node.failures.next_wake() > NOW + EXPIRY_MS


@pytest.mark.parametrize("refused_at", [HALF_MS - IN_USE_MS, HALF_MS - 1])
def test_refused_request_counts_as_use_so_that_half_the_time_is_enough(refused_at: int) -> None:
    """D-14: a model that is wanted is tried again sooner; a refusal is as good a sign of that as an answer."""
    lone = failed()
    at(lone, refused_at)
    assert lone.ask(Request("m")).error == LoadFailure("bad")
    at(lone, HALF_MS - 1)
    assert is_on_record(lone)
    at(lone, HALF_MS)
    assert not is_on_record(lone)


def test_use_long_before_half_the_time_counts_for_nothing() -> None:
    """In use: within the last three minutes."""
    lone = failed()
    at(lone, HALF_MS - IN_USE_MS - 1)
    lone.ask(Request("m"))
    at(lone, EXPIRY_MS - 1)
    assert is_on_record(lone)
    at(lone, EXPIRY_MS)
    assert not is_on_record(lone)


def test_request_after_half_the_time_is_the_use_itself() -> None:
    """The model is loaded for it at once."""
    lone = failed()
    at(lone, HALF_MS)
    assert is_on_record(lone)
    lone.ask(Request("m"))
    lone.commit()
    assert lone.last(Load).model == "m"
    assert not is_on_record(lone)


def test_what_nobody_wants_now_waits_for_all_of_the_time() -> None:
    """To have a model where it was is no use of it."""
    lone = failed()
    at(lone, EXPIRY_MS - 1)
    asked = Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, last_used=NOW - 1)
    assert "bad" in str(lone.ask(asked).step)
    assert lone.all(Load) == []
    assert is_on_record(lone)


def test_failure_elsewhere_keeps_its_instance_out_half_as_long_for_a_request() -> None:
    """Whoever's it is: the request that is there proves that the model is wanted."""
    failure = {"b": Failure(NOW - HALF_MS + 1, "bad")}
    lone = Lone(peers={"b": instance(address="b:8080")}, capacity_units=100)
    lone.load("full", 90)
    lone.node.view.order.churn_age_ms = 0
    lone.know("m", model(failures=failure, size_bytes=8192))
    assert not isinstance(lone.ask(Request("m")).step, Forward)
    lone.know("n", model(failures={"b": Failure(NOW - HALF_MS, "bad")}, size_bytes=8192))
    assert isinstance(lone.ask(Request("n")).step, Forward)


@pytest.mark.parametrize(
    ("age_ms", "is_use", "expected"),
    [
        (HALF_MS - 1, True, True), (HALF_MS, True, False), (HALF_MS, False, True), (EXPIRY_MS - 1, False, True),
        (EXPIRY_MS, False, False),
    ],
)  # fmt: skip
def test_failure_keeps_its_instance_out_for_its_time(age_ms: int, is_use: bool, expected: bool) -> None:
    assert keeps_out(Failure(NOW - age_ms, "bad"), NOW, Settings(), is_use) is expected


def test_times_are_settings() -> None:
    lone = failed(failure_expiry_ms=20_000, failure_in_use_ms=1_000)
    at(lone, 9_000)
    lone.ask(Request("m"))
    at(lone, 9_999)
    assert is_on_record(lone)
    at(lone, 10_000)
    assert not is_on_record(lone)


def test_failure_of_a_former_process_under_the_same_id_is_taken_off_as_well() -> None:
    """It stands in the record that is seen at the start."""
    lone = Lone()
    lone.know("m", model(failures={"a": Failure(NOW - EXPIRY_MS + 5, "bad"), "b": Failure(NOW - 2 * EXPIRY_MS, "bad")}))
    lone.tick(5)
    lone.commit()
    assert lone.record("m").failures.keys() == {"b"}, "that is b's business"


def test_failure_of_a_former_process_keeps_nobody_out() -> None:
    """What was wrong then may be mended: that is why it was started again."""
    lone = Lone(peers={"b": instance(address="b:8080", start_ms=NOW)})
    record = model(failures={"b": Failure(NOW - 1, "bad")})
    lone.know("m", record)
    request = Request("m", Op.ENSURE, exclude=("a",), last_used=NOW)
    assert lone.node.desk.place(request, record) == "b"
    assert lone.node.desk.place(request, model(failures={"b": Failure(NOW, "bad")})) is None


def test_failure_after_another_counts_from_its_own_time() -> None:
    lone = failed()
    record = lone.record("m")
    lone.know("m", replace(record, failures={"a": Failure(NOW + 10, "worse")}))
    at(lone, EXPIRY_MS)
    assert is_on_record(lone)
    at(lone, EXPIRY_MS + 10)
    assert not is_on_record(lone)


def test_other_news_of_the_record_change_nothing() -> None:
    """That the model was wanted is remembered."""
    lone = failed()
    at(lone, HALF_MS - 1)
    lone.ask(Request("m"))
    lone.know("m", replace(lone.record("m"), labels={"team": "a"}))
    at(lone, HALF_MS)
    assert not is_on_record(lone)


def test_failure_that_others_took_off_is_forgotten() -> None:
    lone = failed()
    lone.know("m", replace(lone.record("m"), failures={}))
    lone.commands.clear()
    lone.tick(EXPIRY_MS)
    assert lone.all(Commit) == []


def test_model_that_is_unregistered_is_forgotten() -> None:
    lone = failed()
    lone.know("m", None)
    lone.commands.clear()
    lone.tick(EXPIRY_MS)
    assert lone.all(Commit) == []


def test_failure_that_changed_while_it_was_taken_off_stays() -> None:
    """The store has a newer one: the write meets it and leaves it alone."""
    lone = failed()
    lone.tick(EXPIRY_MS)
    commit = lone.last(Commit)
    newer = model(failures={"a": Failure(NOW + EXPIRY_MS, "again")}, size_bytes=30 * 8192)
    lone.feed(Conflicted(commit.ticket, newer.encode(), lone.revision + 1))
    assert is_on_record(lone)
    assert lone.all(Commit) == [commit]


def test_failed_scale_up_is_not_tried_again_elsewhere() -> None:
    """What is begun is to have the model loaded somewhere: where it is, that is all."""
    lone = Lone(peers={"b": instance(address="b:8080")})
    lone.know("m", model(copies={"b": NOW - 9}, ready={"b": NOW - 9}, size_bytes=8192))
    lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, exclude=("b",)))
    lone.commit()
    assert lone.node.cache.entries["m"].state is State.LOADING
    lone.load_fails("m")
    begun = lone.node.serve(Request("m", Op.ENSURE, is_sync=False, last_used=NOW, exclude=("a",)))
    step, _ = lone.node.resume(begun, None, lone.now)
    assert isinstance(step, Forward)
    assert (step.instance, step.request.kind) == ("b", Kind.HIT)
