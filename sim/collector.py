"""Python's collector of cycles where meshes are played: it goes after what is young, and leaves the mesh alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SPARING = 100_000, 1_000, 1_000
"""Thresholds of ``gc.set_threshold``. With Python's own a catalogue of 100,000 models on 20 instances, millions of
objects that stay, was looked through 61 times, which took 46 s."""


def spare() -> None:
    """Collect seldom from now on; who plays another mesh calls ``gc.collect`` first, as the parts of one know each
    other."""
    gc.set_threshold(*SPARING)


@contextmanager
def sparing() -> Iterator[None]:
    """Collect seldom until the end of the block. What is young then may be all of a mesh: that is looked at once."""
    before = gc.get_threshold()
    spare()
    try:
        yield
    finally:
        gc.set_threshold(*before)
