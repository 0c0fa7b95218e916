"""Who leads."""

from __future__ import annotations

from meshcore.commands import Begin, Commit
from meshcore.events import DrainAsked, LeaderSeen
from meshcore.leadership import candidate, leader
from meshcore.reasons import Rule
from meshcore.records import Failure
from tests.builders import NOW, model
from tests.meshcore.lone import Lone


def test_whoever_has_been_a_candidate_the_longest_leads() -> None:
    """By the revision that made the key, whatever wrote it; ModelMesh marks its names as ours are."""
    assert candidate("a") == "_a"
    assert leader({"_a": 7, "_java-1": 5, "_c": 9}) == "java-1"
    assert leader({"_a": 7}) == "a"
    assert leader({"odd": 3, "_a": 7}) == "odd", "it leads nobody of ours, and we lead nobody beside it"
    assert leader({}) == ""


def test_change_of_lead_is_told_once() -> None:
    lone = Lone()
    lone.feed(LeaderSeen("b"))
    lone.feed(LeaderSeen("b"))
    lone.feed(LeaderSeen(""))
    told = [reason.chosen for reason in lone.node.log.since(0) if reason.rule is Rule.LEAD]
    assert told == ["b", ""]
    assert not lone.node.upkeep.is_leading


def test_instance_that_goes_begins_nothing_more_as_a_leader() -> None:
    """Nor does one that does not lead."""
    lone = Lone()
    lone.know("idle", model(last_used=NOW - 5))
    lone.know("gone", model(copies={"x": NOW - 60_000}))
    lone.tick(300_000)
    assert not lone.all(Begin)
    assert not lone.all(Commit)
    lone.feed(LeaderSeen("a"))
    assert lone.node.upkeep.is_leading
    lone.feed(DrainAsked())
    assert not lone.node.upkeep.is_leading
    lone.tick(300_000)
    assert not lone.all(Begin)
    assert not lone.all(Commit)


def test_leader_counts_models_of_the_whole_cluster() -> None:
    """With copies, whoever has them; with failures; in all."""
    lone = Lone()
    lone.know("loaded", model(copies={"x": NOW - 60_000}))
    lone.know("failed", model(failures={"x": Failure(NOW, "bad")}))
    lone.know("both", model(copies={"x": NOW}, failures={"y": Failure(NOW, "bad")}))
    lone.know("neither", model())
    assert lone.node.upkeep.counts == (2, 2, 4)
    lone.know("both", None)
    assert lone.node.upkeep.counts == (1, 1, 3)
