"""Which model a request is for: how popular the models are, and how that changes over time."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from sim.amounts import STRICT
from sim.workloads.blocks import Instants, Numbers

Weights = NDArray[np.float64]
"""By rank, the most popular model first; they need not add up to anything."""

Share = Annotated[float, Field(gt=0, le=1)]


class ByRank(BaseModel):
    """The k-th most popular model is asked for in proportion to 1 / (k + ``offset``) ** ``alpha``.

    This is Zipf's law; with an ``offset`` it is Mandelbrot's, in which the first few are nearly alike.
    """

    model_config = STRICT

    alpha: float = Field(default=0.99, ge=0, le=5)
    offset: float = Field(default=0.0, ge=0, le=1_000_000)

    def weights(self, models: int) -> Weights:
        """Of so many models."""
        weights: Weights = (np.arange(1, models + 1, dtype=np.float64) + self.offset) ** -self.alpha
        return weights


class HotCold(BaseModel):
    """The share ``hot`` of the models gets the share ``requests`` of the requests; within both all are alike."""

    model_config = STRICT

    hot: Share
    requests: Share

    def weights(self, models: int) -> Weights:
        """Of so many models, one of which is hot at least."""
        hot = max(1, round(self.hot * models))
        cold = models - hot
        return np.repeat([self.requests / hot, (1 - self.requests) / max(1, cold)], [hot, cold])


class Drift(BaseModel):
    """Every ``every_s`` the share ``share`` of the models, drawn anew and two at least, change their ranks."""

    model_config = STRICT

    every_s: float = Field(ge=1, le=31_622_400)
    share: Share


class Chooser:
    """Draws models of ``by_rank``, the most popular one first, in proportion to ``weights``."""

    def __init__(self, weights: Weights, by_rank: Numbers, source: np.random.Generator) -> None:
        self._shares = np.cumsum(weights) / weights.sum()
        self._by_rank, self._source = by_rank, source

    def choose(self, instants: Instants) -> Numbers:
        """A model for each of ``instants``."""
        return self._by_rank[self._ranks(len(instants))]

    def _ranks(self, count: int) -> NDArray[np.intp]:
        ranks = np.searchsorted(self._shares, self._source.random(count), side="right")
        return np.minimum(ranks, len(self._shares) - 1)


class DriftingChooser(Chooser):
    """One whose models change their ranks in the course of time; ``mixing`` draws which."""

    def __init__(
        self, weights: Weights, by_rank: Numbers, source: np.random.Generator, drift: Drift, mixing: np.random.Generator
    ) -> None:
        super().__init__(weights, by_rank.copy(), source)
        self._every_ms, self._mixing = drift.every_s * 1000, mixing
        self._moving = max(2, round(drift.share * len(by_rank)))
        self._epoch = 0

    def choose(self, instants: Instants) -> Numbers:
        """A model for each of ``instants``, none of which is before those of the last call."""
        ranks = self._ranks(len(instants))
        chosen = np.empty(len(instants), dtype=np.int64)
        epochs, begins = np.unique(instants // self._every_ms, return_index=True)
        for epoch, begin, end in zip(epochs, begins, [*begins[1:], len(instants)], strict=True):
            while self._epoch < epoch:
                self._mix()
            chosen[begin:end] = self._by_rank[ranks[begin:end]]
        return chosen

    def _mix(self) -> None:
        """Some ranks, in a random order, each pass their model on to the next."""
        self._epoch += 1
        ranks = np.argsort(self._mixing.random(len(self._by_rank)), kind="stable")[: self._moving]
        self._by_rank[ranks] = self._by_rank[np.roll(ranks, 1)]
