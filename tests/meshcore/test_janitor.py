"""The run through an instance's own models that puts right what no event did."""

from __future__ import annotations

from meshcore.commands import Commit
from meshcore.entry import State
from meshcore.events import DrainAsked, Usage, Used
from meshcore.reasons import Rule
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

PERIOD_MS = 360_000
HOUR, DAY = 3_600_000, 86_400_000
EXPIRY_MS = 900_000


def written(lone: Lone) -> dict[str, ModelRecord]:
    return {commit.model: ModelRecord.decode(commit.value) for commit in lone.all(Commit) if commit.value is not None}


def test_last_use_is_written_when_the_record_is_hours_behind() -> None:
    """Six to seven, each instance its own, so that several holders do not write together; never for less."""
    lone = Lone()
    lone.load("m")
    stored = lone.record("m").last_used
    stale_ms = lone.node.upkeep.janitor._stale_ms
    assert 6 * HOUR <= stale_ms < 7 * HOUR
    assert stale_ms != Lone(me={"instance": "b"}).node.upkeep.janitor._stale_ms
    lone.now = stored + stale_ms - 1
    lone.feed(Used((Usage("m", 1, lone.now),)))
    lone.tick(0)
    assert written(lone) == {}
    lone.tick(1)
    lone.feed(Used((Usage("m", 1, lone.now),)))
    lone.tick(PERIOD_MS)
    assert written(lone)["m"].last_used == stored + stale_ms
    why = lone.last(Commit).why
    assert (why.rule, why.cause, why.inputs) == (Rule.TOUCH, "used here since", {"behind_ms": stale_ms})


def test_failure_here_is_taken_off_when_it_is_old() -> None:
    """What is left of it here goes as well; failures of others are theirs."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m")
    lone.commit()
    at = lone.record("m").failures["a"].at
    lone.know("m", ModelRecord("onnx", failures={**lone.record("m").failures, "b": Failure(at, "bad")}))
    lone.now = at + EXPIRY_MS - 1
    lone.tick(0)
    assert written(lone) == {}
    assert lone.node.cache.entries["m"].state is State.FAILED
    lone.tick(PERIOD_MS)
    assert written(lone)["m"].failures.keys() == {"b"}
    lone.commit()
    assert "m" not in lone.node.cache.entries


def test_one_odd_timestamp_does_not_end_the_run() -> None:
    """D-22: a last use that cannot be is put right, one that cannot be read is passed over, and the next is looked
    at."""
    lone = Lone()
    for name in ("m1", "m2", "m3"):
        lone.load(name)
    lone.know(
        "m1", ModelRecord("onnx", last_used=NEVER, copies=lone.record("m1").copies, ready=lone.record("m1").ready)
    )
    lone.revision += 1
    lone.node.view.see_model("m2", b"{", lone.revision)
    failed = {"a": Failure(NOW - EXPIRY_MS, "bad")}
    lone.know("m4", model(failures=failed))
    lone.tick(PERIOD_MS)
    assert written(lone) == {
        "m1": ModelRecord(
            "onnx", last_used=lone.now - 3 * HOUR, copies=lone.record("m1").copies, ready=lone.record("m1").ready
        ),
        "m4": model(),
    }


def test_last_use_that_is_an_hour_ahead_is_left_alone() -> None:
    """Another's clock may be: nothing follows from it."""
    lone = Lone()
    lone.load("m")
    ahead = ModelRecord("onnx", last_used=NOW + HOUR, copies=lone.record("m").copies, ready=lone.record("m").ready)
    lone.know("m", ahead)
    lone.tick(PERIOD_MS)
    assert not lone.all(Commit)


def test_what_no_event_put_right_is_put_right_in_both_directions() -> None:
    """A copy here that its record does not name, and one that is named and not here."""
    lone = Lone()
    lone.load("here")
    lone.revision += 1
    lone.node.view.see_model("here", ModelRecord("onnx").encode(), lone.revision)
    lone.know("there", model(copies={"a": NOW - 5}))
    lone.commit()
    lone.revision += 1
    lone.node.view.see_model("there", model(copies={"a": NOW - 5}).encode(), lone.revision)
    lone.node.routes.update("there", lone.record("there"))
    lone.commands.clear()
    lone.tick(PERIOD_MS)
    load_ts = lone.node.cache.entries["here"].load_ts
    assert written(lone) == {
        "here": ModelRecord("onnx", copies={"a": load_ts}, ready={"a": load_ts}),
        "there": model(),
    }


def test_models_are_looked_at_in_slices() -> None:
    """So many in one go, and the rest a little later."""
    lone = Lone(settings=Settings(slice_models=2))
    for name in ("m1", "m2", "m3"):
        lone.know(name, model(failures={"a": Failure(NOW, "bad")}, last_used=NOW + 48 * HOUR))
    lone.tick(PERIOD_MS)
    assert len(written(lone)) == 2
    assert lone.node.upkeep.janitor.next_wake() == lone.now + 10
    lone.tick(20)
    assert len(written(lone)) == 3
    assert lone.node.upkeep.janitor.next_wake() == lone.now + PERIOD_MS


def test_instance_that_goes_puts_nothing_right() -> None:
    """It takes its copies out of the records by itself."""
    lone = Lone(peers={"b": instance(address="b:8080")})
    lone.know("m", model(failures={"a": Failure(NOW, "bad")}, last_used=NOW + 48 * HOUR))
    lone.feed(DrainAsked())
    lone.tick(PERIOD_MS)
    assert not lone.all(Commit)
