"""What a check found: one value for all checks, from "fine" to "something has to be done"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is; a problem is what the exit code tells."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was found ``where``, and what to ``do`` about it (empty: nothing); ``check`` is set by who runs it."""

    level: Level
    what: str
    where: str = ""
    do: str = ""
    check: str = ""


def ok(what: str, where: str = "") -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, what, where)


def note(what: str, where: str = "", do: str = "") -> Finding:
    """Worth knowing, and no fault."""
    return Finding(Level.NOTE, what, where, do)


def warning(what: str, where: str = "", do: str = "") -> Finding:
    """It works, and may not go on to."""
    return Finding(Level.WARNING, what, where, do)


def problem(what: str, where: str = "", do: str = "") -> Finding:
    """Something does not work, or will not."""
    return Finding(Level.PROBLEM, what, where, do)


def has_problem(findings: Sequence[Finding]) -> bool:
    """Whether anything has to be done."""
    return any(finding.level is Level.PROBLEM for finding in findings)
