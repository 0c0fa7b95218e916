"""Requests at random instants for models of which few are popular and most are not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

BLOCK = 1 << 16
"""Requests drawn at once."""

Block = tuple[list[float], list[int]]
"""Arrivals in order: milliseconds from the start, and the number of the model asked for."""


class Zipf(BaseModel):
    """Poisson arrivals; the k-th most popular model is asked for in proportion to k to the power of -alpha.

    Which model is how popular is drawn from the seed. ``requests`` ends the traffic before its time.
    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    workload: Literal["zipf"] = "zipf"
    requests_per_s: float = Field(gt=0, le=1_000_000)
    alpha: float = Field(default=0.99, ge=0, le=5)
    requests: int | None = Field(default=None, ge=1)
    patience_ms: int | None = Field(default=None, ge=1)

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Block]:
        """Blocks of arrivals before ``duration_ms``; instants are whole microseconds.

        Only uniform numbers are drawn, so that no library's choice of method changes what a seed means.
        """
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
