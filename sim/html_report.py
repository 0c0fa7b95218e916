"""A report on runs: what was asked, what was seen, how it went over time, and what was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sim.html import folded, grid, legend, page, section, table
from sim.html_plots import CAUSES, Plot, by_value, instances, latency, over_time
from sim.metrics import METRICS, Unit, shown
from sim.report import COMPARED, MIB
from sim.sweep_paths import Plan, labels, not_defaults, numbered, written
from sim.world import Result

MOST_ROWS = 200
"""Of a table of instances."""
HEADLINES = ("hit_rate", "cold_starts", "cold_start_wait_p99", "latency_p99", "failed", "evictions", "memory_used")
BY_VALUE = ("hit_rate", "cold_starts", "cold_start_wait_p99", "latency_p99", "evictions", "memory_used")


def report(planned: Sequence[Plan], played: Sequence[Result], script: str) -> str:
    """The page on these runs; ``script`` is what ``plotly_js`` gave."""
    results = dict(zip(numbered(labels(planned)), played, strict=True))
    questions = list(dict.fromkeys(plan.question for plan in planned))
    title = questions[0] if len(questions) == 1 else f"{len(planned)} runs of {len(questions)} scenarios"
    parts = [_head(title, planned, questions)]
    if len(played) == 1:
        parts.append(_cards(played[0]))
    else:
        parts += [legend(list(results), "runs are drawn over time"), section("Comparison", table(*_compared(results)))]
        parts += _swept(planned, played)
    parts.append(section("Over time", grid(over_time(results, [plan.scenario.warmup_s for plan in planned]))))
    parts.append(section("Latency by cause", grid([latency(results)], is_wide=True), _latency_table(results)))
    parts.append(section("Instances", *_instances(results)))
    parts.append(section("What was set", _settings(planned, list(results))))
    return page(title, parts, script)


def _head(title: str, planned: Sequence[Plan], questions: Sequence[str]) -> str:
    files = list(dict.fromkeys(plan.source for plan in planned))
    rules, seeds = (list(dict.fromkeys(each)) for each in (
        (plan.rules for plan in planned), (str(plan.scenario.seed) for plan in planned),
    ))  # fmt: skip
    about = [("scenario", files), ("rules", rules), ("seed", seeds)]
    spans = list(dict.fromkeys(f"{p.scenario.duration_s:,g} s, warm-up {p.scenario.warmup_s:,g} s" for p in planned))
    about.append(("simulated", spans))
    facts = "".join(f"<span><b>{name}</b> {escape(', '.join(items[:6]))}</span>" for name, items in about)
    asked = "".join(f"<li>{escape(question)}</li>" for question in questions) if len(questions) > 1 else ""
    return (
        f'<header><h1>{escape(title)}</h1><p class="facts">{facts}</p>{f"<ul>{asked}</ul>" if asked else ""}</header>'
    )


def _cards(result: Result) -> str:
    cards = []
    for name in HEADLINES:
        metric = METRICS[name]
        value = shown(metric.of(result.data), metric.unit)
        cards.append(f'<div class="card"><span>{escape(metric.title)}</span><b>{escape(value)}</b></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _compared(results: Mapping[str, Result]) -> tuple[list[str], list[list[str]]]:
    """Runs as columns, or as rows where they are many."""
    if len(results) <= 6:
        rows = [
            [metric.title, *(shown(metric.of(each.data), metric.unit) for each in results.values())]
            for metric in COMPARED
        ]
        return ["", *results], rows
    chosen = [METRICS[name] for name in ("answered", *HEADLINES)]
    return ["", *(metric.title for metric in chosen)], [
        [label, *(shown(metric.of(each.data), metric.unit) for metric in chosen)] for label, each in results.items()
    ]


def _swept(planned: Sequence[Plan], played: Sequence[Result]) -> list[str]:
    """Plots over each path that numbers were set for."""
    found = []
    for path in dict.fromkeys(path for plan in planned for path in plan.changes):
        values = [plan.changes.get(path) for plan in planned]
        numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(numbers) < len(values) or len(set(numbers)) < 2:
            continue
        others = numbered_by(planned, path)
        lines: dict[str, list[tuple[float, Result]]] = {}
        for at, other, result in zip(numbers, others, played, strict=True):
            lines.setdefault(other, []).append((at, result))
        for points in lines.values():
            points.sort(key=lambda point: point[0])
        plots = by_value(path, lines, BY_VALUE)
        keyed = [Plot(f"{path}-{plot.key}", plot.title, plot.note, plot.data, plot.layout) for plot in plots]
        found.append(
            section(f"By {path}", legend(list(lines), "lines are drawn") if len(lines) > 1 else "", grid(keyed))
        )
    return found


def numbered_by(planned: Sequence[Plan], path: str) -> list[str]:
    """What tells runs apart but for the value of ``path``."""
    without = [
        Plan(plan.source, plan.question, plan.rules, plan.scenario,
             {name: value for name, value in plan.changes.items() if name != path})
        for plan in planned
    ]  # fmt: skip
    return labels(without)


def _latency_table(results: Mapping[str, Result]) -> str:
    rows = []
    for label, result in results.items():
        for cause, found in result.data["latency_ms"].items():
            cells = [f"{found['count']:,}", *(f"{found[part]:,.2f}" for part in ("p50", "p95", "p99", "p999", "max"))]
            name = CAUSES.get(cause, cause)
            rows.append([*([label] if len(results) > 1 else []), name, *(cells if found["count"] else ["0", *"-----"])])
    heads = [
        *(["run"] if len(results) > 1 else []),
        "cause",
        "answers",
        "median ms",
        "95 %",
        "99 %",
        "99.9 %",
        "slowest",
    ]
    return folded(table(heads, rows), "table", len(results) == 1)


def _instances(results: Mapping[str, Result]) -> list[str]:
    heads = ["instance", "models", "memory MiB", "of", "came", "hit rate", "served", "loads", "failures", "evictions"]
    found = [grid(instances(next(iter(results.values()))))] if len(results) == 1 else []
    for label, result in results.items():
        rows = [
            [
                row["instance"], f"{row['models']:,}", f"{row['used_bytes'] // MIB:,}",
                f"{row['capacity_bytes'] // MIB:,}", f"{row['answered']:,}", shown(row["hit_rate"], Unit.PART),
                f"{row['served']:,}", f"{row['loads']:,}", f"{row['load_failures']:,}", f"{row['evictions']:,}",
            ]
            for row in result.data["instances"][:MOST_ROWS]
        ]  # fmt: skip
        more = len(result.data["instances"]) - len(rows)
        note = f"<p>and {more:,} more</p>" if more > 0 else ""
        found.append(folded(table(heads, rows) + note, label if len(results) > 1 else "table", len(rows) <= 12))
    return found


def _setting(path: str, value: object) -> str:
    """A value as a person writes it: sizes in MiB where they are whole ones."""
    if isinstance(value, int) and value >= MIB and value % MIB == 0 and path != "seed":
        return f"{value // MIB:,} MiB"
    return written(value)


def _settings(planned: Sequence[Plan], names: Sequence[str]) -> str:
    """What scenarios set otherwise than by default: what differs between runs first."""
    each = [not_defaults(plan.scenario) for plan in planned]
    paths = list(dict.fromkeys(path for found in each for path in found))
    texts = {path: [_setting(path, found[path]) if path in found else "default" for found in each] for path in paths}
    differ = [path for path in paths if len(set(texts[path])) > 1]
    alike = [[path, texts[path][0]] for path in paths if path not in differ]
    parts = []
    if differ:
        parts.append(
            table(["run", *differ], [[name, *(texts[path][at] for path in differ)] for at, name in enumerate(names)])
        )
    note = "<p>All that is not the default, in every run.</p>" if differ else "<p>All that is not the default.</p>"
    return "".join(parts) + note + table(["key", "value"], alike, "plain")
