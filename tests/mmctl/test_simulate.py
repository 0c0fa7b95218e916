"""The simulator from the command line: the same bytes every time, and mistakes named before anything is played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmctl.__main__ import run
from sim.policies import POLICIES

SCENARIO = """
seed: 7
duration_s: 20
warmup_s: 5
instances: {count: 2, capacity: 64 MiB, loading_concurrency: 2, default_model_size: 1 MiB}
models: {count: 20, lognormal: {median: 4 MiB, sigma: 0.5}}
runtime:
  load: {base_ms: 20, bandwidth: 200 MiB}
  service: {mean_ms: 5, cv: 0.5}
  concurrency: 4
network: {delay_ms: 1}
store: {commit_ms: 3, watch_ms: 2}
traffic: {workload: zipf, requests_per_s: 20, alpha: 1.0}
settings: {min_churn_age_ms: 0}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO)
    return str(file)


def test_summary_is_on_stdout_and_the_speed_of_this_machine_on_stderr(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", scenario]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("answered ")
    assert "hit rate" in shown.out
    assert "simpy" not in shown.out
    assert "warm requests and" in shown.err
    assert "bare simpy timeouts per second of CPU time" in shown.err


def test_same_scenario_gives_the_same_bytes_whatever_the_hash_seed(scenario: str) -> None:
    command = [sys.executable, "-m", "mmctl", "simulate", scenario, "-o", "json"]
    outs = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    ]
    assert outs[0] == outs[1]
    assert json.loads(outs[0])["answered"] > 0


def test_one_scenario_is_a_value_and_several_are_a_list(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", scenario, "-o", "json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert run(["simulate", scenario, scenario, "-o", "json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both == [{"scenario": scenario, "rules": "mesh", **one}] * 2


def test_several_rules_are_shown_beside_each_other(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", scenario, "--rules", "mesh", "--rules", "random"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["mesh", "random"]
    assert run(["simulate", scenario, "--rules", "mash"]) == 2
    assert (
        "--rules: 'mash' has no rules that there are, did you mean mesh; allowed: mesh, no-second-copies"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["simulate", "tune"])
def test_help_names_all_rules(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run([command, "--help"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--rules" in line]
    assert [name for name in POLICIES if name not in line] == []


def test_mistakes_in_all_scenarios_are_named_and_none_is_played(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SCENARIO.replace("seed: 7", "sed: 7"))
    assert run(["simulate", scenario, str(wrong), str(tmp_path / "none.yaml")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "wrong.yaml:2: sed: unknown key, did you mean seed" in shown.err
    assert "none.yaml: there is no such file" in shown.err
    assert "warm requests" not in shown.err
