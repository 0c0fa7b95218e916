"""Azure Functions, two weeks of January 2021: a table of app, func, end_timestamp and duration, in seconds.

A request came at its end less its duration. A function's name is unique within its app only, and the rows are not in
the order of the arrivals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sim.traces.rows import Options, Row, amount, table, wrong

COLUMNS = ["app", "func", "end_timestamp", "duration"]


def read(path: Path, options: Options) -> Iterator[Row]:
    """Its invocations. Raises TraceError."""
    rows = table(path, ",")
    line, head = next(rows)
    if head != COLUMNS:
        raise wrong(path, line, f"must name the columns {','.join(COLUMNS)}, not {','.join(head)[:80]}")
    for line, cells in rows:
        if len(cells) != len(COLUMNS):
            raise wrong(path, line, f"must have the columns {','.join(COLUMNS)}; it has {len(cells)}")
        app, func, end, duration = cells
        took_s = amount(path, line, "duration", duration)
        at_ms = (amount(path, line, "end_timestamp", end) - took_s) * 1000
        yield Row(line, at_ms, f"{app}/{func}", None, took_s * 1000)
