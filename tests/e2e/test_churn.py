"""Models come and go all the time: every request is answered, and nothing of them stays (a longer one: bench.churn)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.churn import PREFIX, Churn, steady_mesh
from tests.e2e.test_mesh import Traffic, records
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

STEADY = [f"steady-{number}" for number in range(20)]
MODELS = 300


def test_models_that_come_and_go_leave_nothing_and_disturb_nobody(tmp_path: Path) -> None:
    with steady_mesh(tmp_path, "ab", STEADY) as mesh:
        instances = list(mesh.instances.values())
        churn = Churn(instances)
        with Traffic(STEADY, lambda: instances) as traffic:
            churn.run(MODELS)
            traffic.more(100)
        assert (churn.failures, traffic.failures) == ([], [])
        assert churn.done == MODELS

        def copies() -> float:
            return sum(instance.metrics()["modelmesh_instance_models_total"] for instance in instances)

        until(lambda: copies() == len(STEADY), "no copy of the others is left")
        left = records(mesh)
        assert not [name for name in left if name.startswith(PREFIX)]
        assert left.keys() == set(STEADY)
        assert sum(len(record.copies) for record in left.values()) == len(STEADY), "none was loaded twice"
