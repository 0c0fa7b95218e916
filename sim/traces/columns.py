"""Tables with a column for the time and one for the model, given by name or by number from 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sim.problems import TraceError
from sim.traces.rows import UNITS_MS, Options, Row, amount, table, whole, wrong

NEEDED = ("time", "model")
COLUMNS = (*NEEDED, "size", "service")
LIBCACHESIM = {"time-col": "time", "obj-id-col": "model", "obj-size-col": "size"}
"""What libCacheSim calls the columns."""


def read(path: Path, options: Options) -> Iterator[Row]:
    """The requests of any table; columns that nobody gave have their own names. Raises TraceError."""
    _check(path, options, COLUMNS)
    given = {name: options.columns.get(name, name) for name in COLUMNS}
    has_header = options.has_header
    if has_header is None:
        has_header = not all(place.isdigit() for place in options.columns.values()) or not options.columns
    if not has_header:
        given = dict(options.columns)
    return _rows(path, given, options, has_header)


def read_libcachesim(path: Path, options: Options) -> Iterator[Row]:
    """The requests of a table as libCacheSim's options describe it; times are seconds. Raises TraceError."""
    _check(path, options, tuple(LIBCACHESIM))
    given = {name: options.columns[theirs] for theirs, name in LIBCACHESIM.items() if theirs in options.columns}
    for theirs, name in LIBCACHESIM.items():
        if name in NEEDED and theirs not in options.columns:
            raise TraceError(f"{path}: --columns must have {theirs}, as in time-col=1,obj-id-col=2,obj-size-col=3")
    has_header = bool(options.has_header)
    return _rows(path, given, replace(options, columns=given), has_header)


def _check(path: Path, options: Options, allowed: tuple[str, ...]) -> None:
    for name in options.columns:
        if name not in allowed:
            raise TraceError(f"{path}: --columns {name}: must be one of {', '.join(allowed)}")


def _rows(path: Path, given: Mapping[str, str], options: Options, has_header: bool) -> Iterator[Row]:
    unit_ms = UNITS_MS[options.time_unit or "s"]
    rows = table(path, options.delimiter or ",")
    line, head = next(rows) if has_header else (1, [])
    places = _places(path, line, head, given, set(options.columns) | set(NEEDED))
    time, model = places["time"], places["model"]
    size, service, most = places.get("size"), places.get("service"), max(places.values())
    for line, cells in rows:
        if len(cells) <= most:
            raise wrong(path, line, f"must have {most + 1} columns at least; it has {len(cells)}")
        yield Row(
            line,
            amount(path, line, given["time"], cells[time]) * unit_ms,
            cells[model],
            whole(path, line, given["size"], cells[size]) if size is not None else None,
            amount(path, line, given["service"], cells[service]) * unit_ms if service is not None else None,
        )


def _places(path: Path, line: int, head: list[str], given: Mapping[str, str], needed: set[str]) -> dict[str, int]:
    """The index of each column."""
    names = [name.strip() for name in head]
    places = {}
    for name in COLUMNS:
        place = given.get(name, "")
        if place and place in names:
            places[name] = names.index(place)
        elif place.isdecimal() and len(place) < 10 and int(place) > 0:
            places[name] = int(place) - 1
        elif name in needed:
            known = f"; the columns are {', '.join(names)[:200]}" if names else ""
            raise wrong(path, line, f"--columns {name}={place} must be a column's number from 1, or its name{known}")
    return places
