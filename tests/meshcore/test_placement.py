"""The choice of the instance that loads a model."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore.events import Seen
from meshcore.placement import SHORTLIST, Want, choose
from meshcore.reasons import CANDIDATES_KEPT, Reason, Rejected, Rule
from meshcore.records import InstanceRecord, Phase
from meshcore.settings import Settings
from meshcore.units import NEVER
from meshcore.view import ClusterView
from tests.meshcore.instances import T, full, instance

ME = "i-me"
CHURN_MS = 300_000
DAY_MS = 86_400_000


class Draws(Random):
    """Gives the listed numbers and fails when asked for more."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(0)
        self.left = iter(numbers)

    def random(self) -> float:
        return next(self.left)


def view_of(**records: InstanceRecord) -> ClusterView:
    view = ClusterView(ME, T - DAY_MS, Settings(reservation_ms=10_000), CHURN_MS)
    view.reset_instances(7, tuple(Seen(name, record.encode(), 3) for name, record in records.items()))
    return view


def want(**changes: object) -> Want:
    return Want(**{"model": "m", "type": "t", "size_units": 10, "last_used": 0, **changes})  # type: ignore[arg-type]


def rejections(reason: Reason) -> dict[str, Rejected | None]:
    return {candidate.id: candidate.rejected for candidate in reason.candidates}


DRAWN = (None, Rejected.OUTSTANDING, Rejected.NOT_DRAWN)


def shortlist(wanted: Want | None = None, **records: InstanceRecord) -> list[str]:
    """Who is left for the draw."""
    _, reason = choose(view_of(**records), wanted or want(), T, Random(1))
    return sorted(name for name, rejected in rejections(reason).items() if rejected in DRAWN)


# candidates


def test_first_in_the_order_is_chosen_when_nobody_comes_near() -> None:
    """One candidate in range needs no draw."""
    chosen, reason = choose(view_of(a=instance(count=20), b=instance(count=4)), want(), T, Draws())
    assert chosen == "b"
    assert reason.cause == "the only one left"
    assert rejections(reason) == {"b": None, "a": Rejected.OUT_OF_RANGE}


@pytest.mark.parametrize("why", [Rejected.TRIED, Rejected.HOLDS, Rejected.FAILED, Rejected.EXCLUDED])
def test_excluded_instance_is_passed_over(why: Rejected) -> None:
    """Exclusions hold whatever their cause, and are told as given."""
    view = view_of(a=instance(), b=instance(count=30))
    chosen, reason = choose(view, want(exclude={"a": why}), T, Draws())
    assert chosen == "b"
    assert rejections(reason) == {"b": None, "a": why}


def test_instance_that_can_never_hold_the_model_is_passed_over() -> None:
    """Capacity below the model's size: too small; exactly its size will do; no capacity holds nothing."""
    view = view_of(a=instance(capacity_units=9), b=instance(capacity_units=10, count=1), c=instance(capacity_units=0))
    chosen, reason = choose(view, want(size_units=10), T, Draws())
    assert chosen == "b"
    assert rejections(reason)["a"] is Rejected.TOO_SMALL
    chosen, reason = choose(view_of(c=instance(capacity_units=0)), want(size_units=0), T, Draws())
    assert chosen is None


def test_unreachable_instance_is_passed_over_unless_no_other_is_left() -> None:
    """An ejected peer gets a load only if everybody else is out of the question."""
    view = view_of(a=instance(), b=instance(count=30))
    view.health.failed("a", T)
    chosen, reason = choose(view, want(), T, Draws())
    assert (chosen, rejections(reason)["a"]) == ("b", Rejected.UNREACHABLE)
    chosen, reason = choose(view, want(exclude={"b": Rejected.TRIED}), T, Draws())
    assert (chosen, rejections(reason)) == ("a", {"a": None, "b": Rejected.TRIED})
    assert choose(view, want(), T + 40, Draws(0.0, 0.0))[0] == "a"


@pytest.mark.parametrize(
    "away",
    [
        instance(is_shutting_down=True),
        instance(phase=Phase.STARTING),
        instance(phase=Phase.DRAINING),
        instance(phase=Phase.STOPPING),
        instance(address=""),
    ],
)
def test_instance_that_takes_no_loads_is_never_chosen(away: InstanceRecord) -> None:
    """Starting, draining, stopping and Java instances are no targets (D-20)."""
    assert shortlist(a=away, b=full()) == ["b"]


def test_nobody_to_choose_says_how_many_were_out_for_which_cause() -> None:
    """No candidate: None, and the reason counts the causes over all instances."""
    view = view_of(
        a=instance(), b=instance(), c=instance(capacity_units=5), d=instance(phase=Phase.STARTING),
        e=instance(is_shutting_down=True), f=instance(address=""),
    )  # fmt: skip
    view.see_instance("g", b"?", 8)
    exclude = {"a": Rejected.TRIED, "b": Rejected.TRIED, "x": Rejected.FAILED}
    chosen, reason = choose(view, want(exclude=exclude), T, Draws())
    assert chosen is None
    assert (reason.rule, reason.model, reason.chosen, reason.view_revision) == (Rule.PLACE, "m", "", 7)
    assert reason.inputs == {
        "type": "t", "size_units": 10, "tried": 2, "too-small": 1, "starting": 1, "draining": 1, "not ours": 1,
        "unreadable": 1,
    }  # fmt: skip
    told = "2 tried, 1 too-small, 1 starting, 1 draining, 1 not ours, 1 unreadable"
    assert reason.cause == f"no instance can load it: {told}"
    assert rejections(reason) == {"a": Rejected.TRIED, "b": Rejected.TRIED, "c": Rejected.TOO_SMALL}


def test_empty_cluster_has_nobody() -> None:
    """Without any instance the reason says so."""
    chosen, reason = choose(view_of(), want(), T, Draws())
    assert (chosen, reason.cause) == (None, "no instance can load it: there is none")


# shortlist


@pytest.mark.parametrize(
    ("other", "is_in"),
    [
        pytest.param(instance(count=9), True, id="up to 9 models are as good as none"),
        pytest.param(instance(count=10), False, id="from 10 on a quarter more is too many"),
        pytest.param(instance(used_units=750), True, id="a quarter of the free space will do"),
        pytest.param(instance(used_units=751), False, id="less will not"),
        pytest.param(full(), False, id="a full one is not as good as one that is not"),
        pytest.param(instance(used_units=700, min_space_units=301), False, id="full by its own threshold (D-08)"),
    ],
)
def test_range_below_a_best_that_is_not_full(other: InstanceRecord, is_in: bool) -> None:
    """Not full: others are as good with a quarter of the space and at most a quarter more models (or under 10)."""
    assert shortlist(a=instance(), b=other, c=other) == (["a", "b", "c"] if is_in else ["a"])


@pytest.mark.parametrize(("count", "is_in"), [(50, True), (51, False)])
def test_many_models_are_compared_with_the_best(count: int, is_in: bool) -> None:
    """With 40 models on the best, 50 are in range and 51 are not."""
    assert shortlist(a=instance(count=40), b=instance(count=count), c=instance(count=count)) == (
        ["a", "b", "c"] if is_in else ["a"]
    )


@pytest.mark.parametrize(
    ("best_age_ms", "behind_ms", "is_in"),
    [
        (100_000, 45_000, True),
        (100_000, 45_001, False),
        (1_000_000, 100_000, True),
        (1_000_000, 100_001, False),
    ],
)
def test_range_below_a_full_best(best_age_ms: int, behind_ms: int, is_in: bool) -> None:
    """Full: others are as good if their LRU is at most 45 s, or a tenth of its age, behind the best's (D-08)."""
    best = full(lru_ms=T - best_age_ms)
    other = full(lru_ms=T - best_age_ms + behind_ms)
    assert shortlist(a=best, b=other, c=other) == (["a", "b", "c"] if is_in else ["a"])


def test_full_instance_of_an_older_version_with_older_lru_is_in_range() -> None:
    """The range looks at what would be evicted, not at the version that put the best first."""
    assert shortlist(
        a=full(version=2, lru_ms=T - 2 * CHURN_MS), b=full(lru_ms=T - DAY_MS), c=full(lru_ms=T - DAY_MS)
    ) == ["a", "b", "c"]


def test_fuller_newer_version_loses_only_what_saturation_says() -> None:
    """A full newer version whose LRU is recent comes after an older one with space (D-07)."""
    records = {"n": full(version=2, lru_ms=T - 1), "o": instance(version=1)}
    assert choose(view_of(**records), want(), T, Draws())[0] == "o"
    records["n"] = full(version=2, lru_ms=T - 2 * CHURN_MS)
    assert choose(view_of(**records), want(exclude={"o": Rejected.TRIED}), T, Draws())[0] == "n"


def test_shortlist_stops_at_64() -> None:
    """However many are as good, no more than 64 are looked at."""
    view = view_of(**{f"i{n:04}": instance() for n in range(300)})
    _, reason = choose(view, want(), T, Draws(0.99999, 0.99999))
    assert (reason.inputs["shortlist"], reason.inputs["instances"]) == (SHORTLIST, 300)
    assert len(reason.candidates) == CANDIDATES_KEPT
    assert reason.more == 300 - CANDIDATES_KEPT
    assert [(candidate.id, candidate.rejected) for candidate in reason.candidates[:3]] == [
        ("i0063", None),
        ("i0000", Rejected.NOT_DRAWN),
        ("i0001", Rejected.NOT_DRAWN),
    ]


# load filter


@pytest.mark.parametrize(
    ("ago_ms", "rpm", "is_in"),
    [
        (-20_000, 220, True),
        (-20_000, 221, False),
        (-1_001, 221, False),
        (-1_000, 300, True),
        (0, 300, True),
        (0, 301, False),
        (4_999, 301, False),
        (5_000, 600, True),
        (5_000, 601, False),
        (719_999, 601, False),
        (720_000, 800, True),
        (720_000, 801, False),
        (DAY_MS - 1, 801, False),
        (DAY_MS, 9_999, True),
    ],
)
def test_busier_instances_are_dropped_by_how_recently_the_model_was_used(ago_ms: int, rpm: int, is_in: bool) -> None:
    """The more recently used the model, the less busier than the least busy candidate its place may be."""
    left = shortlist(
        want(last_used=T - ago_ms), a=instance(rpm=200), b=instance(rpm=rpm, count=1), c=instance(rpm=rpm, count=1)
    )
    assert left == (["a", "b", "c"] if is_in else ["a"])


def test_model_without_last_use_counts_as_used_now() -> None:
    """Last used 0 means now."""
    chosen, reason = choose(view_of(a=instance(rpm=150), b=instance(rpm=226)), want(), T, Draws())
    assert (chosen, rejections(reason)["b"], reason.inputs["ago_ms"]) == ("a", Rejected.BUSY, 0)


def test_quiet_instances_are_alike() -> None:
    """Below 100 requests a minute nobody is busy, and a limit counts from 100."""
    assert shortlist(a=instance(), b=instance(rpm=150), c=instance(rpm=151)) == ["a", "b"]


# the choice


def test_balanced_request_stays_here_when_this_instance_is_on_the_shortlist() -> None:
    """Balanced and here is as good as elsewhere: here, said as such and not as nobody (D-24)."""
    view = view_of(**{"a": instance(), "b": instance(), ME: instance(count=9)})
    chosen, reason = choose(view, want(is_balanced=True), T, Draws())
    assert chosen == ME
    assert reason.cause == "balanced, and this instance is on the shortlist"
    assert rejections(reason) == {ME: None, "a": Rejected.NOT_DRAWN, "b": Rejected.NOT_DRAWN}
    full_here = view_of(**{"a": full(lru_ms=T - 10), ME: full(lru_ms=T - 5)})
    assert choose(full_here, want(is_balanced=True), T, Draws())[0] == ME


def test_balanced_request_leaves_when_elsewhere_is_better() -> None:
    """Not on the shortlist, or much busier than others: the request goes elsewhere, balanced or not."""
    view = view_of(**{"a": instance(), ME: instance(count=10)})
    assert choose(view, want(is_balanced=True), T, Draws())[0] == "a"
    view = view_of(**{"a": instance(), ME: instance(rpm=500)})
    assert choose(view, want(is_balanced=True), T, Draws())[0] == "a"


def test_unbalanced_request_has_no_preference_for_here() -> None:
    """This instance is drawn like any other when requests do not come spread."""
    view = view_of(**{"a": instance(), ME: instance(count=1)})
    assert choose(view, want(), T, Draws(0.0, 0.0))[0] == "a"
    view.reserve("a", 10, T)
    assert choose(view, want(), T, Draws(0.0, 0.0))[0] == ME


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (instance(loads_in_progress=1), instance(count=1), "b"),
        (instance(loads_in_progress=2, load_threads=8), instance(loads_in_progress=1, load_threads=2, count=1), "a"),
        (instance(loads_in_progress=1, load_threads=2), instance(loads_in_progress=3, load_threads=8, count=1), "b"),
    ],
)
@pytest.mark.parametrize("draw", [0.0, 0.99])
def test_fewer_loads_per_load_thread_win(
    first: InstanceRecord, second: InstanceRecord, expected: str, draw: float
) -> None:
    """Of two drawn the one with fewer loads in progress per load thread, whichever was drawn first."""
    chosen, reason = choose(view_of(a=first, b=second), want(), T, Draws(draw, draw))
    assert chosen == expected
    assert [candidate.rejected for candidate in reason.candidates] == [None, Rejected.OUTSTANDING]


@pytest.mark.parametrize(("draw", "expected"), [(0.0, "a"), (0.99, "b")])
def test_equally_loaded_instances_are_chosen_as_drawn(draw: float, expected: str) -> None:
    """Equal: the one drawn first, so that equally stale views do not all choose the head of the order."""
    assert choose(view_of(a=instance(), b=instance(count=1)), want(), T, Draws(draw, draw))[0] == expected


def test_loads_sent_but_not_shown_count_as_in_progress() -> None:
    """Own loads on their way keep the next one from the same target, until they expire."""
    view = view_of(a=instance(), b=instance())
    sent = []
    for _ in range(4):
        chosen, _ = choose(view, want(), T, Random(5))
        assert chosen is not None
        view.reserve(chosen, 10, T)
        sent.append(chosen)
    assert sorted(sent[:2]) == sorted(sent[2:]) == ["a", "b"]
    view.reserve("a", 10, T)
    assert choose(view, want(), T + 9_999, Random(5))[0] == "b"
    assert {choose(view, want(), T + 10_000, Draws(draw, draw))[0] for draw in (0.0, 0.99)} == {"a", "b"}


def test_many_ingresses_with_one_stale_view_spread_their_loads() -> None:
    """Placement does not herd: 100 choices on one view of 20 equal instances give nobody more than a fair few."""
    view, rng = view_of(**{f"i{n:02}": instance() for n in range(20)}), Random(9)
    counts = Counter(choose(view, want(), T, rng)[0] for _ in range(2000))
    assert len(counts) >= 19
    assert max(counts.values()) < 2.5 * 2000 / 20


def test_reason_tells_inputs_and_scores() -> None:
    """The reason carries what was decided on: loads per thread first, then place in the order and its key."""
    view = view_of(a=instance(count=1, loads_in_progress=1, rpm=7), b=instance(count=2, used_units=5, lru_ms=NEVER))
    _, reason = choose(view, want(size_units=33, last_used=T - 50), T, Draws(0.0, 0.0))
    assert reason.inputs == {
        "type": "t", "size_units": 33, "ago_ms": 50, "balanced": 0, "best_full": 0, "shortlist": 2, "instances": 2,
    }  # fmt: skip
    assert [(candidate.id, candidate.score) for candidate in reason.candidates] == [
        ("b", (0, 1, 2, -995, NEVER, -4, 0, -1000, 0)),
        ("a", (250, 0, 1, -1000, T - 3_600_000, -3, 1, -1000, 7)),
    ]
    assert reason.more == 0


RECORDS = st.builds(
    lambda used, count, lru, loads, rpm, phase, capacity: instance(
        used_units=used, count=count, lru_ms=T - lru, loads_in_progress=loads, rpm=rpm, phase=phase,
        capacity_units=capacity,
    ),
    st.sampled_from([0, 700, 950]), st.integers(0, 12), st.integers(0, 10**6), st.integers(0, 3),
    st.sampled_from([0, 90, 120, 400]), st.sampled_from(["", "ready", "draining"]), st.sampled_from([5, 1000]),
)  # fmt: skip


@settings(max_examples=60)
@given(
    records=st.dictionaries(st.sampled_from([*"abcdef", ME]), RECORDS),
    excluded=st.lists(st.sampled_from([*"abcdef", ME])),
    ejected=st.lists(st.sampled_from("abcdef")),
    balanced=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_choice_is_always_allowed_and_explained(
    records: dict[str, InstanceRecord], excluded: list[str], ejected: list[str], balanced: bool, seed: int
) -> None:
    """Chosen iff anybody is allowed, reachable first; the reason has one candidate not rejected, the chosen one."""
    view = view_of(**records)
    for name in ejected:
        view.health.failed(name, T)
    wanted = want(exclude=dict.fromkeys(excluded, Rejected.TRIED), is_balanced=balanced)
    chosen, reason = choose(view, wanted, T, Random(seed))
    allowed = [
        name
        for name, record in records.items()
        if name not in excluded and record.capacity_units >= 10 and (record.phase != "draining" or name == ME)
    ]
    reachable = [name for name in allowed if name not in ejected] or allowed
    assert (chosen is None) == (not reachable)
    assert chosen is None or chosen in reachable
    assert reason.chosen == (chosen or "")
    assert [candidate.id for candidate in reason.candidates if candidate.rejected is None] == [chosen] * bool(chosen)
    assert len(reason.candidates) + reason.more == len(view.order)
