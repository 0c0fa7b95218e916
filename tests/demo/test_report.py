"""The demo's verdict, and the scenario that it makes of what happened."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from demo.client import Answer
from demo.live import Live, Outage
from demo.report import live_figures, problems, replayed_figures, show, simulated_figures
from demo.scrape import Counted
from demo.simulated import LEAD_S, Measured, scenario, simulated
from demo.traffic import Ask
from sim import read_scenario
from sim.scenario import Scenario

GOOD = {"wrong": 0, "failed": 0, "hit_rate": 0.8}
SAME = {"journals": 4, "commands": 1234, "differences": [], "gaps": 0}


def live() -> Live:
    """Four models, each asked for a hundred times by turns through two instances, of which one is away for a while."""
    answers = []
    for number in range(400):
        at_s = 0.05 * number
        instance = "a" if 8 <= at_s < 12 else "ab"[number % 2]
        answers.append(Answer(Ask(at_s, number // 2 % 4, 0), at_s, 0.01, instance))
    counted = {name: Counted() for name in "ab"}
    counted["a"].now = {"meshd_requests": 240.0, "meshd_hits": 236.0, "meshd_cold": 4.0}
    counted["b"].over = [{"meshd_requests": 80.0, "meshd_hits": 80.0}]
    counted["b"].now = {"meshd_requests": 80.0, "meshd_hits": 78.0, "meshd_cold": 2.0}
    return Live(answers, counted, Outage("b", 8.0, 10.5, 12.0))


def test_figures_are_of_all_runs_of_all_instances() -> None:
    figures = live_figures(live())
    assert figures["hit_rate"] == pytest.approx(394 / 400)
    assert (figures["requests"], figures["counted_requests"], figures["cold_starts"]) == (400, 400, 6)
    assert [row["requests"] for row in figures["instances"]] == [240, 160]
    assert figures["outage"]["requests_meanwhile"] == 80
    assert figures["outage"]["requests_after"] == 160


def test_the_scenario_has_every_request_where_and_when_it_was_sent(tmp_path: Path) -> None:
    tree = scenario(live(), Measured([1 << 20] * 4, 8 << 20, load_ms=6.6, service_ms=1.5))
    parsed = Scenario.model_validate(tree)
    assert parsed.traffic.at_ms[:2] == [LEAD_S * 1000, LEAD_S * 1000 + 50]
    assert parsed.traffic.models[:4] == [0, 0, 1, 1]
    assert parsed.traffic.instances is not None
    assert parsed.traffic.instances[:4] == [0, 1, 0, 1]
    assert parsed.runtime.load.base_ms == 7
    assert (parsed.restarts[0].instance, parsed.restarts[0].from_s) == ("instance-1", LEAD_S + 8)
    assert parsed.restarts[0].until_s == pytest.approx(LEAD_S + 12.05)  # the first request that came there again
    file = tmp_path / "scenario.yaml"
    figures = simulated_figures(simulated(tree, file))
    assert read_scenario(file) == parsed
    assert (figures["requests"], figures["failed"]) == (400, 0)
    assert figures["hit_rate"] > 0.97


def test_tables_are_whole_on_a_narrow_terminal(tmp_path: Path) -> None:
    shown = io.StringIO()
    figures = live_figures(live())
    tree = scenario(live(), Measured([1 << 20] * 4, 8 << 20, load_ms=7, service_ms=1.0))
    half = simulated_figures(simulated(tree, tmp_path / "scenario.yaml"))
    show(figures, half, SAME, Console(file=shown, width=80))
    assert "98.5%" in shown.getvalue()
    assert "b was taken down with SIGTERM after 8 s and was back 4 s later. 80" in shown.getvalue()
    assert "1,234 commands in 4 journals were decided again: all of them come out the" in shown.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown.getvalue()


def test_nothing_is_wrong_when_both_halves_agree() -> None:
    assert problems(GOOD, {"hit_rate": 0.849}, SAME) == []


@pytest.mark.parametrize(
    ("live_half", "hit_rate", "said"),
    [
        (GOOD | {"wrong": 2}, 0.8, "2 answers are not what scikit-learn says"),
        (GOOD | {"failed": 1}, 0.8, "1 requests failed"),
        (GOOD, 0.86, "the hit rates, 80.0% live and 86.0% simulated, are more than 5 points apart"),
        (
            GOOD | {"hit_rate": math.nan},
            0.8,
            "the hit rates, nan% live and 80.0% simulated, are more than 5 points apart",
        ),
    ],
)
def test_what_must_not_be_is_said(live_half: dict[str, float], hit_rate: float, said: str) -> None:
    assert problems(live_half, {"hit_rate": hit_rate}, SAME) == [said]


def test_a_decision_that_comes_out_otherwise_and_a_gap_are_problems() -> None:
    journal = {"file": "a.jsonl", "commands": 7, "gap": None, "difference": None}
    same = replayed_figures([journal, journal])
    assert same == {"journals": 2, "commands": 14, "differences": [], "gaps": 0}
    figures = replayed_figures([journal, {**journal, "difference": {"line": 5}}, {**journal, "gap": {}}])
    assert problems(GOOD, {"hit_rate": 0.8}, figures) == ["a.jsonl differs in line 5", "1 journals have a gap"]
    shown = io.StringIO()
    show(live_figures(live()), live_figures(live()), figures, Console(file=shown, width=80))
    assert "1 come out otherwise" in shown.getvalue()
