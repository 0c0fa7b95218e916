"""Arrivals block by block, and several sequences of them merged in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16
"""The most arrivals in one block."""

Block = tuple[list[float], list[int]]
"""Arrivals in order: milliseconds from the start, and the number of the model asked for."""

Instants = NDArray[np.float64]
"""Milliseconds, ascending."""

Numbers = NDArray[np.int64]

Drawn = tuple[Instants, Numbers]
"""A block before it becomes lists."""


def as_blocks(drawn: Iterator[Drawn]) -> Iterator[Block]:
    """The same arrivals as lists, at most ``BLOCK`` in each."""
    for instants, numbers in drawn:
        for begin in range(0, len(instants), BLOCK):
            yield instants[begin : begin + BLOCK].tolist(), numbers[begin : begin + BLOCK].tolist()


def merged(parts: Sequence[Iterator[Drawn]]) -> Iterator[Drawn]:
    """All arrivals of ``parts``, each of which is in order; at one instant the earlier part comes first.

    One block of each part is held at a time; no block is empty.
    """
    held = {number: block for number, part in enumerate(parts) if (block := _next(part))}
    while held:
        first = min(held, key=lambda number: (held[number][0][-1], number))
        until = held[first][0][-1]
        taken: list[Drawn] = []
        for number in list(held):
            instants, numbers = held[number]
            end = int(np.searchsorted(instants, until, side="right" if number <= first else "left"))
            taken.append((instants[:end], numbers[:end]))
            held[number] = instants[end:], numbers[end:]
            if end == len(instants):
                refill = _next(parts[number])
                if refill is None:
                    del held[number]
                else:
                    held[number] = refill
        at_ms, numbers = (np.concatenate(column) for column in zip(*taken, strict=True))
        order = np.argsort(at_ms, kind="stable")
        yield at_ms[order], numbers[order]


def _next(part: Iterator[Drawn]) -> Drawn | None:
    return next((block for block in part if len(block[0])), None)
