"""The recorded workload: it plays what it is given, and nothing that makes no sense."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sim.arrivals import arrivals
from sim.scenario import Scenario
from sim.workloads.recorded import Recorded

RECORDED = {"workload": "recorded", "at_ms": [5.0, 5.0, 90.5], "models": [1, 0, 1]}


def scenario(traffic: object) -> Scenario:
    return Scenario.model_validate(
        {
            "duration_s": 10,
            "instances": {"count": 3, "capacity": 1 << 30},
            "models": {"count": 2, "size": 1 << 20},
            "runtime": {"load": {"base_ms": 5}, "service": {"mean_ms": 2.0}},
            "traffic": traffic,
        }
    )


def test_every_arrival_is_played_at_its_instant_for_its_model_at_its_instance() -> None:
    (block,) = arrivals(scenario(RECORDED | {"instances": [2, 0, 1]}))
    assert block == ([5.0, 5.0, 90.5], ["model-1", "model-0", "model-1"], [2, 0, 1])


def test_instances_are_drawn_where_none_are_on_record() -> None:
    many = {"workload": "recorded", "at_ms": [float(at) for at in range(300)], "models": [0] * 300}
    (block,) = arrivals(scenario(many))
    assert set(block[2]) == {0, 1, 2}
    (again,) = arrivals(scenario(many))
    assert again[2] == block[2]


def test_what_comes_after_the_end_is_left_out() -> None:
    recorded = Recorded.model_validate(RECORDED)
    assert list(recorded.arrivals(1, 2, 90.5)) == [([5.0, 5.0], [1, 0])]
    assert list(recorded.arrivals(1, 2, 5.0)) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"at_ms": [5.0, 4.0, 6.0]}, r"at_ms\.1: 4 must not be less than the one before, 5"),
        ({"models": [1]}, "models must have one entry for each of the 3 in at_ms, not 1"),
        ({"instances": []}, "instances must have one entry for each of the 3 in at_ms, not 0"),
        ({"at_ms": [-1.0, 4.0, 6.0]}, "greater than or equal to 0"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recorded.model_validate(RECORDED | wrong)
