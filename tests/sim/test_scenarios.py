"""Every scenario in scenarios/ says what it asks, and its summary is frozen beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim import read_scenario, run

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))


def test_there_are_scenarios() -> None:
    assert SCENARIOS


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_first_line_is_the_question(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_summary_is_the_frozen_one(path: Path) -> None:
    frozen = path.with_suffix(".expected.json")
    told = {name: value for name, value in run(read_scenario(path)).data.items() if name != "series"}
    assert told == json.loads(frozen.read_text(encoding="utf-8")), "if the change is meant: python -m tests.sim.freeze"
