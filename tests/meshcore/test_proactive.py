"""Models that the leader loads before anybody asks for them."""

from __future__ import annotations

from dataclasses import replace

from meshcore.asks import Kind, Op, Request
from meshcore.commands import Begin, Commit
from meshcore.events import InstancesSeen, LeaderSeen, Seen
from meshcore.reasons import Rule
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

FIRST_MS, GAP_MS, PERIOD_MS = 120_000, 15_000, 420_000
HOUR, DAY = 3_600_000, 86_400_000
EMPTY = instance(capacity_units=90, used_units=0, count=0, lru_ms=NEVER, min_space_units=20)


def leading(models: int, settings: Settings | None = None, **peers: object) -> Lone:
    """Instance a, which leads and is known to itself, and ``models`` without copies, m0 the latest used."""
    records = {"a": replace(EMPTY, address="a:8080"), **peers}
    lone = Lone(settings=settings, peers=records)  # type: ignore[arg-type]
    for number in range(models):
        lone.know(f"m{number}", ModelRecord("onnx", last_used=NOW - HOUR - number))
    lone.feed(LeaderSeen("a"))
    lone.commands.clear()
    return lone


def begun(lone: Lone) -> list[str]:
    """The models that loads were begun of, in order."""
    return [begin.request.model for begin in lone.all(Begin)]


def go_on(lone: Lone, ms: int) -> None:
    """Let so much time go by, with every tick that is due meanwhile."""
    until = lone.now + ms
    while (wake := lone.node.next_wake(lone.now)) <= until:
        lone.tick(wake - lone.now)
    lone.tick(until - lone.now)


def test_leader_fills_room_with_the_models_used_last() -> None:
    """90 units, an eighth kept free, half of the rest, 10 units a model: three; they count as used when they were."""
    lone = leading(9)
    go_on(lone, FIRST_MS - 1)
    assert begun(lone) == []
    go_on(lone, 1 + 200)
    assert begun(lone) == ["m0", "m1", "m2"]
    first = lone.all(Begin)[0]
    used = {"last_used": NOW - HOUR, "is_asked_for": False}
    assert first.request == Request("m0", Op.ENSURE, Kind.EXTERNAL, is_sync=False, **used)
    assert first.why.rule is Rule.FILL
    (plan,) = [reason for reason in lone.node.log.since(0) if reason.rule is Rule.FILL and not reason.model]
    assert plan.inputs == {"free": 3, "most": 3, "newer_than": 0}
    lone.commands.clear()
    go_on(lone, PERIOD_MS)
    assert begun(lone) == ["m0", "m1", "m2"], "what came to nothing is tried again"


def test_equal_last_uses_are_all_candidates() -> None:
    """D-15: models of one bulk registration."""
    lone = leading(0)
    for name in ("c", "a", "b", "d"):
        lone.know(name, ModelRecord("onnx", last_used=NOW - HOUR))
    go_on(lone, FIRST_MS + 200)
    assert begun(lone) == ["a", "b", "c"]


def test_full_instances_have_a_twentieth_replaced_by_newer_models() -> None:
    """D-16: nobody has room, and the least recently used copy is ten hours older than what is not loaded."""
    lru_ms = NOW - 12 * HOUR
    full = instance(capacity_units=2_000, used_units=2_000, count=200, lru_ms=lru_ms)
    lone = leading(20, a=replace(full, address="a:8080"), b=replace(full, address="b:8080"))
    lone.know("old", ModelRecord("onnx", last_used=lru_ms + 1))
    go_on(lone, FIRST_MS + 200)
    assert begun(lone) == [f"m{number}" for number in range(20)]
    older = leading(0, a=replace(full, address="a:8080"))
    older.know("old", ModelRecord("onnx", last_used=lru_ms + 3 * HOUR))
    go_on(older, FIRST_MS + 200)
    assert begun(older) == [], "a third of its age is the least"


def test_instance_that_joins_is_filled_soon() -> None:
    """A gap after it came, once for all that come meanwhile; and not again for what was known before."""
    lone = leading(9)
    go_on(lone, FIRST_MS + 200)
    lone.commands.clear()
    lone.meet("b", replace(EMPTY, address="b:8080"))
    lone.meet("c", replace(EMPTY, address="c:8080"))
    go_on(lone, GAP_MS - 1)
    assert begun(lone) == []
    go_on(lone, 1 + 200)
    assert len(begun(lone)) == 9
    lone.commands.clear()
    lone.meet("b", replace(EMPTY, address="b:8080", accepted=1))
    go_on(lone, PERIOD_MS - 201)
    assert begun(lone) == []


def test_room_that_appears_is_filled_soon() -> None:
    """A twentieth of the capacity that was in use and is not any more."""
    full = replace(EMPTY, used_units=90, count=9, lru_ms=NOW - 5, address="b:8080")
    lone = leading(9, b=full)
    lone.meet("b", replace(full, used_units=60, count=6))
    assert lone.node.upkeep.proactive.next_wake() <= lone.now + GAP_MS
    other = leading(9, b=full)
    other.meet("b", replace(full, used_units=85))
    assert other.node.upkeep.proactive.next_wake() != other.now + GAP_MS


def test_models_that_fail_are_left_to_who_asks_for_them() -> None:
    """Two instances failed to load the one; the other failed once, which may be that instance's fault."""
    lone = leading(0)
    bad = Failure(NOW - HOUR, "bad")
    lone.know("m2", ModelRecord("onnx", last_used=NOW - 5, failures={"x": bad, "y": bad}))
    lone.know("m1", ModelRecord("onnx", last_used=NOW - 6, failures={"x": bad}))
    go_on(lone, FIRST_MS + 200)
    assert begun(lone) == ["m1"]


def test_last_use_that_cannot_be_is_put_right_and_one_that_is_ahead_counts_as_now() -> None:
    """D-22: neither keeps the others from being loaded."""
    lone = leading(0)
    for name, last_used in (("slip", NEVER), ("ahead", NOW + HOUR), ("m", NOW - 5), ("never", 0)):
        lone.know(name, ModelRecord("onnx", last_used=last_used))
    go_on(lone, FIRST_MS + 200)
    (commit,) = lone.all(Commit)
    assert commit.model == "slip"
    assert commit.value is not None
    assert ModelRecord.decode(commit.value).last_used == NOW + FIRST_MS - 3 * HOUR
    assert [(begin.request.model, begin.request.last_used) for begin in lone.all(Begin)] == [
        ("ahead", lone.now),
        ("m", NOW - 5),
        ("never", 1),
    ]


def test_loads_are_begun_a_few_at_a_time_and_only_where_still_wanted() -> None:
    """A model that was loaded, or unregistered, since the plan is not loaded once more."""
    lone = leading(5, Settings(fill_batch=1))
    go_on(lone, FIRST_MS)
    assert begun(lone) == []
    lone.tick(200)
    assert begun(lone) == ["m0"]
    lone.know("m1", model(copies={"a": NOW - 1}))
    lone.know("m2", None)
    go_on(lone, 600)
    assert begun(lone) == ["m0"]


def test_plan_waits_until_every_registration_was_looked_at() -> None:
    """In slices, so that a leader of a million models goes on answering."""
    lone = leading(7, Settings(slice_models=2, fill_first_ms=10))
    assert lone.node.upkeep.proactive.next_wake() == NOW
    lone.tick(10)
    assert begun(lone) == []
    assert not lone.node.upkeep.proactive.idle.is_whole
    go_on(lone, 1_000)
    assert begun(lone) == ["m0", "m1", "m2"]


def test_nobody_loads_in_advance_where_that_is_off() -> None:
    lone = leading(5, Settings(fill_period_ms=0))
    lone.meet("b", replace(EMPTY, address="b:8080"))
    go_on(lone, DAY)
    assert begun(lone) == []


def test_who_leads_no_more_stops() -> None:
    lone = leading(5, Settings(fill_batch=1))
    go_on(lone, FIRST_MS + 200)
    lone.feed(LeaderSeen("b"))
    go_on(lone, PERIOD_MS)
    assert begun(lone) == ["m0"]
    assert lone.node.upkeep.proactive.next_wake() == NEVER


def test_model_that_a_set_of_instances_cannot_have_is_not_planned_for_it() -> None:
    """The entry for partitions: the records of some instances, and what they can have."""
    lone = leading(5)
    go_on(lone, 1_000)
    planned = lone.node.upkeep.proactive.plan([EMPTY], lambda _, record: record.last_used % 2 == 0)
    assert planned == [("m0", NOW - HOUR), ("m2", NOW - HOUR - 2), ("m4", NOW - HOUR - 4)]
    lone.revision += 1
    lone.feed(InstancesSeen(lone.revision, (Seen("a", None, lone.revision),)))
    assert lone.node.upkeep.proactive.plan([], lambda *_: True) == []
