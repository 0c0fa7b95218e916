"""Some of the models of a scenario by number: ``7``, or ``10-19`` for ten of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sim.workloads.blocks import Numbers

Span = tuple[int, int]
"""The first number and the last."""

_SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def parse_span(given: object) -> object:
    """The span that ``7`` or ``10-19`` is; ValueError says what is allowed."""
    match = _SPAN.fullmatch(str(given)) if isinstance(given, int | str) else None
    if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
        raise ValueError("must be a model's number, or two with a dash in between, the smaller first: 10-19")
    return int(match[1]), int(match[2] or match[1])


def numbers_of(spans: Sequence[Span]) -> Numbers:
    """Every number in any of ``spans`` once, ascending."""
    return np.unique(np.concatenate([np.arange(first, last + 1, dtype=np.int64) for first, last in spans]))
