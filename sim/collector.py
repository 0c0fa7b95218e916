"""Python's collector of cycles while a mesh is played: it goes after what is young, and leaves the mesh alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SPARING = 100_000, 50, 50
"""Thresholds of ``gc.set_threshold``: with Python's own a catalogue of 100,000 models on 20 instances, millions of
objects that stay, was looked through 61 times, for half of the time that the run took."""


@contextmanager
def sparing() -> Iterator[None]:
    """Collect seldom until the end of the block; hardly anything is left in cycles here."""
    before = gc.get_threshold()
    gc.set_threshold(*SPARING)
    try:
        yield
    finally:
        gc.set_threshold(*before)
