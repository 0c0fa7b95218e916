"""Runs as tables, values and lines for a spreadsheet."""

from __future__ import annotations

import csv
from functools import cache
from io import StringIO
from pathlib import Path

from sim.metrics import METRICS
from sim.reading import parse_tree
from sim.report import SIDE_BY_SIDE, as_comparison, as_csv, as_table, as_values
from sim.sweep_paths import Plan, Source, plan
from sim.world import Result, run
from tests.sim.small import SMALL

SOURCE = Source(str(Path("some") / "small.yaml"), "Is it small?", parse_tree(SMALL, "small.yaml"), SMALL)


@cache
def played() -> tuple[Plan, Result]:
    planned = plan(SOURCE, "mesh", {"seed": 9})
    return planned, run(planned.scenario)


def test_a_run_has_a_line_with_every_metric() -> None:
    planned, result = played()
    rows = list(csv.DictReader(StringIO(as_csv([planned, plan(SOURCE, "random", {})], [result, result]))))
    assert list(rows[0]) == ["scenario", "rules", "seed", *METRICS]
    first, second = rows
    assert (first["scenario"], first["rules"], first["seed"]) == (SOURCE.name, "mesh", "9")
    assert (second["rules"], second["seed"]) == ("random", "7")
    for name, metric in METRICS.items():
        value = metric.of(result.data)
        assert first[name] == ("" if value is None else str(value))


def test_values_that_were_set_have_a_column_each() -> None:
    planned, result = played()
    other = plan(SOURCE, "mesh", {"instances.capacity": "32 MiB", "settings.fill_period_ms": 5})
    head, first, second = csv.reader(StringIO(as_csv([planned, other], [result, result])))
    at = head.index("instances.capacity")
    assert (first[at : at + 2], second[at : at + 2]) == (["", ""], ["32 MiB", "5"])


def test_runs_are_columns_and_many_of_them_lines() -> None:
    _, result = played()
    few = as_comparison({f"run-{number}": result for number in range(SIDE_BY_SIDE)}).splitlines()
    many = as_comparison({f"run-{number}": result for number in range(SIDE_BY_SIDE + 1)}).splitlines()
    assert few[0].split() == [f"run-{number}" for number in range(SIDE_BY_SIDE)]
    assert [line.split()[0] for line in many[1:]] == [f"run-{number}" for number in range(SIDE_BY_SIDE + 1)]
    answered = f"{result.data['answered']:,}"
    assert few[1].split() == ["answered", *[answered] * SIDE_BY_SIDE]
    assert many[1].split()[1] == answered


def test_a_summary_names_what_was_set() -> None:
    planned, result = played()
    assert as_values([planned], [result]) == [
        {"scenario": SOURCE.name, "rules": "mesh", "set": {"seed": 9}, **result.data}
    ]


def test_the_table_has_all_that_was_counted() -> None:
    _, result = played()
    store, lines = result.data["store"], as_table(result).splitlines()
    writes = f"{store['commits']:,} of models, {store['publishes']:,} of instances, {store['conflicts']:,} conflicts"
    assert any(line.split("  ")[0] == "writes to the store" and line.endswith(writes) for line in lines)
    causes = lines[lines.index("") + 2 :][: len(result.data["latency_ms"])]
    assert [line.split()[0] for line in causes] == [*result.data["latency_ms"]]
