"""Instances and models may be named with fewer digits, or more, than there are in all."""

from __future__ import annotations

from sim.names import with_names
from sim.reading import parse_scenario

SCENARIO = """
duration_s: 60
instances: {count: %d, capacity: 1 GiB}
models: {count: 200, size: 30 MiB}
runtime:
  load: {base_ms: 300}
  service: {mean_ms: 5}
traffic: {requests_per_s: 40}
kills: [{instance: instance-1, at_s: 10}]
partitions: [{instances: [instance-02], from_s: 20, until_s: 30}]
failures: [{model: model-7}]
"""


def test_a_name_gets_as_many_digits_as_the_others() -> None:
    for count, kill, cut in ((4, "instance-1", "instance-2"), (40, "instance-01", "instance-02")):
        scenario = parse_scenario(SCENARIO % count, "a.yaml")
        assert scenario.kills[0].instance == kill
        assert scenario.partitions[0].instances == [cut]
        assert scenario.failures[0].model == "model-007"


def test_what_is_of_another_form_stays_as_it_is() -> None:
    for tree in (
        {"instances": {"count": "x"}, "kills": [{"instance": "instance-1"}]},
        {"instances": 3, "kills": [{"instance": "instance-1"}, 5], "joins": {}},
        {"instances": {"count": 12}, "kills": [{"instance": "pod-1"}, {"instance": 1}], "failures": [{"model": None}]},
    ):
        assert with_names(tree) == tree
