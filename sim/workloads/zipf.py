"""Requests at random instants for models of which few are popular and most are not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from sim.amounts import STRICT, PerSecond
from sim.workloads.blocks import BLOCK, Block, Drawn, as_blocks, merged
from sim.workloads.pacing import DIGITS, Poisson, sizes
from sim.workloads.popularity import ByRank, Chooser


class Peak(BaseModel):
    """For some time one model, by its number, gets so many more requests a second."""

    model_config = STRICT

    model: int = Field(ge=0)
    from_s: float = Field(ge=0)
    until_s: float = Field(gt=0)
    requests_per_s: PerSecond


class Zipf(BaseModel):
    """Poisson arrivals; the k-th most popular model is asked for in proportion to k to the power of -alpha.

    Which model is how popular is drawn from the seed. ``requests`` ends the traffic before its time, but for ``peaks``.
    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["zipf"] = "zipf"
    requests_per_s: PerSecond
    alpha: float = Field(default=0.99, ge=0, le=5)
    requests: int | None = Field(default=None, ge=1)
    peaks: list[Peak] = Field(default=[], max_length=1000)
    patience_ms: int | None = Field(default=None, ge=1)

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Block]:
        """Arrivals before ``duration_ms``; instants are whole microseconds."""
        peaks = [_of_peak(peak, np.random.PCG64([seed, number]), duration_ms) for number, peak in enumerate(self.peaks)]
        return as_blocks(merged([self._steady(seed, models, duration_ms), *peaks]))

    def _steady(self, seed: int, models: int, duration_ms: float) -> Iterator[Drawn]:
        source = np.random.Generator(np.random.PCG64(seed))
        by_rank = list(range(models))
        Random(seed).shuffle(by_rank)
        chooser = Chooser(ByRank(alpha=self.alpha).weights(models), np.array(by_rank), source)
        pacing = Poisson(requests_per_s=self.requests_per_s)
        for instants in pacing.instants(source, sizes(self.requests, BLOCK)):
            kept = instants[: np.searchsorted(instants, duration_ms, side="left")]
            yield kept, chooser.choose(kept)
            if len(kept) < len(instants):
                return


def _of_peak(peak: Peak, bits: np.random.PCG64, duration_ms: float) -> Iterator[Drawn]:
    """One peak's requests: in parts of equal length and number where they are more than a block."""
    source = np.random.Generator(bits)
    length_ms = max(0.0, min(peak.until_s * 1000, duration_ms) - peak.from_s * 1000)
    count = round(length_ms * peak.requests_per_s / 1000)
    parts = -(-count // BLOCK)
    for part in range(parts):
        begin_ms, within_ms = peak.from_s * 1000 + part * length_ms / parts, length_ms / parts
        drawn = count * (part + 1) // parts - count * part // parts
        yield np.sort(np.round(begin_ms + source.random(drawn) * within_ms, DIGITS)), np.full(drawn, peak.model)
