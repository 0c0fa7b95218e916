"""Requests at random instants for models of which few are popular and most are not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from sim.amounts import STRICT

BLOCK = 1 << 16
"""Requests drawn at once."""

Block = tuple[list[float], list[int]]
"""Arrivals in order: milliseconds from the start, and the number of the model asked for."""


class Peak(BaseModel):
    """For some time one model, by its number, gets so many more requests a second."""

    model_config = STRICT

    model: int = Field(ge=0)
    from_s: float = Field(ge=0)
    until_s: float = Field(gt=0)
    requests_per_s: float = Field(gt=0, le=1_000_000)


class Zipf(BaseModel):
    """Poisson arrivals; the k-th most popular model is asked for in proportion to k to the power of -alpha.

    Which model is how popular is drawn from the seed. ``requests`` ends the traffic before its time, but for ``peaks``.
    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["zipf"] = "zipf"
    requests_per_s: float = Field(gt=0, le=1_000_000)
    alpha: float = Field(default=0.99, ge=0, le=5)
    requests: int | None = Field(default=None, ge=1)
    peaks: list[Peak] = []
    patience_ms: int | None = Field(default=None, ge=1)

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Block]:
        """Blocks of arrivals before ``duration_ms``, all in one where there are peaks; instants are whole microseconds.

        Only uniform numbers are drawn, so that no library's choice of method changes what a seed means.
        """
        blocks = self._steady(seed, models, duration_ms)
        if not self.peaks:
            yield from blocks
            return
        parts = [(np.array(instants), np.array(numbers)) for instants, numbers in blocks]
        parts += [
            _of_peak(peak, np.random.PCG64([seed, number]), duration_ms) for number, peak in enumerate(self.peaks)
        ]
        at_ms, numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(at_ms, kind="stable")
        yield at_ms[order].tolist(), numbers[order].tolist()

    def _steady(self, seed: int, models: int, duration_ms: float) -> Iterator[Block]:
        source = np.random.Generator(np.random.PCG64(seed))
        weights = np.arange(1, models + 1, dtype=np.float64) ** -self.alpha
        shares = np.cumsum(weights) / weights.sum()
        by_rank = list(range(models))
        Random(seed).shuffle(by_rank)
        names = np.array(by_rank)
        left = self.requests
        at_ms = 0.0
        while at_ms < duration_ms and left != 0:
            count = BLOCK if left is None else min(BLOCK, left)
            gaps = -np.log1p(-source.random(count)) * (1000.0 / self.requests_per_s)
            instants = np.round(at_ms + np.cumsum(gaps), 3)
            ranks = np.minimum(np.searchsorted(shares, source.random(count), side="right"), models - 1)
            at_ms = float(instants[-1])
            kept = int(np.searchsorted(instants, duration_ms, side="left"))
            left = None if left is None else left - count
            if kept:
                yield instants[:kept].tolist(), names[ranks[:kept]].tolist()


def _of_peak(peak: Peak, bits: np.random.PCG64, duration_ms: float) -> tuple[Any, Any]:
    """The instants of one peak's requests and as often the number of its model."""
    length_ms = max(0.0, min(peak.until_s * 1000, duration_ms) - peak.from_s * 1000)
    count = round(length_ms * peak.requests_per_s / 1000)
    at_ms = np.sort(np.round(peak.from_s * 1000 + np.random.Generator(bits).random(count) * length_ms, 3))
    return at_ms, np.full(count, peak.model)
