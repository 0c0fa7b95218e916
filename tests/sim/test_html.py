"""The report: the same bytes every time, nothing that breaks out of it, and every plot drawn without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sim.html import NoPlotly, plotly_js
from sim.html_report import MOST_ROWS, report
from sim.reading import parse_tree
from sim.sweep_paths import Plan, Source, plan
from sim.world import Result, run
from tests.omitted import omit
from tests.sim.small import SMALL

SOURCE = Source("small.yaml", "Is <b>it</b> small?", parse_tree(SMALL, "small.yaml"), SMALL)
WRITES = """
import sys, sim
from tests.sim.test_html import pages
sys.stdout.write("".join(pages("")))
"""
SCRIPT_TAG = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def runs() -> tuple[list[Plan], list[Result]]:
    planned = [plan(SOURCE, "mesh", {"instances.count": count}) for count in (2, 3)]
    return planned, [run(each.scenario) for each in planned]


def pages(script: str) -> list[str]:
    """A report on one run, and one on several."""
    planned, results = runs()
    return [report(planned[:1], results[:1], script), report(planned, results, script)]


def test_the_same_runs_give_the_same_bytes_whatever_the_hash_seed() -> None:
    outs = [
        subprocess.run(
            [sys.executable, "-c", WRITES], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.decode()
        for seed in ("1", "2")
    ]
    assert outs[0] == outs[1] == "".join(pages(""))


def test_a_page_names_nothing_that_would_have_to_be_fetched() -> None:
    for text in pages(""):
        named = re.findall(r"""(?:src|href)\s*=\s*["']?([^"' >]*)|url\(([^)]*)\)|@import""", text)
        assert named == [("data:,", "")]


def test_what_a_file_says_does_not_become_a_part_of_the_page() -> None:
    """The question is text, and no name in the plots' values ends their script."""
    planned, results = runs()
    named = [Plan("</script><b>.yaml", each.question, each.rules, each.scenario, each.changes) for each in planned]
    for text in (*pages(""), report([*named, *planned], [*results, *results], "")):
        assert "<b>it</b>" not in text
        assert "&lt;b&gt;it&lt;/b&gt;" in text
        assert all("<b>.yaml" not in inner for inner in SCRIPT_TAG.findall(text))
    assert "&lt;/script&gt;&lt;b&gt;" in report(named[:1], results[:1], "")


def test_a_page_has_figures_plots_causes_instances_and_what_was_set() -> None:
    one, several = pages("")
    for text in (one, several):
        heads = re.findall(r"<h2>(.*?)</h2>", text)
        assert heads[-4:] == ["Over time", "Latency by cause", "Instances", "What was set"]
        ids = re.findall(r'<div id="(plot-[^"]+)"', text)
        assert len(ids) == len(set(ids)) == text.count("plots.push(")
    assert 'class="card"' in one
    assert re.findall(r"<h2>(.*?)</h2>", several)[:2] == ["Comparison", "By instances.count"]
    assert "<td>traffic.requests_per_s</td><td>20.0</td>" in one
    assert "<td>count=3</td><td>3</td>" in several


def test_a_long_table_of_instances_says_how_many_it_leaves_out() -> None:
    planned, results = runs()
    rows = results[0].data["instances"] * MOST_ROWS
    text = report(planned[:1], [Result({**results[0].data, "instances": rows}, None)], "")
    assert f"and {len(rows) - MOST_ROWS:,} more" in text


def test_without_plotly_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(NoPlotly, match=r'pip install "meshd\[report\]"'):
        plotly_js()


@pytest.mark.parametrize("number", [0, 1], ids=["one run", "several"])
def test_a_browser_draws_every_plot_without_an_error_and_without_a_network(number: int, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        omit("no chromium")
    file = tmp_path / "report.html"
    file.write_text(pages(plotly_js())[number], encoding="utf-8")
    shown = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert [line for line in shown.stderr.splitlines() if ":CONSOLE" in line] == []
    page = shown.stdout[shown.stdout.index("<main>") : shown.stdout.index("</main>")]
    plots = page.split("<figure>")[1:]
    assert len(plots) > 8
    assert [plot for plot in plots if 'class="main-svg"' not in plot] == []
