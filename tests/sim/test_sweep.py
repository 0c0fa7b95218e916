"""Many runs: each is what it is alone, and what is finished is not played again."""

from __future__ import annotations

import gc
import json
import os
import resource
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path
from threading import enumerate as enumerate_threads

import pytest

from sim import sweep_state
from sim.collector import SPARING
from sim.mesh import Mesh
from sim.problems import TraceError
from sim.sweep import Step, Sweep, SweepBroken
from sim.sweep_paths import Plan, Values, plans
from sim.sweep_state import Kept, key_of
from sim.world import run
from tests.sim.small import SMALL
from tests.sim.trace_files import write


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


def planned(small: Path, values: Values) -> list[Plan]:
    return plans([small], ["mesh"], values)


def test_runs_on_all_cores_are_those_alone_and_are_kept_as_they_were(small: Path, tmp_path: Path) -> None:
    runs = planned(small, {"seed": [1, 2, 1]})
    kept, steps = Kept(tmp_path / "runs"), []
    with Sweep(kept, steps.append, workers=2) as sweep:
        results = sweep.play(runs)
    alone = [run(plan.scenario).data for plan in runs[:2]]
    assert [result.data for result in results] == [*alone, alone[0]]
    assert [(step.ended, step.of, step.kept) for step in steps] == [(0, 2, 0), (1, 2, 0), (2, 2, 0)]
    again: list[Step] = []
    with Sweep(kept, again.append, workers=2) as sweep:
        assert [(each.data, each.speed) for each in sweep.play(runs)] == [(each.data, None) for each in results]
    assert again == [Step(2, 2, 2)]


def test_what_was_played_in_a_sweep_is_not_played_again_in_it(small: Path) -> None:
    steps: list[Step] = []
    with Sweep(None, steps.append, workers=1) as sweep:
        first = sweep.play(planned(small, {}))
        assert sweep.play(planned(small, {"seed": [7]})) == first
    assert [step.ended for step in steps if step.result is not None] == [1]
    assert steps[-1] == Step(1, 1, 0)


def test_cycles_are_looked_for_seldom_but_no_mesh_outlives_the_next(small: Path) -> None:
    before, seen = gc.get_threshold(), {}

    def told(step: Step) -> None:
        at = step.ended, step.result is None
        if at not in seen:  # as each run is first heard of, and as it ends
            seen[at] = gc.get_threshold(), sum(isinstance(each, Mesh) for each in gc.get_objects())

    with Sweep(None, told, workers=1) as sweep:
        sweep.play(planned(small, {"seed": [1, 2, 3]}))
    assert [seen[ended, True] for ended in (1, 2)] == [(SPARING, 1)] * 2
    assert max(meshes for _, meshes in seen.values()) == 1
    assert gc.get_threshold() == before


def test_a_run_that_was_not_kept_whole_is_played_again(small: Path, tmp_path: Path) -> None:
    (plan,) = planned(small, {})
    kept = Kept(tmp_path / "runs")
    kept.put(key_of(plan), {"answered": 1})
    (file,) = (tmp_path / "runs").iterdir()
    assert kept.get(key_of(plan)) == {"answered": 1}
    for text in ('{"a": ', "[]", ""):
        file.write_text(text)
        assert kept.get(key_of(plan)) is None
    with Sweep(kept, lambda _: None) as sweep:
        data = sweep.play([plan])[0].data
    assert json.loads(file.read_text()) == data


def test_a_key_is_of_all_that_a_result_follows_from(small: Path) -> None:
    runs = [
        *planned(small, {}),
        *planned(small, {"seed": [8]}),
        *planned(small, {"settings.fill_period_ms": [1]}),
        *plans([small], ["random"], {}),
    ]
    assert len({key_of(plan) for plan in runs}) == len(runs)
    renamed = small.with_name("other.yaml")
    renamed.write_text(SMALL + "\nstart: 2026-01-05T08:00:00Z # the default\n")
    assert key_of(plans([renamed], ["mesh"], {})[0]) == key_of(runs[0])


def test_no_more_runs_are_kept_than_may_be_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_state, "MOST_KEPT", 2)
    kept = Kept(tmp_path)
    for number in range(4):
        kept.put(f"{number}", {"number": number})
        os.utime(tmp_path / f"{number}.json", (number, number))
    half = tmp_path / "9.1.fresh"
    half.write_text("{")
    kept.trim()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["3.json", "9.1.fresh"]
    os.utime(half, (0, 0))
    kept.put("4", {})
    kept.trim()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["3.json", "4.json"]


def test_a_run_whose_trace_is_gone_is_not_played(small: Path, tmp_path: Path) -> None:
    write(tmp_path / "t", [{"model": "a", "size_bytes": 1}], [{"t": 1, "m": "a"}])
    (plan,) = planned(small, {"traffic": [{"workload": "trace", "path": "t"}], "models": [{}]})
    (tmp_path / "t").unlink()
    with Sweep(None, lambda _: None) as sweep, pytest.raises(TraceError, match="/t: there is no such file"):
        sweep.play([plan])


def test_a_process_that_ends_between_two_calls_is_told_of(small: Path) -> None:
    with Sweep(None, lambda _: None, workers=2) as sweep:
        sweep.play(planned(small, {"seed": [1, 2]}))
        for child in active_children():
            child.kill()
            child.join()
        with pytest.raises(SweepBroken, match="a process that played a run was ended"):
            sweep.play(planned(small, {"seed": [3, 4]}))


def test_a_sweep_that_is_ended_leaves_neither_process_nor_thread(small: Path) -> None:
    before = set(enumerate_threads())

    def interrupted(step: Step) -> None:
        if active_children():
            raise KeyboardInterrupt

    for told in (interrupted, lambda _: None):
        with suppress(KeyboardInterrupt), Sweep(None, told, workers=2) as sweep:
            sweep.play(planned(small, {"seed": [1, 2]}))
        assert active_children() == []
        assert set(enumerate_threads()) <= before


def test_where_no_process_can_be_started_that_is_said(small: Path) -> None:
    plans_ = planned(small, {"seed": [1, 2]})
    key_of(plans_[0])  # reads what has to be read
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, files[1]))
    try:
        with Sweep(None, lambda _: None, workers=2) as sweep, pytest.raises(SweepBroken, match="no process can be"):
            sweep.play(plans_)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
