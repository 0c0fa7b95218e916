"""What an instance changes in a model's record."""

from __future__ import annotations

import pytest

from meshcore.edits import Accept, Deregister, DropFailure, Edit, HandOver, MarkFailed, MarkReady, Prune, Rewind, Touch
from meshcore.errors import CopyGone, CopyNeeded, UnknownModel
from meshcore.records import Failure, ModelRecord
from tests.builders import NOW, model


def accept(load_ts: int = NOW, live: tuple[str, ...] = ("b",), **known: int) -> Accept:
    """Instance a accepts a load; of the others those in ``live`` live."""
    is_ghost = lambda instance, _: instance == "ghost"  # noqa: E731
    return Accept("a", load_ts, NOW, known, lambda instance, _: instance in live, is_ghost)


def test_accepted_copy_is_named_and_counts_as_used() -> None:
    """The record names the copy with the instant its load began; a former failure here is gone."""
    before = model(failures={"a": Failure(1, "bad"), "b": Failure(2, "bad")}, last_used=5)
    after = accept().apply(before)
    assert after == model(copies={"a": NOW}, failures={"b": Failure(2, "bad")}, last_used=NOW)


@pytest.mark.parametrize(
    ("copies", "known", "is_accepted"),
    [
        pytest.param({"b": 7}, {}, False, id="somebody who lives is loading it"),
        pytest.param({"b": 8}, {"b": 7}, False, id="somebody loads it anew"),
        pytest.param({"b": 7}, {"b": 7}, True, id="the request knew of that copy"),
        pytest.param({"c": 7}, {}, True, id="of an instance that is gone, or from before its start"),
        pytest.param({"a": 7}, {}, True, id="an earlier one here"),
    ],
)
def test_load_is_given_up_for_a_live_copy_that_the_request_did_not_know(
    copies: dict[str, int], known: dict[str, int], is_accepted: bool
) -> None:
    """Of loads of one model that begin at the same time one goes on; ghosts and gone holders stop nobody."""
    after = accept(**known).apply(model(copies=copies))
    if is_accepted:
        assert after == model(copies={**copies, "a": NOW}, last_used=NOW)
    else:
        assert after == CopyGone("another instance is loading the model")


def test_ghosts_go_with_the_next_load_wherever_it_is() -> None:
    """What an instance had before it started is nobody's; a copy on an instance that is not known may be somebody's."""
    before = model(copies={"ghost": 7, "gone": 7, "java": 7}, ready={"ghost": 7})
    assert accept().apply(before) == model(copies={"gone": 7, "java": 7, "a": NOW}, last_used=NOW)
    own = Accept("ghost", NOW, NOW, {}, lambda *_: False, lambda *_: True)
    assert own.apply(model(copies={"ghost": 7})) == model(copies={"ghost": NOW}, last_used=NOW)


def test_only_a_load_needs_a_registration() -> None:
    """Without a record a load ends, and what only states a fact about a copy is as good as done."""
    assert accept().if_absent == UnknownModel()
    facts: list[Edit] = [MarkReady("a", 1), MarkFailed("a", 1, 2, "bad", 3), Deregister("a", 1)]
    assert [fact.if_absent for fact in facts] == [None, None, None]


def test_ready_copy_is_named_even_if_somebody_took_it_out() -> None:
    """A copy that answers is on record with the instant of its load, as a holder and as ready."""
    expected = model(copies={"a": 7}, ready={"a": 7})
    assert MarkReady("a", 7).apply(model(copies={"a": 7})) == expected
    assert MarkReady("a", 7).apply(model()) == expected
    assert MarkReady("a", 7).apply(expected) is expected


def test_failed_load_is_no_copy_any_more() -> None:
    """Others read in the record that, when and why the load failed, and when the model was last used."""
    after = MarkFailed("a", 7, 9, "bad", 8).apply(model(copies={"a": 7}, last_used=3))
    assert after == model(failures={"a": Failure(9, "bad")}, last_used=8)


@pytest.mark.parametrize("load_ts", [6, 8])
def test_only_the_copy_that_was_meant_is_deregistered(load_ts: int) -> None:
    """D-01: a copy is taken out of its record iff the record names it with the same load time."""
    stands = model(copies={"a": 7, "b": 7}, ready={"a": 7}, last_used=3)
    assert Deregister("a", load_ts, last_used=9).apply(stands) is stands
    assert Deregister("a", 7, last_used=9).apply(stands) == model(copies={"b": 7}, last_used=9)


def test_last_use_never_goes_back() -> None:
    """An edit with an older last use than the record's leaves that alone."""
    assert Deregister("a", 7, last_used=2).apply(model(copies={"a": 7}, last_used=3)) == model(last_used=3)


def test_what_is_said_of_a_gone_instance_goes_where_it_still_is() -> None:
    """Pruning: its copy and its failure, each only if it is gone at that instant; nothing of anybody else."""
    stands = model(copies={"a": 7, "b": 7}, ready={"a": 7}, failures={"c": Failure(5, "bad")})
    assert Prune("a", lambda instance, at: (instance, at) == ("a", 7)).apply(stands) == model(
        copies={"b": 7}, failures={"c": Failure(5, "bad")}
    )
    assert Prune("c", lambda instance, at: (instance, at) == ("c", 5)).apply(stands) == model(
        copies={"a": 7, "b": 7}, ready={"a": 7}
    )
    for instance in ("a", "c"):
        assert Prune(instance, lambda _, at: False).apply(stands) is stands
    assert Prune("d", lambda _, at: True).apply(stands) is stands


def test_only_the_failure_that_was_meant_is_forgiven() -> None:
    """One of a later load says something new."""
    stands = model(failures={"a": Failure(5, "bad")})
    assert DropFailure("a", 5).apply(stands) == model()
    assert DropFailure("a", 4).apply(stands) is stands
    assert DropFailure("b", 5).apply(stands) is stands


def test_last_use_goes_forward_by_a_touch_and_back_only_from_where_no_clock_is() -> None:
    """D-22: an impossible last use is put right, a possible one stays."""
    stands = model(last_used=50)
    assert Touch(60).apply(stands) == model(last_used=60)
    assert Touch(40).apply(stands) is stands
    assert Rewind(above=49, at=10).apply(stands) == model(last_used=10)
    assert Rewind(above=50, at=10).apply(stands) is stands


@pytest.mark.parametrize(
    ("ready", "left"),
    [
        ({"a": NOW, "b": NOW}, {"b": NOW}),
        ({"a": NOW}, None),
        ({"b": NOW}, {"b": NOW}),
    ],
)
def test_hand_over_takes_a_copy_out_for_as_many_as_answer_elsewhere(
    ready: dict[str, int], left: dict[str, int] | None
) -> None:
    """One that is ready and can be reached; else it is given up."""
    edit = HandOver("a", NOW, NOW + 5, NOW + 9, 1, lambda instance, load_ts: (instance, load_ts) == ("b", NOW))
    after = edit.apply(model(copies={"a": NOW, "b": NOW}, ready=ready))
    if left is None:
        assert isinstance(after, CopyNeeded)
    else:
        assert isinstance(after, ModelRecord)
        assert (after.copies, after.last_used) == (left, NOW + 5)
    gone = model(copies={"a": NOW + 1, "b": NOW}, ready={"b": NOW})
    assert edit.apply(gone) is gone, "the copy that it was is not named any more"
