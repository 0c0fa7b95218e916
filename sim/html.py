"""A page of plots and tables as one HTML file that needs no network; the same parts give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from sim.html_plots import COLOURS, Plot


class NoPlotly(Exception):
    """The library that draws is not installed."""


def plotly_js() -> str:
    """The script that draws; raises NoPlotly."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise NoPlotly('a report needs plotly: pip install "meshd[report]", or plotly>=5.20') from None
    script: str = get_plotlyjs()
    return script


def section(title: str, *parts: str) -> str:
    """A part of the page under its heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table: the first column to the left, numbers to the right."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(inner: str, title: str, is_open: bool) -> str:
    """What is shown when it is asked for."""
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{inner}</details>"


def grid(plots: Sequence[Plot], is_wide: bool = False) -> str:
    """Plots beside each other, drawn when the page is there."""
    figures = [
        f"<figure><figcaption><b>{escape(plot.title)}</b> {escape(plot.note)}</figcaption>"
        f'<div id="plot-{escape(plot.key)}"></div>{_drawn(plot)}</figure>'
        for plot in plots
    ]
    return f'<div class="grid{" wide" if is_wide else ""}">{"".join(figures)}</div>'


def legend(names: Sequence[str], are_drawn: str) -> str:
    """The colour of each; of more than there are colours the first."""
    chips = [
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(names, COLOURS, strict=False)
    ]
    note = f"<span>the first {len(chips)} of {len(names)} {are_drawn}</span>" if len(names) > len(chips) else ""
    return f'<p class="legend">{"".join(chips)}{note}</p>'


def _drawn(plot: Plot) -> str:
    """The plot's values, out of reach of whatever names of models or files hold."""
    values = [f"plot-{plot.key}", plot.data, plot.layout]
    text = json.dumps(values, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")
    return f"<script>plots.push({text})</script>"


def page(title: str, parts: Sequence[str], script: str) -> str:
    """The whole file."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style><script>const plots = []</script></head>\n"
        f"<body><main>\n{chr(10).join(parts)}\n</main>\n"
        f"<script>{script}</script>\n<script>{DRAW}</script></body></html>\n"
    )


DRAW = """
for (const [id, data, layout] of plots)
  Plotly.newPlot(id, data, layout, {displayModeBar: false, responsive: true});
"""

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f5f7f9; color: #26323d; line-height: 1.45;
  font: 15px/1.45 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 10px; max-width: 32em; }
h2 { font-size: 18px; margin: 0 0 12px; }
header ul { margin: 8px 0 0; padding-left: 1.2em; }
.facts, .legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 0 0 18px; color: #566472; font-size: 14px; }
.facts b { font-weight: 600; color: #26323d; }
.legend i { display: inline-block; width: 18px; height: 3px; margin: 0 7px 3px 0; border-radius: 2px; }
section { background: #fff; border: 1px solid #e1e6ea; border-radius: 8px; padding: 18px 20px; margin: 0 0 18px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin: 0 0 18px; }
.card { background: #fff; border: 1px solid #e1e6ea; border-radius: 8px; padding: 12px 14px; }
.card span { display: block; color: #566472; font-size: 13px; }
.card b { font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px 26px; }
.grid.wide { grid-template-columns: 1fr; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 13px; color: #566472; margin: 0 0 2px; }
figcaption b { color: #26323d; font-size: 14px; font-weight: 600; margin-right: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; min-width: 50%; }
th, td { text-align: right; padding: 5px 12px; border-bottom: 1px solid #edf0f3; white-space: nowrap; }
th { color: #566472; font-weight: 600; border-bottom-color: #cfd6dc; }
th:first-child, td:first-child, .plain th, .plain td { text-align: left; padding-left: 0; }
.plain td:last-child { white-space: normal; }
td:first-child { white-space: pre; }
details { margin: 14px 0 0; }
summary { cursor: pointer; color: #2f6f9f; font-size: 14px; margin: 0 0 6px; }
p { margin: 10px 0; color: #566472; font-size: 14px; }
"""
