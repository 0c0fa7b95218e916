"""The five forms of ``status``, compared with files under golden/ (UPDATE_GOLDEN=1 writes them anew)."""

from __future__ import annotations

import json

import pytest
import yaml

from meshcore.census import Counted, FailedModel, ShortModel, StuckLoad
from mmctl import views
from mmctl.commands.mesh import show_health
from mmctl.health import Health
from mmctl.output import Form
from mmctl.problems import Seen, problems
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.values import Info, Instance, InstanceNow
from tests.mmctl.test_output import INSTANCES, NOW_MS, compare

INFO = Info("fraud", "etcd", "0.1.0", "mesh-0", "python", leader="mesh-0", revision=1_234)
NOW = InstanceNow(1_230, 5_400, 60_000, leader="mesh-0")
FLEET = (
    *INSTANCES,
    Instance(
        "mesh-1", phase="draining", grpc="127.0.0.1:8034", version="0.2.0", models=3, capacity_bytes=512 << 20,
        used_bytes=3 << 20, load_threads=8, rpm=12, start_ms=NOW_MS - 60_000, revision=1_200, now=NOW,
    ),
    Instance("mesh-2", phase="ready", version="0.1.0", capacity_bytes=512 << 20, start_ms=NOW_MS, is_silent=True),
)  # fmt: skip
CENSUS = Counted(
    registered=100_000, loaded=1_200, loading=3, failed=7, stuck=1, short=1, copies=1_300,
    failed_models=(FailedModel("名前\n", "mesh-0", NOW_MS - 5_000, "INTERNAL: told to fail"),),
    stuck_loads=(StuckLoad("slow", "mesh-1", NOW_MS - 200_000),), short_models=(ShortModel("many", 1, 3),),
    gone=(("mesh-9", 12),), revision=1_234, at_ms=NOW_MS,
)  # fmt: skip
UPGRADE = Upgrade(
    "1", "kubernetes", "0.1.0", "0.2.0", {}, 2, phase=Phase.HELD, reason="1 model fails on mesh-1: 名前\n",
    phase_ms=NOW_MS - 90_000, runner="eva@box (pid 7)",
)  # fmt: skip
SEEN = Seen(INFO, FLEET, CENSUS, NOW_MS, [("mesh-2-runtime", "mesh-2")], 5, {"mesh-1": 4}, upgrade=UPGRADE)
HEALTH = Health(INFO, FLEET, CENSUS, problems(SEEN), NOW_MS)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.time, "time", lambda: NOW_MS / 1000)


@pytest.mark.parametrize("form", list(Form))
def test_status(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_health(HEALTH, form)
    compare(f"status.{form}", capsys)


def test_status_of_a_mesh_that_is_fine_through_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    instance = Instance("mesh-0", phase="ready", capacity_bytes=1 << 20, start_ms=NOW_MS)
    info = Info("fraud", "etcd", leader="mesh-0", revision=3)
    fine = problems(Seen(info, [instance], Counted(), NOW_MS))
    show_health(Health(info, (instance,), Counted(), fine, NOW_MS), Form.TABLE)
    compare("status-fine.table", capsys)


def test_json_and_yaml_of_status_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_health(HEALTH, Form.JSON)
    as_json = json.loads(capsys.readouterr().out)
    show_health(HEALTH, Form.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == as_json
