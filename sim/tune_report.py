"""What tuning found, for people: a table, what decides, what one step more buys, and a page with the curve."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sim.html import grid, page, section, table
from sim.html_plots import COLOURS, GREY, Plot, layout
from sim.metrics import METRICS, Unit, shown
from sim.report import aligned
from sim.tune import COUNT, Answer, Point

GIB = 1 << 30
BOUGHT = ("cold_starts", "hit_rate", "cold_start_wait_p99", "latency_p99", "evictions", "memory_used")
"""Metrics that are told of one step more."""


def as_table(answer: Answer) -> str:
    """All sizes that were played, and what follows."""
    heads, rows = columns(answer)
    lines = [*aligned([heads, *rows]), "", *verdict(answer)]
    if bought := _bought(answer):
        lines += ["", *aligned([("one step more", *bought[0]), *bought[1]])]
    return "".join(f"{line}\n" for line in lines)


def columns(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """A row for each size: means over the seeds, of what is limited the worst."""
    slos = answer.question.slos
    heads = [unit(answer), "memory", "hit rate", "cold starts", *(slo.text for slo in slos), "met"]
    rows = [
        [
            sized(answer, point),
            f"{point.memory_bytes / GIB:,.2f} GiB",
            shown(point.mean(METRICS["hit_rate"].of), Unit.PART),
            _whole(point.mean(METRICS["cold_starts"].of)),
            *(shown(point.worst(slo), slo.metric.unit) for slo in slos),
            "yes" if point.is_met else "no",
        ]
        for point in answer.points.values()
    ]
    return heads, rows


def unit(answer: Answer) -> str:
    """What is counted."""
    return "instances" if answer.question.path == COUNT else "capacity of each"


def sized(answer: Answer, point: Point) -> str:
    """A size, as a person says it."""
    return f"{point.value:,}" if answer.question.path == COUNT else f"{point.value / GIB:,.3f} GiB"


def verdict(answer: Answer) -> list[str]:
    """What was found and why, a sentence each."""
    question, found = answer.question, answer.found
    seeds = f"{question.seeds} seeds" if question.seeds > 1 else "one seed"
    if found is None:
        return _not_met(answer)
    lines = [f"{sized(answer, found)} {_of(answer)} is the least that meets all limits with {seeds}."]
    if (before := answer.before) is not None:
        lines += [f"With {sized(answer, before)} {_of(answer)}, {missed}." for missed in before.missed]
    else:
        lines.append("It is the smallest fleet that there can be.")
    if answer.exceptions:
        sizes = ", ".join(f"{sized(answer, each)} {'meets' if each.is_met else 'misses'}" for each in answer.exceptions)
        lines.append(f"More is not always better here: {sizes} all limits. Look at the curve, and try more seeds.")
    return lines


def _bought(answer: Answer) -> tuple[list[str], list[list[str]]] | None:
    """What one step more buys: both sizes, and a row for each metric; None: it was not played."""
    found, after = answer.found, answer.after
    if found is None or after is None:
        return None
    rows = []
    for metric in (METRICS[name] for name in BOUGHT):
        values = [shown(_tidy(point.mean(metric.of)), metric.unit) for point in (found, after)]
        rows.append([metric.title, *values])
    return [f"{sized(answer, point)} {_of(answer)}" for point in (found, after)], rows


def _not_met(answer: Answer) -> list[str]:
    """Why no size is enough: what the largest misses, and whether more still helped."""
    points = list(answer.points.values())
    last = points[-1]
    lines = [f"No size up to {sized(answer, last)} {_of(answer)} meets all limits."]
    lines += [f"With {sized(answer, last)} {_of(answer)}, {missed}." for missed in last.missed]
    earlier = points[-2] if len(points) > 1 else None
    for slo in answer.question.slos:
        if earlier is None or all(slo.is_met(result.data) for result in last.results):
            continue
        if earlier.worst(slo) == last.worst(slo):
            value = shown(last.worst(slo), slo.metric.unit)
            lines.append(
                f"It is {value} with {sized(answer, earlier)}, too: more does not help. The first request for a model"
                " waits for its load whatever the size; a longer warmup_s leaves those out."
                if "cold" in slo.name or slo.name == "hit_rate"
                else f"It is {value} with {sized(answer, earlier)}, too: more does not help."
            )
        else:
            lines.append(f"More still helps {slo.name}: --most allows larger sizes.")
    return lines


def _of(answer: Answer) -> str:
    return "instances" if answer.question.path == COUNT else "of each instance"


def _tidy(value: float | None) -> float | None:
    """A mean of counts with at most one decimal; all others are rounded where they are shown."""
    return value if value is None or value < 1 else round(value, 1)


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def report(answer: Answer, script: str) -> str:
    """The page: what was found, the curve over the sizes, and all sizes in a table."""
    question = answer.question
    about = f"{question.source.name}, rules {question.rules}, {question.seeds} seeds, {question.path} varied"
    bought = _bought(answer)
    more = table(["one step more", *bought[0]], bought[1]) if bought else ""
    said = section("What was found", _lines([about, *verdict(answer)]), more)
    heads, rows = columns(answer)
    note = _lines(["What is limited is that of the worst seed, the rest is a mean."])
    parts = [
        f"<header><h1>{escape(question.source.question)}</h1></header>",
        said,
        section("By size", grid(_curves(answer))),
        section("All sizes that were played", table(heads, rows), note),
    ]
    return page(question.source.question, parts, script)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _curves(answer: Answer) -> list[Plot]:
    """Hit rate, cold starts and each limited metric over the sizes; the limit is dashed."""
    points = list(answer.points.values())
    scale = 1 if answer.question.path == COUNT else GIB
    axis = "instances" if answer.question.path == COUNT else "capacity of each instance, GiB"
    x = [round(point.value / scale, 4) for point in points]
    names = list(dict.fromkeys(["hit_rate", "cold_starts", *(slo.name for slo in answer.question.slos)]))
    plots = []
    for name in names:
        metric = METRICS[name]
        factor = 100 if metric.unit is Unit.PART else 1
        slos = [slo for slo in answer.question.slos if slo.name == name]
        values = [point.worst(slos[0]) if slos else point.mean(metric.of) for point in points]
        line = {
            "type": "scatter",
            "mode": "lines+markers",
            "name": metric.title,
            "x": x,
            "y": [None if value is None else round(value * factor, 4) for value in values],
            "line": {"color": COLOURS[0], "width": 1.6},
            "marker": {"size": 8, "color": [COLOURS[2] if point.is_met else COLOURS[3] for point in points]},
        }
        shapes = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": slo.limit * factor, "y1": slo.limit * factor,
             "line": {"color": GREY, "width": 1.5, "dash": "dash"}}
            for slo in slos
        ]  # fmt: skip
        title = metric.title[0].upper() + metric.title[1:]
        note = "green: all limits are met" + ("; dashed: the limit" if slos else "")
        shape = layout(axis, metric.unit.value or "count", shapes=shapes)
        plots.append(Plot(f"size-{name.replace('_', '-')}", title, note, [line], shape))
    return plots
