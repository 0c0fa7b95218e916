"""Rows in the order of their instants, sorted on disk in pieces that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice, pairwise
from math import isnan, nan
from operator import itemgetter
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from typing import IO

from sim.problems import TraceFailed
from sim.traces.rows import Row

PIECE_ROWS = 250_000
READ_ROWS = 2_000
_ROW = Struct("<dIQdQ")
_Plain = tuple[float, int, int, float, int]


def by_time(rows: Iterator[Row], folder: Path) -> Iterator[Row]:
    """The same rows, ascending; what does not fit into memory is in a file in ``folder`` meanwhile. Of each model the
    name is kept. Raises TraceFailed."""
    numbers: dict[str, int] = {}
    ends = [0]
    try:
        with TemporaryFile(dir=folder) as file:
            while piece := list(islice(rows, PIECE_ROWS)):
                piece.sort(key=itemgetter(1))
                for row in piece:
                    file.write(_ROW.pack(*_plain(row, numbers)))
                ends.append(file.tell())
            names = list(numbers)
            pieces = [_piece(file, begin, end) for begin, end in pairwise(ends)]
            for at_ms, number, model, service_ms, size_bytes in merge(*pieces, key=itemgetter(0)):
                yield Row(number, at_ms, names[model], size_bytes or None, None if isnan(service_ms) else service_ms)
    except OSError as error:
        raise TraceFailed(f"{folder}: cannot hold what is to be sorted: {error.strerror or error}") from None


def _plain(row: Row, numbers: dict[str, int]) -> _Plain:
    model = numbers.setdefault(row.model, len(numbers))
    return row.at_ms, model, row.number, nan if row.service_ms is None else row.service_ms, row.size_bytes or 0


def _piece(file: IO[bytes], at: int, end: int) -> Iterator[tuple[float, int, int, float, int]]:
    while at < end:
        file.seek(at)
        piece = file.read(min(READ_ROWS * _ROW.size, end - at))
        at += len(piece)
        for at_ms, model, number, service_ms, size_bytes in _ROW.iter_unpack(piece):
            yield at_ms, number, model, service_ms, size_bytes
