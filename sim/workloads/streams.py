"""Several streams of requests, each with its own pace, popularity and models, merged in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from sim.amounts import STRICT, Seconds
from sim.workloads.blocks import Block, Drawn, Instants, Numbers, as_blocks, merged
from sim.workloads.curve import Clock, Curve
from sim.workloads.pacing import DIGITS, FlashCrowd, Gamma, OnOff, Pacing, Poisson, sizes
from sim.workloads.popularity import ByRank, Chooser, Drift, DriftingChooser, HotCold, Share
from sim.workloads.span import Span, numbers_of, parse_span

STRIDE = 1 << 12
"""Requests of one stream drawn at once: what a stream draws does not depend on the others."""

LEAST_PERIOD_S = 0.001


class Sweep(BaseModel):
    """Every ``every_s`` each model, or the share ``share`` of them drawn anew each time, is asked for once, at a random
    instant of the first ``jitter_s``."""

    model_config = STRICT

    every_s: float = Field(ge=LEAST_PERIOD_S, le=31_622_400)
    share: Share = 1.0
    jitter_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _ends_before_the_next(self) -> Self:
        if self.jitter_s > self.every_s:
            raise ValueError(f"jitter_s: {self.jitter_s:g} must not be more than every_s, {self.every_s:g}")
        return self

    def drawn(self, source: np.random.Generator, models: Numbers, from_ms: float, until_ms: float) -> Iterator[Drawn]:
        """One sweep after the other; at one instant in the order of the models, if there is no jitter."""
        count = max(1, round(self.share * len(models)))
        number = 0
        while (begin_ms := from_ms + number * self.every_s * 1000) < until_ms:
            number += 1
            which = models
            if count < len(models):
                which = models[np.sort(np.argsort(source.random(len(models)), kind="stable")[:count])]
            instants = np.full(count, round(begin_ms, DIGITS))
            if self.jitter_s:
                instants = np.round(begin_ms + source.random(count) * (self.jitter_s * 1000), DIGITS)
                order = np.argsort(instants, kind="stable")
                instants, which = instants[order], which[order]
            kept = int(np.searchsorted(instants, until_ms, side="left"))
            for begin in range(0, kept, STRIDE):
                end = min(kept, begin + STRIDE)
                yield instants[begin:end], which[begin:end]


class Stream(BaseModel):
    """Requests from ``from_s`` to ``until_s``, at most ``requests`` of them, for ``models``, by default for all.

    One of ``poisson``, ``gamma``, ``on_off``, ``flash_crowd`` says when they come, ``curve`` makes them more and fewer
    by the hour and the day; or a ``sweep`` asks for every model. ``zipf`` or ``hot_cold`` says how popular the models
    are, else all are alike; which is how popular is drawn, and changes by ``drift``.
    """

    model_config = STRICT

    poisson: Poisson | None = None
    gamma: Gamma | None = None
    on_off: OnOff | None = None
    flash_crowd: FlashCrowd | None = None
    sweep: Sweep | None = None
    zipf: ByRank | None = None
    hot_cold: HotCold | None = None
    drift: Drift | None = None
    curve: Curve | None = None
    models: list[Annotated[Span, BeforeValidator(parse_span)]] | None = Field(default=None, min_length=1)
    from_s: float = Field(default=0.0, ge=0)
    until_s: Seconds | None = None
    requests: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        pacings = (self.poisson, self.gamma, self.on_off, self.flash_crowd)
        if sum(way is not None for way in (*pacings, self.sweep)) != 1:
            raise ValueError("must have one of poisson, gamma, on_off, flash_crowd and sweep")
        if self.zipf is not None and self.hot_cold is not None:
            raise ValueError("must have one of zipf and hot_cold")
        for name in ("zipf", "hot_cold", "drift", "curve", "requests"):
            if self.sweep is not None and getattr(self, name) is not None:
                raise ValueError(f"{name}: must not be beside sweep, which asks for each model once at its time")
        if self.curve is not None and self.flash_crowd is not None:
            raise ValueError("curve: must not be beside flash_crowd, which has a course of its own")
        if self.until_s is not None and self.until_s <= self.from_s:
            raise ValueError(f"until_s: {self.until_s:g} must be more than from_s, {self.from_s:g}")
        return self

    @property
    def pacing(self) -> Pacing:
        """When requests come, where they do not come as a sweep."""
        pacing = self.poisson or self.gamma or self.on_off or self.flash_crowd
        assert pacing is not None
        return pacing

    def drawn(self, seed: int, number: int, models: int, duration_ms: float, of_week_ms: float) -> Iterator[Drawn]:
        """The requests of the stream of that number, of a run that begins ``of_week_ms`` after a Monday did."""
        timing, choosing, ranking, mixing = (
            np.random.Generator(np.random.PCG64([seed, 2, number, part])) for part in range(4)
        )
        among = np.arange(models, dtype=np.int64) if self.models is None else numbers_of(self.models)
        from_ms = self.from_s * 1000
        until_ms = min(duration_ms, duration_ms if self.until_s is None else self.until_s * 1000)
        if from_ms >= until_ms:
            return
        if self.sweep is not None:
            yield from self.sweep.drawn(timing, among, from_ms, until_ms)
            return
        by_rank = among[np.argsort(ranking.random(len(among)), kind="stable")]
        weights = (self.zipf or self.hot_cold or ByRank(alpha=0)).weights(len(among))
        if self.drift is None:
            chooser = Chooser(weights, by_rank, choosing)
        else:
            chooser = DriftingChooser(weights, by_rank, choosing, self.drift, mixing)
        clock = None if self.curve is None else Clock(self.curve, of_week_ms, from_ms, until_ms)
        for shown in self.pacing.instants(timing, sizes(self.requests, STRIDE)):
            instants: Instants = np.round(from_ms + shown if clock is None else clock.when(shown), DIGITS)
            kept = instants[: np.searchsorted(instants, until_ms, side="left")]
            if len(kept):
                yield kept, chooser.choose(kept)
            if len(kept) < len(instants):
                return


class Streams(BaseModel):
    """All requests of several streams.

    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["streams"] = "streams"
    streams: list[Stream] = Field(min_length=1, max_length=1000)
    patience_ms: int | None = Field(default=None, ge=1)

    def arrivals(self, seed: int, models: int, duration_ms: float, of_week_ms: float = 0.0) -> Iterator[Block]:
        """Arrivals before ``duration_ms`` of a run that begins ``of_week_ms`` after the beginning of a Monday.

        At one instant the requests of an earlier stream come first. What a stream draws follows from the seed and from
        its number in the list.
        """
        parts = [
            stream.drawn(seed, number, models, duration_ms, of_week_ms) for number, stream in enumerate(self.streams)
        ]
        return as_blocks(merged(parts))

    def check(self, models: int, duration_s: float) -> None:
        """Raises ValueError where a stream names a model beyond ``models`` or begins after the end."""
        for number, stream in enumerate(self.streams):
            where = f"traffic.streams.{number}"
            for at, (_, last) in enumerate(stream.models or []):
                if last >= models:
                    raise ValueError(f"{where}.models.{at}: {last} must be less than models.count, {models}")
            if stream.from_s >= duration_s:
                raise ValueError(f"{where}.from_s: {stream.from_s:g} must be less than duration_s, {duration_s:g}")
