"""Findings as people and programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from mmctl.doctor.finding import Finding, Level
from mmctl.output import Cell, Column, View, show_table
from mmctl.sizes import shortened

_STYLES = {Level.OK: "green", Level.NOTE: "", Level.WARNING: "yellow", Level.PROBLEM: "red"}

FINDINGS: View[Finding] = View(
    columns=(
        Column("LEVEL", lambda finding: Cell(finding.level.value, _STYLES[finding.level])),
        Column("CHECK", lambda finding: finding.check),
        Column("WHERE", lambda finding: finding.where or "-"),
        Column("WHAT", lambda finding: finding.what),
        Column("DO", lambda finding: finding.do or "-"),
    ),
    plain=lambda finding: {name: asdict(finding)[name] for name in ("check", "level", "where", "what", "do")},
    name=lambda finding: finding.check,
    nothing="nothing was looked at",
)


def describe(findings: Sequence[Finding]) -> None:
    """A table for people: what to do stands below what was found, and what several checks say is said once."""
    columns = FINDINGS.columns[:-1]
    rows = []
    checks: dict[Finding, list[str]] = {}
    for finding in findings:
        checks.setdefault(replace(finding, check=""), []).append(finding.check)
    for finding, names in checks.items():
        name = shortened(list(dict.fromkeys(names)), 2)
        what = Cell(finding.what)
        rows.append([Cell(finding.level.value, _STYLES[finding.level]), Cell(name), Cell(finding.where or "-"), what])
        if finding.do:
            rows.append([Cell(""), Cell(""), Cell(""), Cell(f"do: {finding.do}", "bold")])
    show_table(columns, rows)


def summary(findings: Sequence[Finding]) -> str:
    """How many of each kind."""
    told = [(sum(finding.level is level for finding in findings), level.value) for level in reversed(Level)]
    parts = [f"{number} {word if word == 'ok' or number == 1 else f'{word}s'}" for number, word in told if number]
    return ", ".join(parts)
