"""What a live instance makes of the settings and registrations that say which copies are worth more."""

from __future__ import annotations

import json
from pathlib import Path

from runtimes.behaviour import Behaviour
from tests.client import refused, spec
from tests.meshd.mesh import MIB, mesh
from tests.processes import until


def test_the_policy_of_eviction_is_the_one_that_is_set(tmp_path: Path) -> None:
    """What a journal begins with says by which rules its instance decides."""
    with mesh(1, MM_EVICTION_POLICY="cost", MM_JOURNAL_PATH=str(tmp_path / "{instance}.jsonl")) as lone:
        assert lone.client.register("m", load=True).status
    header = json.loads((tmp_path / "i0.jsonl").read_text().splitlines()[0])
    assert header["rules"]["evict_order"] == "meshcore.eviction.cost_order"


def test_a_pinned_model_without_room_beside_another_is_accepted_and_told_of() -> None:
    with mesh(1, capacity=64 * MIB, default=Behaviour(size=8 * MIB), MM_MIN_CHURN_AGE_MS="0") as lone:
        path = "fake:?size=40MiB"
        made = lone.client.register_all([spec("a", path, load=True, pinned=True), spec("b", path, pinned=True)])
        assert [result.code for result in made] == [0, 0]
        lone.client.ensure("a")
        code, text = refused(lambda: lone.client.infer("b"))
        assert (code, text.startswith("b does not fit: ")) == ("INTERNAL", True)
        assert lone.client.infer("a").body == b"hello"
        until(lambda: lone[0].metrics()['meshd_decisions{rule="unsatisfied",}'] >= 1, "it is told of")
        metrics = lone[0].metrics()
        assert (metrics["meshd_lost_bytes"], metrics["meshd_unsatisfied_bytes"]) == (0, 0), "nothing has gone wrong"
