"""Models that the leader loads before anybody asks for them."""

from __future__ import annotations

from dataclasses import replace

from meshcore.asks import Kind, Op, Request
from meshcore.commands import Begin, Commit
from meshcore.constraints import TypeConstraint
from meshcore.events import Constrained, LeaderSeen
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


def test_models_are_planned_for_the_instances_that_can_have_them() -> None:
    """Partition by partition, those with most room first: each has its own share, and no model is wanted twice."""
    roomy, gpu = replace(EMPTY, capacity_units=120), replace(EMPTY, labels=("gpu",), address="b:8080")
    lone = leading(0, a=replace(roomy, address="a:8080"), b=gpu)
    lone.feed(Constrained({"cuda": TypeConstraint(("gpu",))}))
    for number in range(9):
        kind = "cuda" if number % 2 else "onnx"
        lone.know(f"m{number}", ModelRecord(kind, last_used=NOW - HOUR - number))
    go_on(lone, FIRST_MS + 200)
    assert begun(lone) == ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m8"]
    plans = [reason for reason in lone.node.log.since(0) if reason.rule is Rule.FILL and not reason.model]
    assert [(plan.cause.split()[0], plan.inputs["free"]) for plan in plans] == [("5", 5), ("3", 3)]


def test_plan_looks_at_twice_as_many_models_as_may_be_loaded() -> None:
    """So that a plan ends where few models are such that the instances can have them."""
    lone = leading(6)
    lone.feed(Constrained({"cuda": TypeConstraint(("gpu",))}))
    for number in range(5):
        lone.know(f"first{number}", ModelRecord("cuda", last_used=NOW - 1 - number))
    go_on(lone, FIRST_MS + 200)
    assert begun(lone) == ["m0"]


def test_plan_is_made_in_slices_and_its_loads_begin_when_it_is_whole() -> None:
    """A tick looks at so many places in the order of last uses at most, whatever stands there; what was looked at is
    looked at again for the next plan."""
    lone = leading(9, Settings(slice_models=2))
    go_on(lone, 1_000)
    for number in range(3):
        lone.know(f"m{number}", model(copies={"a": NOW - 1}))
    go_on(lone, FIRST_MS - 1_001)
    lone.tick(1)
    sliced = [lone.now]
    while lone.node.upkeep.proactive.next_wake() == lone.now + 10:
        lone.tick(10)
        sliced.append(lone.now)
    lone.tick(200)
    # places: three that have a copy by now, three that are chosen, and two with which it is over
    assert len(sliced) == 4 + 3, "four for the plan, and three to look again at the five that were taken out"
    assert begun(lone) == ["m3", "m4", "m5"]
    lone.commands.clear()
    go_on(lone, PERIOD_MS)
    assert begun(lone) == ["m3", "m4", "m5"]


def test_whoever_has_something_under_way_is_woken_for_it() -> None:
    """Also where all registrations are to be looked at again because of an event that is no tick."""
    lone = leading(3, Settings(slice_models=1))
    go_on(lone, FIRST_MS - 1)
    proactive = lone.node.upkeep.proactive
    proactive.idle.begin()
    assert proactive.next_wake() == lone.now
    lone.tick(1)
    assert not proactive.idle.is_whole
    proactive.idle.begin()
    assert proactive.next_wake() == lone.now + 10
    go_on(lone, 1_000)
    assert begun(lone) == ["m0", "m1", "m2"]


def test_who_leads_no_more_forgets_the_plan_that_it_makes() -> None:
    lone = leading(9, Settings(slice_models=1))
    go_on(lone, FIRST_MS)
    assert lone.node.upkeep.proactive.next_wake() != NEVER
    lone.feed(LeaderSeen("b"))
    assert lone.node.upkeep.proactive.next_wake() == NEVER
    lone.feed(LeaderSeen("a"))
    go_on(lone, FIRST_MS + 400)
    assert begun(lone) == ["m0", "m1", "m2"]
