"""Edits on their way to the store."""

from __future__ import annotations

from meshcore.edits import Deregister, MarkFailed, MarkReady
from meshcore.errors import BadRecord, CopyGone, MeshError, UnknownModel
from meshcore.records import Failure
from meshcore.writer import Writer
from tests.builders import NOW, model
from tests.meshcore.writing import RETRY_MS, Desk, accept, prune, why


def test_edit_becomes_a_commit_against_the_known_revision() -> None:
    """What is written rests on the record that was read; when it stands its edit has ended."""
    desk = Desk(m=model())
    desk.writer.submit("m", MarkReady("a", 9), why("loaded"), desk.told("ready"))
    (commit,) = desk.sent
    assert (commit.model, commit.expect, commit.why.cause) == ("m", 5, "loaded")
    assert desk.written() == model(copies={"a": 9}, ready={"a": 9})
    assert (len(desk.writer), desk.ended) == (1, [])
    desk.writer.committed(commit.ticket, 6)
    assert (len(desk.writer), desk.ended, desk.seen) == (0, [("ready", None)], ["m"])
    assert (desk.view.mod("m"), desk.stands("m")) == (6, desk.written())


def test_edits_of_one_model_wait_for_its_commit_and_then_go_together() -> None:
    """One commit of a model is under way at a time; what came meanwhile makes one more."""
    desk = Desk(m=model())
    for load_ts in (1, 2):
        desk.writer.submit("m", MarkReady("a", load_ts), why(), desk.told(f"{load_ts}"))
    desk.writer.submit("m", MarkReady("b", 3), why(), desk.told("3"))
    assert len(desk.sent) == 1
    desk.writer.committed(desk.sent[0].ticket, 6)
    assert desk.sent[1].expect == 6
    assert desk.written() == model(copies={"a": 2, "b": 3}, ready={"a": 2, "b": 3})
    assert desk.ended == [("1", None)]
    desk.writer.committed(desk.sent[1].ticket, 7)
    assert [name for name, _ in desk.ended] == ["1", "2", "3"]


def test_models_do_not_wait_for_each_other() -> None:
    """Commits of different models are under way at once."""
    desk = Desk(m=model(), n=model())
    desk.writer.submit("m", MarkReady("a", 1), why())
    desk.writer.submit("n", MarkReady("a", 1), why())
    assert [commit.model for commit in desk.sent] == ["m", "n"]
    desk.writer.committed(desk.sent[1].ticket, 6)
    assert len(desk.writer) == 1


def test_conflict_is_answered_by_the_same_edit_of_what_stands_there_now() -> None:
    """What somebody else wrote is kept, and the edit applied to it."""
    desk = Desk(m=model())
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("ready"))
    theirs = model(copies={"b": 3}, last_used=4)
    desk.writer.conflicted(desk.sent[0].ticket, theirs.encode(), 8)
    assert (desk.seen, desk.ended) == (["m"], [])
    assert desk.sent[1].expect == 8
    assert desk.written() == model(copies={"b": 3, "a": 9}, ready={"a": 9}, last_used=4)


def test_conflict_that_shows_the_edit_done_ends_it() -> None:
    """Who finds the record as wanted writes nothing."""
    desk = Desk(m=model())
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("ready"))
    desk.writer.conflicted(desk.sent[0].ticket, desk.sent[0].value, 8)
    assert (len(desk.sent), desk.ended, len(desk.writer)) == (1, [("ready", None)], 0)


def test_conflict_may_end_one_edit_and_leave_another() -> None:
    """A load that lost the race is given up; what was to be written with it still is."""
    desk = Desk(m=model())
    desk.writer.submit("m", MarkReady("c", 1), why())
    desk.writer.submit("m", accept(), why(), desk.told("load"))
    desk.writer.submit("m", Deregister("c", 1), why("gone"), desk.told("gone"))
    desk.writer.conflicted(desk.sent[0].ticket, model(copies={"b": 3, "c": 1}, last_used=1).encode(), 8)
    assert desk.ended == [("load", CopyGone("another instance is loading the model"))]
    assert desk.written() == model(copies={"b": 3}, last_used=1)
    assert desk.sent[-1].why.cause == ""  # of the first edit that is in it


def test_edit_that_is_true_already_ends_at_once() -> None:
    """Nothing is written for what stands there."""
    desk = Desk(m=model(copies={"b": 3}))
    desk.writer.submit("m", Deregister("a", 9), why(), desk.told("gone"))
    assert (desk.sent, desk.ended, len(desk.writer)) == ([], [("gone", None)], 0)


def test_edits_that_undo_each_other_write_nothing() -> None:
    """A load given up before it was written leaves no trace in the store."""
    desk = Desk(m=model(last_used=1))
    desk.writer.submit("m", MarkFailed("b", 1, 2, "bad", 0), why())
    desk.writer.submit("m", accept(), why(), desk.told("load"))
    desk.writer.submit("m", Deregister("a", 9), why(), desk.told("gone"))
    desk.writer.committed(desk.sent[0].ticket, 6)
    assert (len(desk.sent), desk.ended, len(desk.writer)) == (1, [("load", None), ("gone", None)], 0)


def test_edit_without_a_record_ends() -> None:
    """Where there is no registration a load ends with that, and a fact about a copy is nobody's."""
    desk = Desk()
    desk.writer.submit("m", accept(), why(), desk.told("load"))
    desk.writer.submit("m", Deregister("a", 9), why(), desk.told("gone"))
    assert desk.ended == [("load", UnknownModel()), ("gone", None)]
    assert (desk.sent, len(desk.writer)) == ([], 0)


def test_unreadable_record_is_never_overwritten() -> None:
    """What cannot be read is left as it is: its edits end with what is wrong with it."""
    desk = Desk()
    desk.view.see_model("m", b"{", 5)
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("ready"))
    desk.writer.submit("m", MarkReady("a", 9), why())
    ((name, error),) = desk.ended
    assert name == "ready"
    assert isinstance(error, BadRecord)
    assert (desk.sent, len(desk.writer)) == ([], 0)


def test_who_hears_of_an_end_may_begin_another_edit() -> None:
    """An edit submitted from an ended one's callback is under way like any other, whatever else ends with it."""
    desk = Desk(m=model())

    def begin_something_true(_: MeshError | None) -> None:
        desk.writer.submit("m", Deregister("c", 1), why())

    def begin_something_new(_: MeshError | None) -> None:
        desk.writer.submit("m", MarkReady("b", 2), why(), desk.told("new"))

    desk.writer.submit("m", MarkReady("a", 1), why())
    desk.writer.submit("m", Deregister("d", 1), why(), begin_something_true)
    desk.writer.submit("m", Deregister("e", 1), why(), begin_something_new)
    desk.writer.committed(desk.sent[0].ticket, 6)
    assert desk.written() == model(copies={"a": 1, "b": 2}, ready={"a": 1, "b": 2})
    desk.writer.committed(desk.sent[1].ticket, 7)
    assert (desk.ended, len(desk.writer)) == ([("new", None)], 0)


def test_who_sees_a_record_may_begin_another_edit() -> None:
    """An edit submitted as a record moves on goes with those that wait, before the committed ones are told."""
    desk = Desk(m=model())
    writer = desk.writer = Writer(
        "a",
        desk.view,
        desk.store,
        desk.sent.append,
        lambda name: writer.submit(name, Deregister("c", 1), why()),
        RETRY_MS,
    )
    writer.submit("m", MarkReady("a", 1), why(), lambda _: writer.submit("m", MarkReady("b", 2), why()))
    writer.committed(desk.sent[0].ticket, 6)
    assert desk.written() == model(copies={"a": 1, "b": 2}, ready={"a": 1, "b": 2})
    writer.committed(desk.sent[1].ticket, 7)
    assert len(writer) == 0


def test_end_of_one_model_may_bring_another_on_before_its_turn() -> None:
    """When the store is back an edit that ends may submit to a model that waits too: it is not told twice."""
    desk = Desk(m=model(), n=model())
    desk.writer.submit("m", MarkFailed("a", 1, 2, "bad", 0), why(), lambda _: desk.writer.submit("n", again, why()))
    again = Deregister("z", 1)
    desk.writer.submit("n", MarkReady("a", 1), why(), desk.told("n"))
    for commit in desk.sent[:2]:
        desk.writer.failed(commit.ticket, "no answer", NOW)
    desk.view.see_model("m", model(failures={"a": Failure(2, "bad")}).encode(), 6)
    desk.view.see_model("n", model(copies={"a": 1}, ready={"a": 1}).encode(), 7)  # it was written after all
    desk.writer.retry(NOW + RETRY_MS)
    assert (len(desk.sent), desk.ended, len(desk.writer)) == (2, [("n", None)], 0)


def test_pruning_is_written_only_while_the_instances_are_gone() -> None:
    """The condition goes with the write, and other edits of the model with it."""
    desk = Desk(m=model(copies={"b": 7, "c": 7}))
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("first"))
    assert desk.sent[0].gone == ()
    for instance in ("b", "c", "b"):
        desk.writer.submit("m", prune(instance), why(), desk.told(instance))
    desk.writer.submit("m", MarkReady("a", 10), why(), desk.told("ready"))
    desk.writer.committed(desk.sent[0].ticket, 6)
    assert desk.sent[1].gone == ("b", "c")
    assert desk.written() == model(copies={"a": 10}, ready={"a": 10})


def test_pruning_that_has_nothing_to_take_off_sets_no_condition() -> None:
    """It may have been held up since, or somebody was faster."""
    desk = Desk(m=model(copies={"b": 7}))
    desk.writer.submit("m", prune("b", is_gone=False), why(), desk.told("held"))
    assert (desk.sent, desk.ended) == ([], [("held", None)])
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("first"))
    desk.writer.submit("m", prune("b", is_gone=False), why(), desk.told("held again"))
    desk.writer.submit("m", MarkReady("a", 10), why(), desk.told("ready"))
    desk.writer.committed(desk.sent[0].ticket, 6)
    assert desk.sent[1].gone == ()
    assert desk.ended[1:] == [("first", None), ("held again", None)]


def test_pruning_of_an_instance_that_is_there_is_given_up_and_the_rest_written() -> None:
    """The store says no though the record is the expected one; after somebody else's write it is tried again."""
    desk = Desk(m=model(copies={"b": 7}))
    desk.writer.submit("m", prune("b"), why(), desk.told("pruned"))
    desk.writer.conflicted(desk.sent[0].ticket, model(copies={"b": 7}, last_used=3).encode(), 6)
    assert (desk.sent[1].expect, desk.sent[1].gone) == (6, ("b",))
    desk.writer.submit("m", MarkReady("a", 9), why(), desk.told("ready"))
    desk.writer.conflicted(desk.sent[1].ticket, model(copies={"b": 7}, last_used=3).encode(), 6)
    assert desk.ended == [("pruned", None)]
    assert desk.sent[2].gone == ()
    assert desk.written() == model(copies={"a": 9, "b": 7}, ready={"a": 9}, last_used=3)
