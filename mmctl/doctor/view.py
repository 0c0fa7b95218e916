"""Findings as people and programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap

from mmctl.doctor.check import Told
from mmctl.doctor.finding import Finding, Level
from mmctl.output import GAP, Cell, Column, View, show_table
from mmctl.progress import Progress
from mmctl.sizes import shortened

WIDE, NARROWEST = 120, 30
"""From this width of a terminal on there is a column for where; texts get as much as this in any case."""

_STYLES = {Level.OK: "green", Level.NOTE: "", Level.WARNING: "yellow", Level.PROBLEM: "red"}

FINDINGS: View[Finding] = View(
    columns=(
        Column("LEVEL", lambda finding: Cell(finding.level.value, _STYLES[finding.level])),
        Column("CHECK", lambda finding: finding.check),
        Column("WHERE", lambda finding: finding.where or "-"),
        Column("WHAT", lambda finding: finding.what),
        Column("DO", lambda finding: finding.do or "-"),
    ),
    plain=lambda finding: {name: str(getattr(finding, name)) for name in ("check", "level", "where", "what", "do")},
    name=lambda finding: finding.check,
    nothing="nothing was looked at",
)


def describe(findings: Sequence[Finding], width: int | None) -> None:
    """A table for people: what to do stands below what was found, and what several checks say is said once.

    ``width``: characters on a line of the terminal, into which texts are broken; None: it is none.
    """
    checks: dict[Finding, list[str]] = {}
    for finding in findings:
        checks.setdefault(replace(finding, check=""), []).append(finding.check)
    has_where = width is None or width >= WIDE
    left = [
        [finding.level.value, shortened(list(dict.fromkeys(names)), 2), *([finding.where or "-"] if has_where else [])]
        for finding, names in checks.items()
    ]
    taken = sum(max(map(len, column)) + len(GAP) for column in zip(*left, strict=True))
    rows = []
    for cells, finding in zip(left, checks, strict=True):
        what = finding.what if has_where or not finding.where else f"{finding.where}: {finding.what}"
        said = [(line, "") for line in _lines(what, width, taken)]
        said += [(line, "bold") for line in _lines(f"do: {finding.do}", width, taken) if finding.do]
        for at, (line, style) in enumerate(said):
            begin = cells if at == 0 else [""] * len(cells)
            level = Cell(begin[0], _STYLES[finding.level])
            rows.append([level, *map(Cell, begin[1:]), Cell(line, style)])
    titles = ("LEVEL", "CHECK", "WHERE", "WHAT") if has_where else ("LEVEL", "CHECK", "WHAT")
    show_table([Column(title, str) for title in titles], rows)


def _lines(text: str, width: int | None, taken: int) -> list[str]:
    if width is None:
        return [text]
    return wrap(text, max(NARROWEST, width - taken), break_on_hyphens=False) or [""]


def teller(progress: Progress) -> Told:
    """Shows on a terminal what is still being looked at."""

    def told(name: str, left: Sequence[str]) -> None:
        progress.waiting(f"{name} is done; {len(left)} to go: {shortened(left)}" if left else f"{name} is done")

    return told


def summary(findings: Sequence[Finding]) -> str:
    """How many of each kind."""
    told = [(sum(finding.level is level for finding in findings), level.value) for level in reversed(Level)]
    parts = [f"{number} {word if word == 'ok' or number == 1 else f'{word}s'}" for number, word in told if number]
    return ", ".join(parts)
