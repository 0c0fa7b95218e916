"""Edits on their way to the store."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.commands import Commit
from meshcore.edits import Accept, Deregister, GiveUp, MarkFailed, MarkReady, Prune, Touch
from meshcore.errors import BadRecord, CopyGone, MeshError, StoreAway, UnknownModel
from meshcore.reasons import Reason, Rule
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from meshcore.view import ClusterView
from meshcore.writer import PAUSE_MS, SLICE, Ended, Writer
from tests.builders import NOW, model

RETRY_MS = 1_000


@dataclass
class Store:
    """How the store is, as far as the instance knows."""

    is_away: bool = False
    refusal: str = ""

    @property
    def is_blind(self) -> bool:
        return self.is_away or bool(self.refusal)

    def took(self) -> None:
        self.refusal = ""


class Desk:
    """A writer, what it sent, and what it told of."""

    def __init__(self, **records: ModelRecord) -> None:
        self.view = ClusterView("a", NOW, Settings(), 0)
        for name, record in records.items():
            self.view.see_model(name, record.encode(), 5)
        self.sent: list[Commit] = []
        self.seen: list[str] = []
        self.ended: list[tuple[str, MeshError | None]] = []
        self.store = Store()
        self.writer = Writer("a", self.view, self.store, self.sent.append, self.seen.append, RETRY_MS)

    def told(self, name: str) -> Ended:
        return lambda error: self.ended.append((name, error))

    def stands(self, model: str) -> ModelRecord | None:
        return self.view.record(model)

    def written(self, at: int = -1) -> ModelRecord:
        value = self.sent[at].value
        assert value is not None
        return ModelRecord.decode(value)


def why(cause: str = "") -> Reason:
    return Reason(Rule.READY, "m", "a", cause)


def accept(load_ts: int = 9) -> Accept:
    return Accept("a", load_ts, 0, {}, lambda *_: True, lambda *_: False)


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


def prune(instance: str, is_gone: bool = True) -> Prune:
    return Prune(instance, lambda *_: is_gone)


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
