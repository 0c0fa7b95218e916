"""Files of requests: read, written, put together, and imported from the formats that are listed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.traces import azure2021, columns, oracle_general
from sim.traces.rows import Options, Row


@dataclass(frozen=True, slots=True)
class Importer:
    """Reads another format; ``is_ordered``: its rows ascend by instant. ``place`` is what a row is called."""

    read: Callable[[Path, Options], Iterator[Row]]
    is_ordered: bool = True
    place: str = "line"
    takes: frozenset[str] = frozenset()
    """The options that it goes by."""


_TABLE = frozenset({"columns", "delimiter", "time_unit", "has_header"})

REGISTRY: Mapping[str, Importer] = {
    "azure2021": Importer(azure2021.read, is_ordered=False),
    "csv": Importer(columns.read, takes=_TABLE),
    "lcs-csv": Importer(columns.read_libcachesim, takes=_TABLE - {"time_unit"}),
    "oracle-general": Importer(oracle_general.read, place="record"),
}
"""Each format by the name that ``mmctl trace convert --from`` gives it."""
