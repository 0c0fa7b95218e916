"""Where placement may not, or had rather not, go: labels, better places, upgrades, zones and nodes."""

from __future__ import annotations

from random import Random

import pytest

from meshcore.constraints import TypeConstraint
from meshcore.events import Seen
from meshcore.placement import Want, choose, outdone
from meshcore.reasons import Reason, Rejected, Rule
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.meshcore.instances import T, full, instance

ME = "i-me"
MINUTE = 60_000
GPU = ("gpu",)
NEEDS_GPU = {"t": TypeConstraint(GPU)}
LIKES_GPU = {"t": TypeConstraint((), GPU)}


def view_of(constraints: dict[str, TypeConstraint] | None = None, **records: InstanceRecord) -> ClusterView:
    view = ClusterView(ME, T - 1, Settings(), 300_000)
    view.reset_instances(7, tuple(Seen(name, record.encode(), 3) for name, record in records.items()))
    view.constrain(constraints or {})
    return view


def want(**changes: object) -> Want:
    return Want(**{"model": "m", "type": "t", "size_units": 10, **changes})  # type: ignore[arg-type]


def chosen(view: ClusterView, wanted: Want | None = None) -> str | None:
    return choose(view, wanted or want(), T, Random(1))[0]


def reason(view: ClusterView, wanted: Want | None = None) -> Reason:
    return choose(view, wanted or want(), T, Random(1))[1]


def rejections(told: Reason) -> dict[str, Rejected | None]:
    return {candidate.id: candidate.rejected for candidate in told.candidates}


# labels


def test_only_instances_with_all_required_labels_are_chosen() -> None:
    """However much better others are; the reason says how many were out of the question."""
    view = view_of(NEEDS_GPU, a=instance(), b=full(labels=GPU), c=instance())
    assert chosen(view) == "b"
    assert reason(view).inputs["lacking_labels"] == 2
    assert rejections(reason(view)) == {"b": None}


def test_nobody_with_the_labels_is_nobody_to_choose() -> None:
    """The reason counts those without the labels."""
    told = reason(view_of(NEEDS_GPU, a=instance(), b=instance()))
    assert (told.chosen, told.cause) == ("", "no instance can load it: 2 lacking labels")


def test_new_constraints_hold_for_those_who_are_there() -> None:
    """From the next choice on; they may also be gone again."""
    view = view_of(a=instance(), b=full(labels=GPU))
    assert chosen(view) == "a"
    view.constrain(NEEDS_GPU)
    assert chosen(view) == "b"
    view.constrain({})
    assert chosen(view) == "a"


# better places


def test_better_place_that_is_not_full_comes_before_all_others() -> None:
    """Preferred: the first in the order that is not full, judged by its own record (D-08)."""
    view = view_of(LIKES_GPU, a=instance(), b=instance(labels=GPU, count=30), c=instance(labels=GPU, count=31))
    told = reason(view)
    assert told.chosen in "bc"
    assert told.inputs["shortlist"] == 2


def test_full_better_place_is_no_better_while_others_have_space() -> None:
    """A full one would have to evict where another has room."""
    view = view_of(LIKES_GPU, a=instance(), b=full(labels=GPU), c=instance(labels=GPU, used_units=901))
    assert chosen(view) == "a"
    assert rejections(reason(view))["a"] is None


@pytest.mark.parametrize(
    ("best_age_ms", "behind_ms", "is_better"),
    [(100_000, 99_999, True), (400_000, 120_000, True), (400_000, 120_001, False), (4_000_000, 1_000_000, True),
     (4_000_000, 1_000_001, False)],
)  # fmt: skip
def test_full_better_places_are_chosen_from_if_near_the_best(best_age_ms: int, behind_ms: int, is_better: bool) -> None:
    """All full: within 120 s, or a quarter of the age, of what the best would evict; and then from these alone."""
    best = full(lru_ms=T - best_age_ms)
    better = full(labels=GPU, lru_ms=T - best_age_ms + behind_ms)
    view = view_of(LIKES_GPU, a=best, b=better, c=full(labels=GPU, lru_ms=T))
    told = reason(view)
    assert told.chosen == ("b" if is_better else "a")
    assert (rejections(told).get("a") is Rejected.NOT_PREFERRED) is is_better


def test_best_that_is_a_better_place_is_compared_with_its_like_as_ever() -> None:
    """P contains best: the shortlist is made as without preference, of P alone."""
    view = view_of(
        LIKES_GPU, a=full(labels=GPU, lru_ms=T - 50_000), b=full(lru_ms=T - 49_999), c=full(labels=GPU, lru_ms=T)
    )
    assert rejections(reason(view)) == {"a": None, "c": Rejected.OUT_OF_RANGE}


def test_balanced_request_stays_here_when_here_is_a_better_place() -> None:
    """D-24: this instance among the full better places is chosen, not nobody."""
    view = view_of(LIKES_GPU, **{"a": full(lru_ms=T - 9), "b": full(labels=GPU), ME: full(labels=GPU)})
    told = reason(view, want(is_balanced=True))
    assert (told.chosen, told.cause) == (ME, "balanced, and this instance is on the shortlist")


def test_better_places_that_are_out_of_the_question_are_not_missed() -> None:
    """Excluded ones do not keep the others from being chosen."""
    view = view_of(LIKES_GPU, a=instance(), b=instance(labels=GPU))
    assert chosen(view, want(exclude={"b": Rejected.HOLDS})) == "a"
    assert chosen(view, want(exclude={"a": Rejected.HOLDS, "b": Rejected.HOLDS})) is None


# upgrades


def upgrading(**records: InstanceRecord) -> ClusterView:
    """Instances known by their replica sets; whose started last comes in."""
    view = view_of(**records)
    for name in records:
        view.came_or_went(name, T)
    return view


def test_replica_set_that_is_being_replaced_gets_no_loads() -> None:
    """D-18: what goes soon would take its copies with it; the reason says how many there are."""
    view = upgrading(a=instance(replica_set="old"), b=full(replica_set="new", start_ms=T - 1))
    assert chosen(view) == "b"
    assert reason(view).inputs["replaced"] == 1


def test_replica_set_that_is_being_replaced_is_better_than_nobody() -> None:
    """With nobody else to load it, those that go do; and once the upgrade has come to nothing, as ever."""
    view = upgrading(a=instance(replica_set="old"), b=full(replica_set="new", start_ms=T - 1))
    assert chosen(view, want(exclude={"b": Rejected.FAILED})) == "a"
    view.health.failed("b", T)
    assert chosen(view) == "a", "rather than one that cannot be reached"
    assert choose(view, want(), T + 15 * MINUTE, Random(1))[0] == "a"


def test_upgrade_of_other_labels_is_another_matter() -> None:
    """D-19: replica sets are compared within one set of labels."""
    view = upgrading(a=instance(replica_set="old", labels=GPU), b=full(replica_set="new", start_ms=T - 1))
    assert chosen(view) == "a"


# zones and nodes


def spread(**records: InstanceRecord) -> str | None:
    """Who gets a copy beside those that "h" and "g" have."""
    held = {name: Rejected.HOLDS for name in records if name in "gh"}
    return chosen(view_of(**records), want(exclude=held))


def test_further_copy_goes_to_a_zone_without_one() -> None:
    """Among those that are as good, whatever else they do."""
    h = instance(zone="z1", location="n1")
    a, b = instance(zone="z1", location="n2"), instance(zone="z2", location="n3", loads_in_progress=3)
    assert spread(h=h, a=a, b=b) == "b"
    told = reason(view_of(h=h, a=a, b=b), want(exclude={"h": Rejected.HOLDS}))
    assert rejections(told) == {"b": None, "a": Rejected.ZONE, "h": Rejected.HOLDS}


def test_within_the_zones_that_are_left_it_goes_to_a_node_without_one() -> None:
    """Zones first, then nodes: where all zones have a copy, and within a zone that has none."""
    h, g = instance(zone="z1", location="n1"), instance(zone="z2", location="n2")
    a, b = instance(zone="z1", location="n1"), instance(zone="z2", location="n3", loads_in_progress=3)
    assert spread(h=h, g=g, a=a, b=b) == "b"
    told = reason(view_of(h=h, g=g, a=a, b=b), want(exclude={"h": Rejected.HOLDS, "g": Rejected.HOLDS}))
    assert rejections(told)["a"] is Rejected.NODE


def test_no_zone_is_worth_a_full_instance_where_there_is_room() -> None:
    """Spreading chooses among those that are as good: it costs no eviction, and no busy instance."""
    h = instance(zone="z1", location="n1")
    assert spread(h=h, a=instance(zone="z1", location="n2"), b=full(zone="z2")) == "a"
    assert spread(h=h, a=instance(zone="z1", location="n2"), b=instance(zone="z2", rpm=151)) == "a"


def test_unknown_zones_and_gone_holders_tell_nothing() -> None:
    """Nothing is known to be in the same place: the choice is as ever."""
    a, b = instance(), instance(loads_in_progress=1)
    assert spread(h=instance(), a=a, b=b) == "a"
    view = view_of(a=a, b=b)
    assert chosen(view, want(exclude={"gone": Rejected.HOLDS})) == "a"


# declining


def test_instance_with_loads_under_way_leaves_a_load_to_one_with_fewer() -> None:
    """D-04: per load thread, with the load that is asked for; the reason says whom it has in mind."""
    view = view_of(**{ME: instance(loads_in_progress=2), "b": instance(loads_in_progress=1)})
    told = outdone(view, want(), T)
    assert told is not None
    assert (told.rule, told.chosen, told.cause) == (Rule.DECLINE, "b", "more loads are under way here")
    assert told.inputs == {"loads_permille": 500, "its_loads_permille": 250}


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        pytest.param(instance(), instance(load_threads=8), id="nothing is under way here"),
        pytest.param(instance(loads_in_progress=1), instance(loads_in_progress=1), id="as many elsewhere"),
        pytest.param(instance(loads_in_progress=2), instance(loads_in_progress=1, load_threads=2), id="more by thread"),
        pytest.param(full(), full(), id="all are full"),
        pytest.param(instance(loads_in_progress=2), full(), id="the other is full"),
    ],
)
def test_instance_takes_a_load_that_would_be_no_better_elsewhere(mine: InstanceRecord, other: InstanceRecord) -> None:
    """Declining has to be of use (D-04)."""
    assert outdone(view_of(**{ME: mine, "b": other}), want(), T) is None


def test_instance_that_became_full_leaves_a_load_to_one_that_is_not() -> None:
    """D-04: it would have to evict."""
    told = outdone(view_of(**{ME: full(), "b": instance()}), want(), T)
    assert told is not None
    assert (told.chosen, told.cause) == ("b", "it has become full here")


def test_declining_minds_zones_as_the_choice_does() -> None:
    """Who sent it here for the zone is not sent back to the other."""
    view = view_of(**{
        ME: instance(zone="z2", loads_in_progress=2), "a": instance(zone="z1"), "h": instance(zone="z1"),
    })  # fmt: skip
    assert outdone(view, want(exclude={"h": Rejected.HOLDS}), T) is None
    assert outdone(view, want(), T) is not None


def test_instance_that_takes_no_loads_has_nothing_to_compare() -> None:
    """It is draining, or alone, or nobody has the room."""
    assert outdone(view_of(**{ME: instance(is_shutting_down=True), "b": instance()}), want(), T) is None
    assert outdone(view_of(**{ME: instance(loads_in_progress=1)}), want(size_units=2000), T) is None


def test_loads_that_the_registry_tells_of_count_at_once() -> None:
    """A load that somebody else sent is seen by the model's record, long before by the instance's own; one that was
    sent from here counts once."""
    view = view_of(a=instance(), b=instance(count=1))
    view.loads_of("x", ModelRecord("t", copies={"a": T}))
    assert chosen(view) == "b"
    view.reserve("b", 10, T, "y")
    view.loads_of("y", ModelRecord("t", copies={"b": T}))
    entry = view.order.get("b")
    assert entry is not None
    assert entry.loads == 1
    view.loads_of("x", None)
    assert chosen(view) == "a"


def test_instance_that_changes_its_labels_leaves_the_upgrade_of_the_former() -> None:
    """What held for it under its former labels holds no more, also for who asks right after."""
    view = upgrading(a=instance(replica_set="old"), b=full(replica_set="new", start_ms=T - 1))
    view.see_instances(9, (Seen("a", instance(replica_set="old", labels=GPU).encode(), 9),))
    view.came_or_went("a", T)
    assert chosen(view) == "a"
