"""Journals of real processes under load, killed, stopped and restarted: each replays without a difference."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.client import spec
from tests.e2e.test_mesh import Traffic
from tests.mmctl.meshes import mmctl
from tests.processes import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.long]

MODELS = [f"model-{number:03}" for number in range(120)]


def test_what_a_mesh_under_load_decided_is_decided_again(tmp_path: Path) -> None:
    journals = tmp_path / "journals"
    settings = {"MM_MIN_CHURN_AGE_MS": "0", "MM_JOURNAL_PATH": str(journals / "{instance}.jsonl")}
    with Mesh(tmp_path, settings) as mesh:
        for name in ("a", "b", "c"):
            mesh.fake(name, "--capacity=24MiB", "--size=1MiB", "--load-ms=5", "--loading-concurrency=4")
        mesh.start()
        mesh["a"].client.register_all(spec(name) for name in MODELS)
        with Traffic(MODELS, lambda: [mesh["a"], mesh["b"]]) as traffic:
            traffic.more(400)
            mesh["c"].meshd.kill()
            traffic.more(200)
            mesh["c"].start()
            mesh.settle()
            traffic.more(200)
        assert traffic.failures == []
        for name in ("a", "b", "c"):
            mesh[name].meshd.signal(signal.SIGTERM)
        assert [mesh[name].meshd.wait() for name in ("a", "b", "c")] == [0, 0, 0]

    files = sorted(str(path) for path in journals.iterdir())
    assert [Path(file).name for file in files] == ["a.jsonl", "b.jsonl", "c.1.jsonl", "c.jsonl"]
    replayed = mmctl("replay", *files, "-o", "json")
    told = json.loads(replayed.out)
    assert (replayed.code, [each["difference"] for each in told]) == (0, [None] * 4), replayed.err
    assert [(each["instance"], each["gap"]) for each in told] == [("a", None), ("b", None), ("c", None), ("c", None)]
    unloads = [Path(file).read_text("ascii").count('"Unload"') for file in files]
    assert min(unloads[:2]) > 20, "those that requests come to evict for them"
    assert sum(each["commands"] for each in told) > 1_000
