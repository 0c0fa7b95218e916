"""What is told to be wrong with a mesh, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcore.census import Counted, FailedModel, ShortModel, StuckLoad
from mmctl.lookback import LAG_MS, VANISHED_MS, Lookback
from mmctl.problems import DRAIN_SPARE_MS, Level, Seen, problems
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.values import Info, Instance, InstanceNow

NOW_MS = 1_800_000_000_000
INFO = Info("mesh", "etcd", instance="a", leader="a", revision=50)


def instance(name: str, **fields: Any) -> Instance:
    now = InstanceNow(seen_revision=50, load_timeout_ms=60_000, leader="a", **fields.pop("told", {}))
    usual = {"phase": "ready", "version": "1", "capacity_bytes": 100, "revision": 40, "now": now}
    return Instance(name, **(usual | fields))


FINE = Seen(INFO, [instance("a"), instance("b")], Counted(registered=5, loaded=2), NOW_MS)


def told(**fields: Any) -> list[tuple[str, str]]:
    """Kind and text of each problem of a mesh that is fine but for ``fields``."""
    found = problems(replace(FINE, **fields))
    assert all(problem.do for problem in found), "each says what to do"
    return [(problem.kind, problem.text) for problem in found]


def beside(other: Instance) -> list[Instance]:
    return [instance("a"), other]


UPGRADE = Upgrade("1", "kubernetes", "1.0", "1.1", {}, 2, reason="3 models", phase_ms=NOW_MS - 60_000, runner="me")


@pytest.mark.parametrize(
    ("fields", "level", "text", "do"),
    [
        ({}, Level.NOTE, "the upgrade to 1.1 is rolling for 60s", "`mmctl upgrade status --watch`"),
        ({"phase": Phase.ROLLING_BACK}, Level.NOTE, "the upgrade to 1.1 is rolling back for 60s: 3 models", "--watch"),
        ({"phase": Phase.HELD}, Level.WARNING, "the upgrade to 1.1 is held for 60s: 3 models", "upgrade abort"),
        ({"runner": ""}, Level.WARNING, "the upgrade to 1.1 is rolling for 60s; no mmctl carries it out", "--resume"),
    ],
)  # fmt: skip
def test_an_upgrade_that_is_under_way_is_told(fields: dict[str, Any], level: Level, text: str, do: str) -> None:
    (found,) = problems(replace(FINE, upgrade=replace(UPGRADE, **fields)))
    assert (found.kind, found.level, found.text) == ("upgrade", level, text)
    assert do in found.do


def test_a_record_of_an_upgrade_that_cannot_be_read_is_told() -> None:
    text = "it is not known whether an upgrade is under way: a newer mmctl wrote it"
    assert told(upgrade_unknown="a newer mmctl wrote it") == [("upgrade", text)]


def test_nothing_is_wrong_with_a_mesh_that_is_fine() -> None:
    assert told() == []
    assert told(expected=2) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"down": [("a-runtime", "a")]}, ("process_down", "a-runtime does not run")),
        (
            {"info": replace(INFO, store_available=False)},
            ("store_unavailable", "the store does not answer a: loaded models are served, nothing can be registered"),
        ),
        (
            {"instances": beside(instance("b", told={"store_away": True}))},
            ("store_unavailable", "1 instance cannot read or write the store: b"),
        ),
        ({"behind": {"b": 12}}, ("store_lag", "b is 12 revisions behind the store: it may send requests astray")),
        ({"info": replace(INFO, read_only=True)}, ("read_only", "the registry is read-only")),
        ({"expected": 3}, ("missing_instance", "2 of 3 instances are there")),
        (
            {"census": Counted(gone=(("c", 7),))},
            ("missing_instance", "c is gone; 7 models had a copy there: loaded elsewhere when asked for"),
        ),
        ({"vanished": {"c": NOW_MS - 12_000}}, ("missing_instance", "c is gone, seen last 12s ago")),
        (
            {"vanished": {"c": NOW_MS - 12_000}, "census": Counted(gone=(("c", 1),))},
            (
                "missing_instance",
                "c is gone, seen last 12s ago, without a drain; "
                "1 model had a copy there: loaded elsewhere when asked for",
            ),
        ),
        (
            {"instances": beside(instance("b", now=None, is_silent=True))},
            ("silent_instance", "1 instance does not answer a: b"),
        ),
        ({"instances": beside(instance("b", phase="starting"))}, ("starting", "1 instance starting: b")),
        ({"instances": beside(instance("b", phase="draining"))}, ("going", "b is draining")),
        (
            {"instances": beside(instance("b", phase="draining", told={"going_until_ms": NOW_MS - DRAIN_SPARE_MS}))},
            ("going", "b is draining"),
        ),
        (
            {"instances": beside(instance("b", phase="stopping", told={"going_until_ms": NOW_MS - 60_000}))},
            ("drain_too_long", "b should have been gone 60s ago"),
        ),
        (
            {"instances": beside(instance("b", phase="dancing"))},
            ("unknown_phase", "1 instance in a phase that mmctl does not know: b"),
        ),
        (
            {"instances": beside(instance("b", capacity_bytes=0))},
            ("no_capacity", "1 instance without memory for models: b"),
        ),
        (
            {"instances": beside(instance("b", lost_bytes=2**20))},
            ("lost_memory", "b has lost 1 MiB of memory to unloads that failed"),
        ),
        (
            {"instances": beside(instance("b", cordoned=True))},
            ("cordoned", "1 instance cordoned, so without new loads: b"),
        ),
        ({"info": replace(INFO, leader="c")}, ("no_leader", "c leads and is not there any more")),
        (
            {"instances": [instance("a"), replace(instance("b"), now=InstanceNow(50, leader=""))]},
            ("no_leader", "instances do not agree who leads: a, nobody"),
        ),
        (
            {"census": Counted(failed=1, failed_models=(FailedModel("m\n", "b", 0, "no such file"),))},
            ("failed_model", "m\\n failed to load on b: no such file"),
        ),
        (
            {"census": Counted(failed=3)},
            ("failed_model", "3 more models failed to load"),
        ),
        (
            {"census": Counted(stuck=1, stuck_loads=(StuckLoad("m", "b", NOW_MS - 90_000),))},
            ("stuck_load", "m is loading on b for 90s, its runtime may take 60 s"),
        ),
        ({"census": Counted(stuck=2)}, ("stuck_load", "2 more loads take too long")),
        (
            {"census": Counted(short=1, short_models=(ShortModel("m", 1, 3),))},
            ("unsatisfied", "m has 1 of at least 3 copies"),
        ),
        ({"census": Counted(short=1)}, ("unsatisfied", "1 more model has fewer copies than at least")),
        ({"census": Counted(unreadable=2)}, ("unreadable", "2 registrations cannot be read")),
        (
            {"instances": beside(instance("b", version="2"))},
            ("mixed_versions", "2 versions are up: 1: a; 2: b"),
        ),
        (
            {"instances": beside(Instance("j", is_java=True))},
            ("java_pods", "1 pod of the Java ModelMesh in this mesh: j"),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert told(**fields) == [expected]


def test_a_mesh_where_nobody_leads_or_nobody_is() -> None:
    (problem,) = problems(replace(FINE, info=replace(INFO, leader=""), instances=[
        replace(instance(name), now=InstanceNow(50)) for name in "ab"
    ]))  # fmt: skip
    assert (problem.kind, problem.level) == ("no_leader", Level.ERROR)
    assert told(instances=[], info=replace(INFO, leader="")) == [("no_instance", "no instance is up")]


def test_one_that_goes_does_not_count_among_those_that_are_to_be_there() -> None:
    going = beside(instance("b", phase="draining"))
    assert told(instances=going, expected=2)[0] == ("missing_instance", "1 of 2 instances is there")


def test_the_worst_is_told_first() -> None:
    mixed = [instance("a"), instance("b", version="2", lost_bytes=1)]
    found = problems(replace(FINE, instances=mixed, behind={"b": 1}))
    assert [problem.level for problem in found] == [Level.ERROR, Level.WARNING, Level.NOTE]


# -- beside earlier looks ----------------------------------------------------------------------------


def at(seen: int, revision: int = 40) -> Instance:
    return Instance("a", phase="ready", revision=revision, now=InstanceNow(seen))


def test_a_change_on_its_way_is_no_lag_and_one_that_does_not_come_is() -> None:
    before = Lookback()
    assert before.late([at(40)], Counted(revision=50), NOW_MS) is None, "look again"
    assert before.late([at(50)], Counted(revision=50), NOW_MS + LAG_MS) == {}
    assert before.late([at(50)], Counted(revision=70), NOW_MS + 2 * LAG_MS) == {}, "70 is new"
    assert before.late([at(65)], Counted(revision=90), NOW_MS + 3 * LAG_MS) == {"a": 5}
    assert before.late([at(65)], Counted(revision=90), NOW_MS + 3 * LAG_MS + 1) == {}, "too soon to tell"


def test_who_knows_of_everything_or_was_not_asked_is_not_behind() -> None:
    assert Lookback().late([at(50)], Counted(revision=50), NOW_MS) == {}
    assert Lookback().late([replace(at(1), now=None)], Counted(revision=50), NOW_MS) == {}
    assert Lookback().late([], Counted(), NOW_MS) == {}


def test_who_goes_without_saying_so_has_vanished() -> None:
    before, a, b = Lookback(), Instance("a", phase="ready"), Instance("b", phase="ready")
    assert before.vanished([a, b], NOW_MS) == {}
    assert before.vanished([a], NOW_MS + 5) == {"b": NOW_MS}
    assert before.vanished([a, replace(b, phase="draining")], NOW_MS + 6) == {}
    assert before.vanished([a], NOW_MS + 7) == {}, "it said that it goes"
    assert before.vanished([], NOW_MS + 8) == {"a": NOW_MS + 7}
    assert before.vanished([], NOW_MS + 7 + VANISHED_MS) == {}, "long ago"
