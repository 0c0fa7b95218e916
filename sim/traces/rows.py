"""What importers work with: the rows they give, the options they take, tables, and how a mistake is told."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import IO, NamedTuple

from meshcore.trace import MOST_LINE
from sim.problems import TraceError
from sim.traces.files import opened

UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds of each unit of time."""


class Row(NamedTuple):
    """One request of another format; ``number`` is that of its line or record, instants count from anywhere."""

    number: int
    at_ms: float
    model: str
    size_bytes: int | None = None
    service_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """``columns``: where something stands, by what it is; None: as the format has it."""

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    time_unit: str | None = None
    has_header: bool | None = None


def wrong(path: Path, line: int, problem: str) -> TraceError:
    """The error that says what is wrong with a line."""
    return TraceError(f"{path}: line {line}: {' '.join(problem.splitlines())}")


def table(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table of text, each with the number of its line; blank ones are passed over. Raises TraceError."""
    with opened(path) as file:
        rows = csv.reader(_decoded(path, file), delimiter=delimiter, strict=True)
        is_empty = True
        try:
            for cells in rows:
                if cells:
                    is_empty = False
                    yield rows.line_num, cells
        except csv.Error as error:
            raise wrong(path, rows.line_num, f"cannot be read as a table: {error}") from None
    if is_empty:
        raise wrong(path, 1, "the file is empty")


def _decoded(path: Path, file: IO[bytes]) -> Iterator[str]:
    for number, raw in enumerate(iter(partial(file.readline, MOST_LINE), b""), start=1):
        if len(raw) >= MOST_LINE:
            raise wrong(path, number, f"the line is longer than {MOST_LINE} bytes")
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise wrong(path, number, f"byte {error.start + 1} is not UTF-8") from None


def amount(path: Path, line: int, name: str, text: str) -> float:
    """A number of at least 0. Raises TraceError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise wrong(path, line, f"{name}: {text[:40]!r} must be a number of at least 0")
    return value


def whole(path: Path, line: int, name: str, text: str) -> int:
    """A whole number of at least 1. Raises TraceError."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0):
        raise wrong(path, line, f"{name}: {text[:40]!r} must be a whole number of at least 1")
    return int(text)
