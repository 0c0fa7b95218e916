"""How plans and upgrades are shown, as people and as programs read them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from mmctl.output import Form
from mmctl.upgrade import outlook
from mmctl.upgrade.record import Hold, Phase, Upgrade
from mmctl.upgrade.views import Plan, show_plan, show_upgrade, sided
from mmctl.values import Instance

MIB = 2**20
A = Instance("mesh-0", "ready", version="1", models=30, used_bytes=30 * MIB, capacity_bytes=64 * MIB)
B = Instance("mesh-1", "ready", version="1", models=60, used_bytes=60 * MIB, capacity_bytes=64 * MIB)
PLAN_TABLE = """\
from  1
to    2

what will be another
version   1 -> 2
capacity  64MiB -> 32MiB
MM_X      (none) -> 5

4 steps
STEP   INSTANCE  MODELS   HOLDS  ROOM ELSEWHERE
start  mesh-2
drain  mesh-0        30  30 MiB          36 MiB
start  mesh-3
drain  mesh-1        60  60 MiB          34 MiB

what to know
-  mesh-1 holds 60 MiB in 60 models, others have room for 34 MiB: models used least recently will be evicted
"""
UPGRADE_TABLE = """\
upgrade         1 -> 2 (local, 2 instances)
phase           held: 3 models fail
age             5m, in this phase 1s
limits          2 failed models, 300 s for a step, then it is held
carried out by  nobody (me@here is gone): `start --resume` goes on, `abort` goes back

2 instances
SIDE  INSTANCE  VERSION  PHASE  MODELS    USED  CAPACITY  LOADING
old   mesh-0    1        ready      30  30 MiB    64 MiB        0
new   mesh-2    1        ready      60  60 MiB    64 MiB        0

what happened
5m  begins
1s  held: 3 models fail
"""


@pytest.fixture
def plan() -> Plan:
    steps = outlook.steps([A, B], ["mesh-2", "mesh-3"], 32 * MIB)
    rows = [("version", "1", "2"), ("capacity", "64MiB", "32MiB"), ("MM_X", "", "5")]
    return Plan("local", "1", "2", rows, steps, outlook.warnings(steps))


def test_plan_as_people_read_it(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(plan, Form.TABLE)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == PLAN_TABLE.splitlines()


def test_plan_as_programs_read_it(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(plan, Form.JSON)
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["kind", "from", "to", "changes", "steps", "warnings"]
    assert told["changes"][2] == {"name": "MM_X", "before": "", "after": "5"}
    assert told["steps"][3] == {
        "do": "drain", "instance": "mesh-1", "models": 60, "held_bytes": 60 * MIB, "room_bytes": 34 * MIB,
        "has_room": False,
    }  # fmt: skip
    show_plan(plan, Form.NAME)
    assert capsys.readouterr().out.split() == ["mesh-2", "mesh-0", "mesh-3", "mesh-1"]


def test_upgrade_as_people_and_programs_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    now = int(time.time() * 1000)
    upgrade = Upgrade(
        "1", "local", "1", "2", {}, 2, ("mesh-0", "mesh-1"), ("mesh-2",), phase=Phase.HELD, hold=Hold.FAILED,
        reason="3 models fail", started_ms=now - 300_500, phase_ms=now - 1_500, runner="me@here",
    )  # fmt: skip
    upgrade = upgrade.with_event(now - 300_500, "begins").with_event(now - 1_500, "held: 3 models fail")
    both = sided(upgrade, [A, replace(B, id="mesh-2"), replace(B, id="other")])
    show_upgrade(upgrade, "", both, Form.TABLE)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == UPGRADE_TABLE.splitlines()
    show_upgrade(upgrade, "you@there", both, Form.JSON)
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [
        "id", "kind", "from", "to", "phase", "reason", "held_for", "started_ms", "phase_ms", "moved_ms", "runner",
        "last_runner", "max_failed", "max_wait_ms", "auto_rollback", "size", "instances", "events",
    ]  # fmt: skip
    assert (told["runner"], told["last_runner"], told["held_for"]) == ("you@there", "me@here", "failed")
    assert list(told["instances"][0]) == [
        "side", "id", "version", "phase", "models", "used_bytes", "capacity_bytes", "loads_in_progress"
    ]  # fmt: skip
