"""The plots of a report, as plotly's plain values: data and layout, the same for the same runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.metrics import METRICS, Unit
from sim.world import Result

COLOURS = ("#2f6f9f", "#d1792b", "#3f8f5f", "#b0413e", "#7b62a3", "#8a6d4b", "#c0639a", "#5b6770")
"""One for each run that is drawn; of more runs the first are."""
GREY, FAINT, INK = "#8b97a3", "#e6eaee", "#26323d"
WARM_UP = "rgba(139, 151, 163, 0.13)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

CAUSES = {"local": "hit, local", "forwarded": "hit, forwarded", "retried": "hit, retried", "cold": "wait for a load"}


@dataclass(frozen=True, slots=True)
class Plot:
    """``key`` is its place on the page; ``note`` says how to read it."""

    key: str
    title: str
    note: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """What all plots have in common; axes with their units."""
    axis = {"gridcolor": FAINT, "linecolor": GREY, "zeroline": False, "ticks": "outside", "tickcolor": FAINT}
    axis |= {"automargin": True}
    return {
        "height": 260,
        "margin": {"l": 56, "r": 16, "t": 8, "b": 44},
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "x unified",
        "colorway": list(COLOURS),
        "xaxis": {**axis, "title": {"text": x, "standoff": 8}, "showgrid": False, **more.pop("xaxis", {})},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, "rangemode": "tozero", **more.pop("yaxis", {})},
        **more,
    }


def time_unit(duration_s: float) -> tuple[float, str]:
    """What time axes count in: seconds, and the word."""
    if duration_s < 600:
        return 1.0, "s"
    return (60.0, "min") if duration_s < 6 * 3600 else (3600.0, "h")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot over time: where it is in ``series``, and by what it is multiplied."""

    name: str
    series: str
    factor: float = 1.0
    is_rate: bool = False
    dash: str = "solid"


OVER_TIME: Sequence[tuple[str, str, str, str, tuple[Line, ...]]] = (
    ("requests", "Requests", "a second, by arrival", "requests /s", (Line("requests", "requests", is_rate=True),)),
    ("hit-rate", "Hit rate", "answers that did not wait for a load", "%", (Line("hit rate", "hit_rate", 100),)),
    ("cold", "Cold starts", "a second, by arrival", "cold starts /s", (Line("cold", "cold_starts", is_rate=True),)),
    ("p99", "Latency, 99 %", "of all answers, by arrival", "ms", (Line("p99", "p99_ms"),)),
    (
        "loads",
        "Loads and evictions",
        "a second; evictions are dotted",
        "/s",
        (Line("loads", "loads", is_rate=True), Line("evictions", "evictions", is_rate=True, dash="dot")),
    ),
    ("memory", "Memory in use", "of all instances' together", "%", (Line("memory", "memory", 100),)),
    ("copies", "Copies of a model", "on average, of models that have any", "copies", (Line("copies", "copies"),)),
    ("failures", "Failures", "a second, by arrival", "failures /s", (Line("failures", "failures", is_rate=True),)),
)


def over_time(results: Mapping[str, Result], warmups_s: Sequence[float]) -> list[Plot]:
    """A plot for each series, a line in it for each run; the warm-up is shaded where it is the same for all."""
    drawn = list(results.items())[: len(COLOURS)]
    longest_s = max(result.data["series"]["interval_s"] * len(result.data["series"]["loads"]) for _, result in drawn)
    unit_s, unit = time_unit(longest_s)
    warmup_s = warmups_s[0] if len(set(warmups_s)) == 1 else 0.0
    shaded = {"type": "rect", "xref": "x", "yref": "paper", "x0": 0, "x1": warmup_s / unit_s, "y0": 0, "y1": 1}
    shapes = [{**shaded, "fillcolor": WARM_UP, "line": {"width": 0}, "layer": "below"}] if warmup_s else []
    plots = []
    for key, title, note, axis, lines in OVER_TIME:
        traces = []
        for number, (label, result) in enumerate(drawn):
            series = result.data["series"]
            step = series["interval_s"]
            for line in lines:
                factor = line.factor / (step if line.is_rate else 1)
                values = [None if each is None else round(each * factor, 4) for each in series[line.series]]
                name = label if len(lines) == 1 and len(drawn) > 1 else f"{label} {line.name}"
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines+markers" if _has_lone(values) else "lines",
                        "marker": {"size": 4},
                        "name": name if len(drawn) > 1 else line.name,
                        "x": [round((at + 0.5) * step / unit_s, 4) for at in range(len(values))],
                        "y": values,
                        "line": {"color": COLOURS[number], "width": 1.6, "dash": line.dash},
                    }
                )
        yaxis = {"range": [0, 102]} if axis == "%" else {}
        xaxis = {"range": [0, longest_s / unit_s]}
        plots.append(
            Plot(key, title, note, traces, layout(f"time, {unit}", axis, xaxis=xaxis, yaxis=yaxis, shapes=shapes))
        )
    return plots


def _has_lone(values: Sequence[float | None]) -> bool:
    """Whether there is a value between two that are missing: no line leads to it."""
    around = [None, *values, None]
    return any(
        here is not None and before is None and after is None
        for before, here, after in zip(around, around[1:], around[2:], strict=False)
    )


def latency(results: Mapping[str, Result]) -> Plot:
    """From the median to 99 %, by cause and run; on a logarithmic axis, because causes differ by the hundred."""
    drawn = list(results.items())[: len(COLOURS)]
    causes = [cause for cause in CAUSES if any(each.data["latency_ms"][cause]["count"] for _, each in drawn)]
    data = []
    for number, (label, result) in enumerate(drawn):
        found = [result.data["latency_ms"][cause] for cause in causes]
        down = [round(each["p99"] - each["p50"], 2) for each in found]
        bar: dict[str, Any] = {"type": "data", "symmetric": False, "array": [0] * len(down), "arrayminus": down}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": [CAUSES[cause] for cause in causes],
                "y": [each["p99"] if each["count"] else None for each in found],
                "text": [f"median {each['p50']:,.1f} ms, 99 % {each['p99']:,.1f} ms" for each in found],
                "hovertemplate": "%{text}",
                "marker": {"color": COLOURS[number], "size": 9},
                "error_y": bar | {"color": COLOURS[number], "thickness": 3, "width": 5},
            }
        )
    ticks = [step * 10.0**power for power in range(-2, 8) for step in (1, 3)]
    yaxis = {"type": "log", "rangemode": "normal", "tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}
    shape = layout("", "ms", yaxis=yaxis, xaxis={"type": "category"}, scattermode="group", height=300)
    return Plot(
        "latency", "From the median to 99 %", "of the answers of each cause; the axis is logarithmic", data, shape
    )


def instances(result: Result) -> list[Plot]:
    """What each instance was asked and did, and how full it is at the end: bars."""
    rows = result.data["instances"]
    names = [row["instance"] for row in rows]
    ticks = {"showticklabels": len(names) <= 24, "type": "category"}

    def bars(key: str, title: str, note: str, axis: str, columns: Mapping[str, Sequence[float]]) -> Plot:
        data = [
            {"type": "bar", "name": name, "x": names, "y": list(values), "marker": {"color": colour}}
            for (name, values), colour in zip(columns.items(), (COLOURS[0], "#a9c6da"), strict=False)
        ]
        shape = layout(f"{len(names)} instances", axis, xaxis=ticks, barmode="group", bargap=0.3)
        return Plot(key, title, note, data, shape)

    served, full = [row["served"] for row in rows], [_part(row) for row in rows]
    loads, evictions = [row["loads"] for row in rows], [row["evictions"] for row in rows]
    return [
        bars("served", "Requests by instance", "that its runtime worked on", "requests", {"served": served}),
        bars(
            "instance-loads",
            "Loads and evictions by instance",
            "evictions are lighter",
            "count",
            {"loads": loads, "evictions": evictions},
        ),
        bars("instance-memory", "Memory by instance", "in use at the end", "%", {"memory": full}),
    ]


def _part(row: Mapping[str, Any]) -> float:
    part: float = round(100 * row["used_bytes"] / max(1, row["capacity_bytes"]), 2)
    return part


def by_value(axis: str, lines: Mapping[str, Sequence[tuple[float, Result]]], names: Sequence[str]) -> list[Plot]:
    """Metrics over a value that was set: a line for each combination of the other values."""
    values = sorted({at for points in lines.values() for at, _ in points})
    ticks = {"tickvals": values} if len(values) <= 10 else {}
    plots = []
    for name in names:
        metric = METRICS[name]
        factor = 100 if metric.unit is Unit.PART else 1
        data = []
        for (label, points), colour in zip(lines.items(), COLOURS, strict=False):
            found = [metric.of(result.data) for _, result in points]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": label or metric.title,
                    "x": [at for at, _ in points],
                    "y": [None if value is None else round(value * factor, 4) for value in found],
                    "line": {"color": colour, "width": 1.6},
                    "marker": {"size": 6},
                }
            )
        title = metric.title[0].upper() + metric.title[1:]
        shape = layout(axis, metric.unit.value or "count", xaxis=ticks)
        plots.append(Plot(f"by-{name.replace('_', '-')}", title, "", data, shape))
    return plots
