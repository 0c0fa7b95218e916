"""What a store that is away, or was, changes: who counts as gone, what waits, what is written when."""

from __future__ import annotations

import pytest

from meshcore.asks import Infer, Put, Register, Request, StatusInfo, StoreSilent
from meshcore.commands import Begin, Commit, Holder, Peers, Publish, Route, Stop
from meshcore.errors import StoreAway
from meshcore.events import (
    CommitFailed,
    Committed,
    Drained,
    Idled,
    InstancesSeen,
    LeaderSeen,
    Published,
    PublishFailed,
    Seen,
    StoreFound,
    StoreLost,
    Unloaded,
)
from meshcore.reasons import Reason, Rule
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.asked import TS, on, peers
from tests.meshcore.lone import Lone

LEASE_MS = Settings().lease_ttl_ms
DOUBT_MS = 2 * LEASE_MS


def beside(*names: str, settings: Settings | None = None) -> Lone:
    return Lone(peers=peers(*names), settings=settings)


def told(lone: Lone, rule: Rule) -> list[Reason]:
    return [reason for reason in lone.node.log.since(0) if reason.rule is rule]


def holders(lone: Lone, name: str = "m") -> list[str]:
    record = lone.node.view.record(name)
    return [holder.instance for holder in lone.node.routes.holders(name, record)]


def test_going_and_coming_are_told_once_and_with_how_long_it_took() -> None:
    lone = beside("b")
    for _ in range(2):
        lone.feed(StoreLost())
    lone.tick(12_345)
    for _ in range(2):
        lone.feed(StoreFound())
    gone, back = told(lone, Rule.STORE)
    assert (gone.cause, back.cause) == ("the store is away", "the store is back")
    assert back.inputs == {"after_ms": 12_345, "to_write": 0}


# -- who counts as gone


def test_holder_whose_record_vanished_with_the_store_stays_one_until_its_record_is_back() -> None:
    """Its lease ran out, not its life: requests go there as before, and loads do."""
    lone = beside("b", "c")
    lone.know("m", on("b"))
    lone.feed(StoreLost())
    lone.tick(60_000)
    lone.feed(StoreFound())
    lone.commands.clear()
    lone.lose("b")
    lone.tick(1_000)
    assert (lone.all(Route), lone.all(Peers)) == ([], [])
    assert holders(lone) == ["b"]
    assert lone.node.view.order.get("b") is not None
    assert lone.node.view.instance_mod("b") == 0
    lone.meet("b")
    lone.tick(DOUBT_MS)
    assert holders(lone) == ["b"]


def test_who_is_not_back_after_twice_the_lease_is_gone() -> None:
    lone = beside("b", "c")
    lone.know("m", on("b"))
    lone.feed(StoreLost())
    lone.feed(StoreFound())
    lone.lose("b")
    lone.tick(DOUBT_MS - 1)
    assert holders(lone) == ["b"]
    assert lone.node.next_wake(lone.now) == lone.now + 1
    lone.commands.clear()
    lone.tick(1)
    lone.tick(100)
    assert holders(lone) == []
    assert lone.last(Route) == Route("m", None, ())
    assert lone.last(Peers).peers[0].address == ""
    assert not lone.node.outage.is_unsure


def test_who_vanishes_while_the_store_is_there_is_gone_at_once() -> None:
    lone = beside("b", "c")
    lone.know("m", on("b"))
    lone.lose("b")
    lone.tick(100)
    assert holders(lone) == []


def test_whole_snapshot_without_an_instance_is_no_word_on_it_either() -> None:
    """What was missed may have been compacted meanwhile."""
    lone = beside("b", "c")
    lone.know("m", on("b"))
    lone.feed(StoreLost())
    lone.feed(StoreFound())
    lone.feed(InstancesSeen(9, (Seen("c", instance(address="c:8080").encode(), 1),), is_whole=True))
    assert holders(lone) == ["b"]


def test_what_a_vanished_instance_tells_of_itself_is_believed() -> None:
    lone = beside("b")
    lone.feed(StoreLost())
    lone.lose("b")
    lone.node.view.see_told("b", instance(address="b:8080", count=7).encode())
    assert lone.node.view.instance("b") == instance(address="b:8080", count=7)
    lone.meet("b", instance(address="b:8080", start_ms=NOW))
    assert lone.node.view.instance("b") == instance(address="b:8080", start_ms=NOW)


def test_who_cannot_write_its_own_record_takes_nobody_for_gone_for_want_of_one() -> None:
    """Where no record can be written, as in a store without space, all of them are missing sooner or later."""
    lone = beside("b")
    lone.know("m", on("b"))
    lone.tick(60_000)
    lone.feed(PublishFailed(1, "no space"))
    lone.lose("b")
    lone.tick(10 * DOUBT_MS)
    assert holders(lone) == ["b"]
    lone.feed(Published(lone.last(Publish).seq))
    lone.tick(DOUBT_MS - 1)
    assert holders(lone) == ["b"]
    lone.tick(1)
    lone.tick(100)
    assert holders(lone) == []


# -- what waits


def leading(settings: Settings) -> Lone:
    lone = beside("b", "c", settings=settings)
    lone.tick(DOUBT_MS)
    lone.feed(LeaderSeen("a"))
    return lone


def test_least_numbers_and_loads_in_advance_wait_until_copies_can_be_counted() -> None:
    """A copy that seems to be missing may only not be told of yet."""
    lone = leading(Settings(fill_first_ms=1_000, min_copies_retry_ms=1_000))
    lone.tick(2_000)
    lone.commands.clear()
    lone.feed(StoreLost())
    lone.know("least", model(min_copies=2))
    lone.know("idle", model(last_used=NOW))
    lone.tick(600_000)
    lone.feed(StoreFound())
    lone.tick(DOUBT_MS - 1)
    assert lone.all(Begin) == []
    for _ in range(20):
        lone.tick(1_000)
    assert {begin.request.model for begin in lone.all(Begin)} == {"least", "idle"}


def test_copies_are_neither_added_nor_given_up_while_others_are_taken_on_trust() -> None:
    lone = beside("b")
    lone.feed(StoreLost())
    assert not lone.node.scaling._may_decide
    lone.feed(StoreFound())
    assert not lone.node.scaling._may_decide
    lone.tick(DOUBT_MS)
    assert lone.node.scaling._may_decide


def test_nothing_is_pruned_while_no_write_is_taken() -> None:
    lone = leading(Settings(missing_grace_ms=1_000))
    lone.tick(DOUBT_MS)
    lone.know("m", on("d"))
    lone.know("n", on("a"))  # which is not here
    lone.feed(CommitFailed(lone.last(Commit).ticket, "no space", is_refused=True))
    lone.commands.clear()
    lone.tick(5_000)
    assert told(lone, Rule.PRUNE) == []
    probe = lone.last(Commit)
    lone.feed(Committed(probe.ticket, 99))
    assert not lone.node.outage.is_blind
    lone.tick(1_000)
    assert told(lone, Rule.PRUNE)


# -- what is written when


def test_own_record_is_written_first_when_the_store_is_back_and_not_tried_before() -> None:
    lone = beside("b")
    lone.feed(StoreLost())
    for _ in range(5):
        lone.tick(60_000)
    assert lone.all(Publish) == []
    lone.feed(StoreFound())
    assert len(lone.all(Publish)) == 1


def test_copies_that_came_and_went_are_told_when_the_store_is_back() -> None:
    """Evictions, failures and loads all work without it."""
    lone = beside()
    gen = lone.load("old", 60)
    lone.know("new", model())
    lone.know("bad", model())
    lone.feed(StoreLost())
    lone.tick(1_000)
    lone.begin_load("new", 60)
    lone.feed(Drained("old", gen))
    lone.feed(Unloaded("old", gen))
    lone.loaded("new", 60)
    lone.begin_load("bad", 10)
    lone.load_fails("bad")
    assert lone.all(Commit) == []
    assert len(lone.node.writer) == 3
    lone.feed(StoreFound())
    lone.tick(0)
    lone.commit()
    assert len(lone.node.writer) == 0
    assert lone.record("old").copies == {}
    assert lone.record("new").is_ready("a")
    assert lone.record("bad").failures["a"].text == "bad"


def test_copy_that_is_said_to_be_not_there_is_left_to_its_holder_until_all_have_told_what_they_have() -> None:
    lone = beside("b")
    lone.know("m", on("b"))
    lone.feed(StoreLost())
    lone.node.desk.not_here("m", "b", TS)
    lone.feed(StoreFound())
    lone.node.desk.not_here("m", "b", TS)
    assert len(lone.node.writer) == 0
    lone.tick(DOUBT_MS)
    lone.node.desk.not_here("m", "b", TS)
    assert len(lone.node.writer) == 1


def test_instance_that_ends_while_the_store_is_away_does_not_wait_for_it() -> None:
    """What records say of it is taken off by who leads, when the store is back."""
    lone = beside("b")
    lone.load("m", 10)
    lone.feed(StoreLost())
    lone.feed(Idled())
    assert len(lone.node.writer) == 1
    assert len(lone.all(Stop)) == 1


# -- registrations


def test_registration_that_stands_is_agreed_with_though_its_last_use_cannot_be_written() -> None:
    lone = beside("b")
    lone.know("m", model(last_used=NOW - 80_000_000))
    asking = lone.ask(Register("m", "onnx", last_used=NOW))
    assert isinstance(asking.step, Put)
    asking.answer(StoreSilent("the store is away"))
    answer = getattr(asking.step, "answer", None)
    assert isinstance(answer, StatusInfo)
    assert not answer.is_changed


@pytest.mark.parametrize("asked", [Register("new", "onnx"), Register("m", "onnx", expected=3)])
def test_new_or_conditional_registration_is_unavailable(asked: Register) -> None:
    lone = beside("b")
    lone.know("m", model())
    asking = lone.ask(asked)
    asking.answer(StoreSilent("the store is away: no answer"))
    assert asking.error == StoreAway("the store is away: no answer")


def test_loaded_model_answers_whatever_the_store_does() -> None:
    lone = beside("b")
    gen = lone.load("m", 10)
    lone.feed(StoreLost())
    assert lone.ask(Request("m")).step == Infer("m", gen)
    assert Holder("a", lone.node.cache.entries["m"].load_ts, True) in lone.node.routes.holders("m", lone.record("m"))


def test_refusals_are_told_once_until_a_write_is_taken() -> None:
    """What is written otherwise tells nothing, nor does a second refusal for another cause."""
    lone = beside("b")
    for name in ("m", "n"):
        lone.know(name, on("a"))  # which is not here
    first, second = lone.all(Commit)
    lone.feed(Committed(first.ticket, lone.revision + 1))
    assert told(lone, Rule.STORE) == []
    lone.feed(CommitFailed(second.ticket, "no space", is_refused=True))
    lone.tick(1_000)
    lone.feed(CommitFailed(lone.last(Commit).ticket, "no permission", is_refused=True))
    assert lone.node.outage.refusal == "no permission"
    lone.tick(1_000)
    lone.feed(Committed(lone.last(Commit).ticket, lone.revision + 2))
    begin, end = told(lone, Rule.STORE)
    assert (begin.cause, end.cause) == ("the store takes no writes: no space", "the store takes writes again")
    assert end.inputs["after_ms"] == 2_000
