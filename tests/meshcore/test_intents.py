"""What an instance wants a record to say of it, made of what it would have written bit by bit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshcore.edits import Accept, Deregister, DropFailure, Edit, GiveUp, MarkFailed, MarkReady, Prune, Rewind, Touch
from meshcore.intents import Intent, merged
from meshcore.records import Failure, ModelRecord
from tests.builders import model


def of(*edits: Edit) -> Intent:
    intent = Intent("a")
    for edit in edits:
        more = merged(intent, edit)
        assert more is not None
        intent = more
    return intent


def accept(load_ts: int, last_used: int = 0) -> Accept:
    return Accept("a", load_ts, last_used, {}, lambda *_: False, lambda *_: False)


def applied(record: ModelRecord, *edits: Edit) -> ModelRecord:
    for edit in edits:
        after = edit.apply(record)
        assert isinstance(after, ModelRecord)
        record = after
    return record


def test_copy_that_failed_and_was_loaded_anew_is_only_a_copy() -> None:
    """The last wanted state counts, and when the model was used last."""
    intent = of(accept(7, 50), MarkFailed("a", 7, 8, "bad", 60), accept(9, 40), MarkReady("a", 9))
    record = model(copies={"a": 1, "b": 2}, failures={"a": Failure(5, "worse")})
    assert intent.apply(record) == model(copies={"a": 9, "b": 2}, ready={"a": 9}, last_used=60)


def test_copy_that_is_gone_takes_whichever_is_on_record_with_it() -> None:
    """A load whose answer was lost may stand there or not."""
    intent = of(accept(7), Deregister("a", 7, last_used=9, unloaded_at=10))
    three = {"b": 1, "c": 1, "d": 1}
    assert intent.apply(model(copies={"a": 7, **three})) == model(copies=three, last_used=9, last_unload=10)
    assert intent.apply(model(copies={"a": 1, **three})) == model(copies=three, last_used=9, last_unload=10)
    assert intent.apply(model(copies=three)) == model(copies=three, last_used=9)


def test_copy_that_never_answered_is_not_told_as_unloaded() -> None:
    assert of(accept(7), Deregister("a", 7)).apply(model(copies={"a": 7, "b": 1, "c": 1, "d": 1})) == model(
        copies={"b": 1, "c": 1, "d": 1}
    )


def test_end_of_a_former_copy_says_nothing_of_the_one_that_followed() -> None:
    assert of(accept(9), Deregister("a", 7, last_used=3)).apply(model()) == model(
        copies={"a": 9},
    )


def test_failure_goes_when_it_is_too_old() -> None:
    """The one that was on record before, or one of its own; not a later one."""
    assert of(DropFailure("a", 5)).apply(model(failures={"a": Failure(5, "bad")})) == model()
    failed = MarkFailed("a", 7, 8, "bad", 0)
    assert of(failed, DropFailure("a", 8)).apply(model(copies={"a": 7})) == model()
    assert of(failed, DropFailure("a", 5)).apply(model()) == model(failures={"a": Failure(8, "bad")})


def test_use_alone_leaves_copies_as_they_are() -> None:
    record = model(copies={"a": 7, "b": 1}, failures={"c": Failure(1, "bad")})
    assert of(Touch(5), Touch(4)).apply(record) == record.used_at(5)


def test_what_others_hold_and_what_needs_the_record_is_not_stated() -> None:
    others: list[Edit] = [
        Deregister("b", 7), Prune("b", lambda *_: True), Rewind(5, 4),
        GiveUp("a", 7, 0, 8, {}, lambda *_: True),
    ]  # fmt: skip
    assert [merged(Intent("a"), edit) for edit in others] == [None] * 4


lives = st.lists(st.sampled_from(["accept", "ready", "fail", "leave", "drop", "touch"]), max_size=12)


@given(lives, st.sampled_from([{}, {"a": 3}, {"b": 3}]))
def test_one_statement_comes_to_the_same_as_all_that_it_is_made_of(life: list[str], copies: dict[str, int]) -> None:
    """A copy is accepted before it is ready, fails or leaves; then the next one comes."""
    edits: list[Edit] = []
    load_ts, failed_at, has_copy = copies.get("a", 0), 0, "a" in copies
    for at, what in enumerate(life, 10):
        if what == "accept" and not has_copy:
            load_ts, has_copy, failed_at = at, True, 0
            edits.append(accept(load_ts, at))
        elif what == "ready" and has_copy:
            edits.append(MarkReady("a", load_ts))
        elif what == "fail" and has_copy:
            has_copy, failed_at = False, at
            edits.append(MarkFailed("a", load_ts, at, "bad", at))
        elif what == "leave" and has_copy:
            has_copy = False
            edits.append(Deregister("a", load_ts, at, at))
        elif what == "drop" and failed_at:
            edits.append(DropFailure("a", failed_at))
            failed_at = 0
        elif what == "touch":
            edits.append(Touch(at))
    record = model(copies=copies)
    assert of(*edits).apply(record) == applied(record, *edits)
