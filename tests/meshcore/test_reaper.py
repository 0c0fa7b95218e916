"""What records say of instances that are gone, and who takes it off them when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.commands import Begin, Commit, Withdraw
from meshcore.events import (
    CommitFailed,
    Committed,
    Conflicted,
    InstancesSeen,
    LeaderSeen,
    Seen,
    SessionRenewed,
    StoreFound,
    StoreLost,
)
from meshcore.reasons import Reason, Rule
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

GRACE_MS = 30_000
OLD = NOW - 600_000
HOUR = 3_600_000


def leading(*names: str, **settings: int) -> Lone:
    """Instance a, which leads, knows itself and ``names``, and started an hour ago."""
    knobs = {"fill_period_ms": 0, **settings}
    lone = Lone(settings=Settings(**knobs), peers={name: instance(address=f"{name}:8080") for name in ("a", *names)})
    lone.feed(LeaderSeen("a"))
    return lone


def prunings(lone: Lone) -> list[tuple[str, tuple[str, ...], ModelRecord]]:
    """The records that are to be written only if nobody is there."""
    return [
        (commit.model, commit.gone, ModelRecord.decode(commit.value))
        for commit in lone.all(Commit)
        if commit.gone and commit.value is not None
    ]


def reasons(lone: Lone, rule: Rule) -> list[Reason]:
    return [reason for reason in lone.node.log.since(0) if reason.rule is rule]


def test_what_an_instance_held_goes_a_grace_after_its_lease() -> None:
    """Copies and failures, and what others hold stays; the write is made only if the instance has no record then."""
    lone = leading("b", "c")
    failures = {"b": Failure(OLD, "bad"), "c": Failure(OLD, "bad")}
    lone.know("m", model(copies={"b": OLD, "c": OLD}, ready={"b": OLD, "c": OLD}))
    lone.know("failed", model(failures=failures))
    lone.lose("b")
    lone.tick(GRACE_MS - 1)
    assert prunings(lone) == []
    lone.tick(1)
    kept = model(copies={"c": OLD}, ready={"c": OLD})
    assert prunings(lone) == [
        ("m", ("b",), kept),
        ("failed", ("b",), model(failures={"c": Failure(OLD, "bad")})),
    ]
    assert [(reason.model, reason.inputs) for reason in reasons(lone, Rule.PRUNE)] == [
        ("", {"gone_ms": GRACE_MS, "models": 2}),
        ("m", {"gone_ms": GRACE_MS}),
        ("failed", {"gone_ms": GRACE_MS}),
    ]
    lone.commit()
    lone.tick(GRACE_MS)
    assert prunings(lone) == []
    assert lone.node.upkeep.reaper.missing == {}


def test_instance_that_nobody_has_seen_is_missed_from_when_a_record_names_it() -> None:
    """As after the start of a mesh in which instances died before; one that is known again is missed no more."""
    lone = leading()
    lone.know("m", model(copies={"x": OLD, "y": OLD}))
    lone.tick(GRACE_MS - 1)
    lone.meet("y")
    lone.tick(1)
    assert prunings(lone) == [("m", ("x",), model(copies={"y": OLD}))]


def test_instance_that_no_record_names_any_more_is_forgotten() -> None:
    """Others took its copies off: one answer "not here" is enough for that."""
    lone = leading("b", "c")
    lone.know("m", model(copies={"b": OLD}))
    lone.lose("b")
    lone.know("m", model())
    assert lone.node.upkeep.reaper.missing == {"b": NOW}
    lone.tick(GRACE_MS)
    assert lone.node.upkeep.reaper.missing == {}
    assert reasons(lone, Rule.PRUNE) == []


def test_instance_that_comes_back_within_the_grace_keeps_what_it_has() -> None:
    lone = leading("b", "c")
    lone.know("m", model(copies={"b": OLD}))
    lone.lose("b")
    lone.tick(GRACE_MS - 1)
    lone.meet("b", instance(address="b:8080", start_ms=OLD - 1))
    lone.tick(10 * GRACE_MS)
    assert prunings(lone) == []


def test_what_is_younger_than_the_grace_stays_until_it_is_not() -> None:
    """A copy that began to load just now may be one of an instance that nobody has heard of yet."""
    lone = leading("b", "c")
    lone.lose("b")
    lone.tick(2 * GRACE_MS)
    lone.know("m", model(copies={"b": lone.now}))
    lone.know("ahead", model(copies={"b": lone.now + HOUR}))
    lone.know("n", model(failures={"b": Failure(lone.now + 10_000, "bad")}))
    lone.tick(GRACE_MS)
    assert [pruned for pruned, _, _ in prunings(lone)] == ["m"]
    lone.commit()
    lone.tick(GRACE_MS)
    assert [pruned for pruned, _, _ in prunings(lone)] == ["n"]
    lone.commit()
    lone.tick(HOUR - GRACE_MS)
    assert [pruned for pruned, _, _ in prunings(lone)] == ["ahead"], "a clock that is an hour ahead only delays it"


def test_java_pod_is_not_pruned_while_its_lease_lives_nor_one_whose_record_cannot_be_read() -> None:
    """Nor is this instance itself, whatever became of its record."""
    lone = leading("b", "c")
    lone.meet("java", instance(address=""))
    lone.revision += 1
    lone.feed(InstancesSeen(lone.revision, (Seen("odd", b"{", lone.revision),)))
    lone.lose("a")
    lone.know("m", model(copies={"java": OLD, "odd": OLD}, failures={"a": Failure(lone.now, "bad")}))
    lone.tick(10 * GRACE_MS)
    assert prunings(lone) == []
    lone.lose("java")
    lone.tick(GRACE_MS)
    assert [gone for _, gone, _ in prunings(lone)] == [("java",)]


def test_nothing_is_pruned_for_twice_the_lease_after_the_start() -> None:
    """Who has just come knows the least: the store may have come back with it."""
    lone = Lone(settings=Settings(fill_period_ms=0), me={"start_ms": NOW})
    lone.feed(LeaderSeen("a"))
    lone.know("m", model(copies={"x": OLD}))
    lone.tick(49_999)
    assert prunings(lone) == []
    lone.tick(1)
    assert len(prunings(lone)) == 1


@pytest.mark.parametrize("event", [StoreFound(), SessionRenewed()], ids=["store", "lease"])
def test_nothing_is_pruned_while_the_store_is_away_nor_for_twice_the_lease_after(
    event: StoreFound | SessionRenewed,
) -> None:
    """All leases may have ended meanwhile, and instances need time to come back; so with a lease that was lost."""
    lone = leading("b", "c")
    lone.know("m", model(copies={"b": OLD}))
    lone.lose("b")
    if isinstance(event, StoreFound):
        lone.feed(StoreLost())
        lone.tick(HOUR)
        assert prunings(lone) == []
    lone.feed(event)
    lone.tick(49_999)
    assert prunings(lone) == []
    lone.tick(1)
    assert len(prunings(lone)) == 1


def test_nothing_is_pruned_for_minutes_when_more_than_a_third_went_together() -> None:
    """Two of five; as long as they went within one grace, also while the store was away."""
    lone = leading("b", "c", "d", "e")
    lone.know("m", model(copies={"b": OLD, "c": OLD}))
    lone.feed(StoreLost())
    lone.lose("b")
    lone.tick(GRACE_MS)
    lone.lose("c")
    lone.feed(StoreFound())
    (hold,) = reasons(lone, Rule.HOLD)
    assert (hold.chosen, hold.inputs) == ("c", {"left": 3})
    lone.tick(299_999)
    assert prunings(lone) == []
    lone.tick(1)
    assert {gone for _, gone, _ in prunings(lone)} == {("b",)}, "one write at a time for each model"
    lone.commit()
    assert lone.record("m").copies == {}


@pytest.mark.parametrize(
    ("names", "lost", "apart_ms"),
    [("bc", "b", 0), ("bcdef", "bc", 0), ("bc", "bc", GRACE_MS + 1)],
    ids=["one alone", "two of six", "one after the other"],
)
def test_fewer_or_one_after_the_other_hold_nothing_up(names: str, lost: str, apart_ms: int) -> None:
    """One of three is not more than a third; one instance alone does not go together with anybody."""
    lone = leading(*names)
    for name in lost:
        lone.lose(name)
        lone.tick(apart_ms)
    assert reasons(lone, Rule.HOLD) == []


def test_instance_that_came_back_does_not_count_as_gone_with_the_next() -> None:
    lone = leading("b", "c", "d", "e")
    lone.lose("b")
    lone.meet("b")
    lone.lose("c")
    assert reasons(lone, Rule.HOLD) == []


def test_hold_that_begins_stops_what_was_not_sent_yet() -> None:
    """A write that failed is looked at again before it is repeated."""
    lone = leading("b", "c", "d", "e", prune_batch=1)
    for name in ("m", "n"):
        lone.know(name, model(copies={"b": OLD}))
    lone.lose("b")
    lone.tick(GRACE_MS)
    (commit,) = lone.all(Commit)
    lone.commands.clear()
    lone.feed(StoreLost())
    lone.feed(CommitFailed(commit.ticket, "no leader"))
    lone.tick(1_000)
    assert prunings(lone) == []
    assert len(lone.node.writer) == 0


def test_writes_are_made_so_many_at_a_time() -> None:
    lone = leading("b", "c", prune_batch=2)
    for number in range(5):
        lone.know(f"m{number}", model(copies={"b": OLD}))
    lone.lose("b")
    lone.tick(GRACE_MS)
    for under_way in (2, 2, 2, 2, 1):
        commits = lone.all(Commit)
        assert len(commits) == under_way
        lone.commands.remove(commits[0])
        lone.revision += 1
        lone.feed(Committed(commits[0].ticket, lone.revision))
    assert not lone.all(Commit)


def test_record_that_is_gone_or_spoilt_meanwhile_is_passed_over() -> None:
    lone = leading("b", "c", prune_batch=1)
    for name in ("m", "n", "o"):
        lone.know(name, model(copies={"b": OLD}))
    lone.lose("b")
    lone.tick(GRACE_MS)
    lone.know("n", None)
    lone.commit()
    assert lone.record("o").copies == {}


def test_instance_that_is_there_after_all_keeps_what_it_has() -> None:
    """The store denies the write though the record is as it was: an instance has a record that no watch told of."""
    lone = leading("b", "c")
    lone.know("m", model(copies={"b": OLD}))
    mod = lone.node.view.mod("m")
    lone.lose("b")
    lone.tick(GRACE_MS)
    (commit,) = lone.all(Commit)
    lone.commands.clear()
    lone.feed(Conflicted(commit.ticket, model(copies={"b": OLD}).encode(), mod))
    assert not lone.all(Commit)
    assert len(lone.node.writer) == 0
    lone.tick(GRACE_MS)
    assert len(prunings(lone)) == 1, "it is asked again a grace later"


@pytest.mark.parametrize("skew_ms", [-HOUR, HOUR], ids=["an hour behind", "an hour ahead"])
def test_clock_that_is_an_hour_off_changes_no_copy_and_prunes_nothing(skew_ms: int) -> None:
    """Another's, or this one's since its last start: all that was written by the other is an hour off."""
    there = NOW + skew_ms
    lone = Lone(peers={"b": instance(address="b:8080", start_ms=there - 600_000)})
    lone.feed(LeaderSeen("a"))
    here = lone.load("both")
    assert here
    both = lone.record("both")
    lone.know("both", replace(both, copies={**both.copies, "b": there - 5}, last_used=there))
    lone.know("held", model(copies={"b": there - 500_000}, ready={"b": there - 500_000}, last_used=there))
    lone.know("failed", model(failures={"b": Failure(there, "bad")}, last_used=there))
    lone.know("least", model(copies={"b": there}, last_used=there, min_copies=1))
    for _ in range(600):
        lone.tick(20_000)
    assert not [commit for commit in lone.all(Commit) if commit.why.rule is not Rule.TOUCH]
    assert not lone.all(Withdraw)
    assert [begin.request.model for begin in lone.all(Begin) if begin.request.model != "failed"] == []
