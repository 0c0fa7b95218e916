"""Registrations that come and go: which are planned, and what a small mesh makes of them."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import parse_scenario, run
from sim.arrivals import arrivals
from sim.measure import Measure
from sim.mesh import Mesh
from sim.workloads.churn import Churn, Known, Turn
from sim.world import build

SMALL = """
duration_s: 120
instances: {count: 3, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 30, size: 16 MiB, types: [a, b]}
runtime: {load: {base_ms: 100}, service: {mean_ms: 2}}
traffic: {requests_per_s: 60, alpha: 0}
"""
LISTED = "churn: {initially: 10, changes: [{at_s: 40, registers: [10-19]}, {at_s: 80, unregisters: [0-14]}]}\n"


def turns(duration_s: float = 1e5, models: int = 1000, seed: int = 3, **churn: Any) -> list[Turn]:
    return list(Churn.model_validate(churn).turns(seed, models, duration_s * 1000))


def test_in_the_mean_so_many_stand_as_come_within_a_lifetime() -> None:
    """The mean number is rate times lifetime, 200 (Little). Over 200 lifetimes it strays by the root of
    2 * 200 / 200, some 1.4."""
    planned = turns(registrations_per_s=0.4, lifetime_s=500, initially=200)
    times = [0, *(turn.at_ms for turn in planned), 100_000_000]
    standing, weighted = 200, 0
    for (before, after), turn in zip(pairwise(times), [*planned, None], strict=True):
        weighted += standing * (after - before)
        standing += 0 if turn is None else 1 if turn.is_coming else -1
    assert weighted / 100_000_000 == pytest.approx(200, abs=3 * 2**0.5)
    came = [turn.at_ms for turn in planned if turn.is_coming]
    assert len(came) == pytest.approx(40_000, abs=3 * 200)


def test_a_registration_stands_for_its_lifetime_in_the_mean() -> None:
    since: dict[int, int] = {}
    lives = []
    for turn in turns(registrations_per_s=0.4, lifetime_s=500, initially=0):
        if turn.is_coming:
            since[turn.model] = turn.at_ms
        else:
            lives.append(turn.at_ms - since[turn.model])
    assert fmean(lives) == pytest.approx(500_000, rel=3 / len(lives) ** 0.5)


@given(
    st.integers(1, 12),
    st.data(),
    st.one_of(st.none(), st.floats(0.01, 10)),
    st.one_of(st.none(), st.floats(0.01, 100)),
)
def test_only_what_is_not_registered_comes_and_only_what_is_goes_in_the_order_of_time(
    models: int, data: st.DataObject, per_s: float | None, lifetime_s: float | None
) -> None:
    if per_s is None and lifetime_s is None:
        lifetime_s = 1.0
    first = data.draw(st.integers(0, models))
    planned = turns(60, models, initially=first, registrations_per_s=per_s, lifetime_s=lifetime_s)
    is_there = [number < first for number in range(models)]
    assert [turn.at_ms for turn in planned] == sorted(turn.at_ms for turn in planned)
    for turn in planned:
        assert is_there[turn.model] is not turn.is_coming
        is_there[turn.model] = turn.is_coming


def test_a_catalogue_that_is_used_up_has_no_more_to_register() -> None:
    assert [turn.model for turn in turns(models=5, registrations_per_s=1, initially=3)] == [3, 4]


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 40))
def test_what_is_known_does_not_depend_on_where_blocks_end(lengths: list[int], at_each_ms: int) -> None:
    planned = turns(20, 4, registrations_per_s=1, lifetime_s=2, initially=2)
    instants = [index * at_each_ms * 10.0 for index in range(sum(lengths))]
    numbers = [index % 4 for index in range(len(instants))]
    whole = Known(iter(planned), 4, 2).has(instants, numbers)
    parts, known, begin = [], Known(iter(planned), 4, 2), 0
    for length in lengths:
        parts += known.has(instants[begin : begin + length], numbers[begin : begin + length])
        begin += length
    assert parts == whole
    for at, number, is_known in zip(instants, numbers, whole, strict=True):
        mine = [turn for turn in planned if turn.model == number and turn.at_ms <= at]
        expected = (mine[-1].is_coming and at >= mine[-1].at_ms + 1000) if mine else number < 2
        assert is_known == expected


def played(text: str) -> tuple[Mesh, Measure]:
    scenario = parse_scenario(text, "a.yaml")
    world = build(scenario)
    mesh: Mesh
    measure = Measure(world.instances, 0, scenario.duration_s * 1000, lambda: mesh.env.now)
    mesh = Mesh(world, measure)
    mesh.play(arrivals(scenario))
    return mesh, measure


def test_models_come_and_go_through_the_mesh_and_nobody_asks_for_others() -> None:
    mesh, measure = played(SMALL + LISTED)
    registered = [model for model in range(30) if mesh.records.read(f"model-{model:02}").value is not None]
    assert registered == list(range(15, 20))
    assert measure.failed == {}
    answered = sum(answered for answered, _ in measure.answers.by_instance().values())
    expected = 60 / 30 * (40 * 10 + 40 * 20 + 40 * 5)
    assert answered == pytest.approx(expected, abs=4 * expected**0.5)
    assert sum(tally.loads for tally in measure.tallies.values()) == 20
    assert sum(instance.node.cache.count for instance in mesh.instances) == 5, "copies of what is gone are unloaded"


def test_clients_may_ask_for_what_is_not_registered() -> None:
    told = run(parse_scenario(SMALL + LISTED.replace("{initially", "{asks_unregistered: true, initially"), "a")).data
    assert set(told["failed"]) == {"NOT_FOUND"}
    expected = 60 / 30 * (40 * 20 + 40 * 10 + 40 * 25)
    assert told["failed"]["NOT_FOUND"] == pytest.approx(expected, abs=4 * expected**0.5)


def test_who_registers_a_model_may_have_it_loaded() -> None:
    """No request waits for the ten that come; the ten that are there at the start load as before."""
    plain, loaded = (
        run(parse_scenario(SMALL + LISTED.replace("{initially", f"{{is_loaded: {is_loaded}, initially"), "a")).data
        for is_loaded in ("false", "true")
    )
    assert plain["loads"] == loaded["loads"] == 20
    assert plain["cold_starts"] - loaded["cold_starts"] >= 10


def test_what_is_asked_while_the_store_is_away_is_done_when_it_is_back() -> None:
    mesh, measure = played(SMALL + LISTED + "store_outages: [{from_s: 35, until_s: 50}]\n")
    registered = [model for model in range(30) if mesh.records.read(f"model-{model:02}").value is not None]
    assert registered == list(range(15, 20))
    assert set(measure.failed) <= {"NOT_FOUND", "UNAVAILABLE"}
    assert measure.failed


def test_models_that_come_and_go_at_random_leave_what_was_planned() -> None:
    text = SMALL + "churn: {initially: 15, registrations_per_s: 0.3, lifetime_s: 50}\n"
    scenario = parse_scenario(text, "a.yaml")
    assert scenario.churn is not None
    is_there = [number < 15 for number in range(30)]
    for turn in scenario.churn.turns(scenario.seed, 30, 119_000):
        is_there[turn.model] = turn.is_coming
    mesh, measure = played(text)
    assert [mesh.records.read(f"model-{model:02}").value is not None for model in range(30)] == is_there
    assert set(measure.failed) <= {"NOT_FOUND"}
    assert sum(measure.failed.values()) <= 5, "only what was on its way when its model went"
    assert run(scenario).data == run(scenario).data
