"""Edits while the store takes none: what is kept, what is given up, and what becomes of it later."""

from __future__ import annotations

from meshcore.edits import Deregister, GiveUp, MarkReady, Touch
from meshcore.errors import StoreAway
from meshcore.units import NEVER
from meshcore.writer import PAUSE_MS, SLICE
from tests.builders import NOW, model
from tests.meshcore.writing import RETRY_MS, Desk, accept, prune, why


def test_silent_store_is_told_later_and_a_load_goes_on() -> None:
    """D-02: a load does not wait for the store; what is so here is written when it is back, as one statement."""
    desk = Desk(m=model(copies={"a": 7}))
    desk.writer.submit("m", accept(), why(), desk.told("load"))
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("ready"))
    desk.writer.failed(desk.sent[0].ticket, "no leader", NOW)
    assert desk.ended == [("load", None), ("ready", None)]
    assert desk.writer.next_wake() == NOW + RETRY_MS
    desk.writer.retry(NOW + RETRY_MS - 1)
    assert len(desk.sent) == 1
    desk.writer.retry(NOW + RETRY_MS)
    assert desk.writer.next_wake() == NEVER
    assert desk.written() == model(copies={"a": 9}, ready={"a": 9})
    desk.writer.committed(desk.sent[1].ticket, 6)
    assert len(desk.writer) == 0


def give_up() -> GiveUp:
    return GiveUp("a", 7, 0, 8, {"a": 7, "b": 7}, lambda *_: True)


def test_copy_that_could_be_spared_stays_where_the_store_does_not_take_it() -> None:
    """Nothing but the store can tell that another one answers."""
    desk = Desk(m=model(copies={"a": 7, "b": 7}, ready={"b": 7}))
    desk.writer.submit("m", give_up(), why(), desk.told("spare"))
    desk.writer.failed(desk.sent[0].ticket, "no leader", NOW)
    assert desk.ended == [("spare", StoreAway("no leader"))]
    assert len(desk.writer) == 0
    desk.store.is_away = True
    desk.writer.submit("m", give_up(), why(), desk.told("again"))
    assert desk.ended[1:] == [("again", StoreAway("the store is away"))]
    assert (len(desk.writer), len(desk.sent)) == (0, 1)


def test_while_the_store_is_away_all_that_happens_to_a_model_is_one_statement() -> None:
    """However often a copy comes and goes: the last wanted state is kept, and written when the store is back."""
    desk = Desk(m=model(copies={"a": 1, "b": 3}, ready={"a": 1}))
    desk.store.is_away = True
    desk.writer.submit("m", Deregister("a", 1, 5, 6), why(), desk.told("gone"))
    for load_ts in range(10, 500, 10):
        desk.writer.submit("m", accept(load_ts), why(), desk.told("load"))
        desk.writer.submit("m", MarkReady("a", load_ts), why())
        desk.writer.submit("m", Touch(load_ts + 1), why())
        desk.writer.submit("m", Deregister("a", load_ts - 10), why("another's"))
        desk.writer.submit("m", Deregister("b", 3), why("another's"), desk.told("theirs"))
        desk.writer.submit("m", Deregister("a", load_ts), why())
    desk.writer.submit("m", accept(900), why(), desk.told("load"))
    desk.writer.submit("m", MarkReady("a", 900), why("at last"))
    assert {error for _, error in desk.ended} == {None}
    assert (len(desk.ended), desk.sent, len(desk.writer)) == (100, [], 1)
    assert sum(len(line.queued) for line in desk.writer._lines.values()) == 1
    assert desk.writer.next_wake() == NEVER
    desk.writer.retry(NOW)
    assert desk.sent == []
    desk.store.is_away = False
    desk.writer.go_on(NOW)
    desk.writer.retry(NOW)
    (commit,) = desk.sent
    assert commit.why.cause == "at last"
    assert desk.written() == model(copies={"a": 900, "b": 3}, ready={"a": 900}, last_used=491)
    desk.writer.conflicted(commit.ticket, model(copies={"c": 4}).encode(), 8)
    assert desk.written() == model(copies={"a": 900, "c": 4}, ready={"a": 900}, last_used=491)


def test_what_was_kept_is_written_some_at_a_time() -> None:
    desk = Desk(**{f"m{number}": model() for number in range(SLICE + 1)})
    desk.store.is_away = True
    for number in range(SLICE + 1):
        desk.writer.submit(f"m{number}", MarkReady("a", 7), why())
    desk.store.is_away = False
    desk.writer.go_on(NOW)
    desk.writer.retry(NOW)
    assert len(desk.sent) == SLICE
    assert desk.writer.next_wake() == NOW + PAUSE_MS
    desk.writer.retry(NOW + PAUSE_MS)
    assert len(desk.sent) == SLICE + 1


def test_store_that_takes_no_writes_is_tried_with_one_and_given_the_rest_when_it_takes_that() -> None:
    """Space may come free, a permission be given, at any time; until then it is not flooded."""
    desk = Desk(m=model(), n=model(), o=model())
    desk.writer.submit("m", MarkReady("a", 7), why())
    desk.writer.submit("n", MarkReady("a", 7), why())
    desk.store.refusal = "no space"
    for commit in desk.sent[:2]:
        desk.writer.failed(commit.ticket, "no space", NOW)
    desk.writer.submit("o", accept(), why(), desk.told("load"))
    assert (desk.ended, len(desk.sent)) == ([("load", None)], 2)
    desk.writer.retry(NOW + RETRY_MS)
    assert [commit.model for commit in desk.sent[2:]] == ["m"]
    desk.writer.failed(desk.sent[2].ticket, "no space", NOW + RETRY_MS)
    desk.writer.retry(NOW + 2 * RETRY_MS)
    assert [commit.model for commit in desk.sent[3:]] == ["n"]
    desk.writer.committed(desk.sent[3].ticket, 6)
    assert not desk.store.is_blind
    assert desk.writer.next_wake() == 0, "at once"
    desk.writer.retry(NOW + 2 * RETRY_MS)
    assert [commit.model for commit in desk.sent[4:]] == ["o", "m"]


def test_store_that_could_refuse_nothing_any_more_may_be_tried_again() -> None:
    """The models that waited for it are not registered any more, or it only was asked to part with a copy."""
    desk = Desk(m=model(), n=model(copies={"a": 7, "b": 7}, ready={"b": 7}))
    desk.writer.submit("n", give_up(), why())
    desk.store.refusal = "no space"
    desk.writer.failed(desk.sent[0].ticket, "no space", NOW)
    assert desk.writer.next_wake() == NOW + RETRY_MS
    desk.writer.retry(NOW + RETRY_MS)
    assert not desk.store.is_blind
    desk.store.refusal = "no space"
    desk.writer.submit("m", accept(), why())
    assert desk.writer.next_wake() == 0
    desk.view.see_model("m", None, 9)
    desk.writer.retry(NOW)
    assert (len(desk.sent), len(desk.writer), desk.store.is_blind) == (1, 0, False)


def test_what_is_somebody_elses_to_say_is_not_kept_while_the_store_is_away() -> None:
    """It is found out again, if it is still so: nothing is taken off for what was so before."""
    desk = Desk(m=model(copies={"a": 7, "b": 7}))
    desk.writer.submit("m", prune("b"), why(), desk.told("pruned"))
    desk.writer.submit("m", MarkReady("a", 7), why())
    desk.store.is_away = True
    desk.writer.failed(desk.sent[0].ticket, "no answer", NOW)
    assert desk.ended == [("pruned", None)]
    assert desk.writer.is_done, "nothing can be written"
    desk.store.is_away = False
    assert not desk.writer.is_done
    desk.writer.retry(NOW + RETRY_MS)
    assert desk.sent[1].gone == ()
    assert desk.written() == model(copies={"a": 7, "b": 7}, ready={"a": 7})


def test_edit_joins_those_that_wait_for_the_store() -> None:
    """While a model's writes wait for the store its new ones do; other models' are not held up."""
    desk = Desk(m=model(), n=model())
    desk.writer.submit("m", MarkReady("a", 7), why())
    desk.writer.failed(desk.sent[0].ticket, "no leader", NOW)
    desk.writer.submit("m", MarkReady("b", 8), why())
    desk.writer.submit("n", MarkReady("a", 7), why())
    assert [commit.model for commit in desk.sent] == ["m", "n"]
    desk.writer.retry(NOW + RETRY_MS)
    assert desk.written() == model(copies={"a": 7, "b": 8}, ready={"a": 7, "b": 8})
