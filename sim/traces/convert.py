"""A trace made of a file in another format: streamed, in order, each model's line before its first request."""

from __future__ import annotations

from pathlib import Path

from meshcore.trace import MOST_BYTES, MOST_CHARACTERS, MOST_MS, Event, Header, Model
from sim.problems import TraceError
from sim.traces import Importer
from sim.traces.files import Writer
from sim.traces.order import by_time
from sim.traces.rows import Options, Row


def convert(path: Path, out: Path, importer: Importer, options: Options, *, sort: bool = False) -> int:
    """Write the requests of ``path`` to ``out``, the first at 0; how many there are. Raises TraceError.

    ``sort``: also where the format should be in order. A model has the size of its first request.
    """
    rows = importer.read(path, options)
    if sort or not importer.is_ordered:
        rows = by_time(rows, out.parent)
    first_ms = latest_ms = None
    seen: set[str] = set()
    with Writer(out, Header(by=path.name[:200])) as writer:
        for row in rows:
            if first_ms is None or latest_ms is None:
                first_ms = latest_ms = row.at_ms
            if problem := _problem(row, first_ms, latest_ms):
                raise TraceError(f"{path}: {importer.place} {row.number}: {problem}")
            latest_ms = row.at_ms
            if row.model not in seen:
                seen.add(row.model)
                writer.model(Model(row.model, size_bytes=row.size_bytes))
            service_ms = None if row.service_ms is None else round(row.service_ms, 3)
            writer.event(Event(round(row.at_ms - first_ms, 3), row.model, service_ms=service_ms))
        if first_ms is None:
            raise TraceError(f"{path}: there are no requests in it")
        writer.end()
    return writer.count


def _problem(row: Row, first_ms: float, latest_ms: float) -> str:
    if row.at_ms < latest_ms:
        before = f"less than the one before, {latest_ms / 1000:.15g} s"
        return f"time: {row.at_ms / 1000:.15g} s must not be {before}; --sort puts it in order"
    if not row.at_ms - first_ms <= MOST_MS:  # nor of infinite ones, as text of many digits may be
        return f"time: must be within {MOST_MS} ms of the first; is the unit right?"
    if not 0 < len(row.model) <= MOST_CHARACTERS:
        return f"model: must be text of 1 to {MOST_CHARACTERS} characters"
    if row.size_bytes is not None and row.size_bytes > MOST_BYTES:
        return f"size: {row.size_bytes} must be at most {MOST_BYTES}"
    if row.service_ms is not None and row.service_ms > MOST_MS:
        return f"duration: {row.service_ms / 1000:g} s must be at most {MOST_MS // 1000}"
    return ""
