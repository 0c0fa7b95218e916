"""When the requests of a stream come: one class for each kind of arrivals.

``instants`` yields milliseconds from the start of the stream, as many at once as ``sizes`` says. Only uniform numbers
are drawn, so that no library's choice of method changes what a seed means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from math import log
from typing import Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, PerSecond, Seconds
from sim.workloads.blocks import Instants

DIGITS = 3
"""Instants are whole microseconds."""


def sizes(requests: int | None, block: int) -> Iterator[int]:
    """How many to draw at once: ``block``, until there are ``requests``; None: for ever."""
    if requests is None:
        yield from repeat(block)
        return
    while requests:
        yield min(block, requests)
        requests -= min(block, requests)


class Poisson(BaseModel):
    """Each instant is as likely as any other: gaps are exponential."""

    model_config = STRICT

    requests_per_s: PerSecond

    def instants(self, source: np.random.Generator, counts: Iterable[int]) -> Iterator[Instants]:
        """Ascending, without end."""
        at_ms = 0.0
        for count in counts:
            gaps = exponential(source, count) * (1000.0 / self.requests_per_s)
            instants = np.round(at_ms + np.cumsum(gaps), DIGITS)
            at_ms = float(instants[-1])
            yield instants


class Gamma(BaseModel):
    """Gaps with a gamma distribution: ``cv`` is their standard deviation as a part of their mean.

    More than 1 are bursts, 1 is Poisson, 0 an even pace.
    """

    model_config = STRICT

    requests_per_s: PerSecond
    cv: float = Field(ge=0, le=20)

    def instants(self, source: np.random.Generator, counts: Iterable[int]) -> Iterator[Instants]:
        """Ascending, without end."""
        at_ms = 0.0
        for count in counts:
            gaps = gamma(source, count, 1 / self.cv**2) * self.cv**2 if self.cv >= EVEN else np.ones(count)
            instants = np.round(at_ms + np.cumsum(gaps * (1000.0 / self.requests_per_s)), DIGITS)
            at_ms = float(instants[-1])
            yield instants


class OnOff(BaseModel):
    """Times with Poisson arrivals and times without any in turn, both of lengths with a Pareto distribution.

    ``on_s`` and ``off_s`` are mean lengths; the smaller ``shape`` is, the more of the time is in few long ones (2 or
    less: their variance is infinite, and bursts come on every scale). It begins with a time that has arrivals.
    """

    model_config = STRICT

    requests_per_s: PerSecond
    on_s: Seconds
    off_s: Seconds
    shape: float = Field(default=1.5, ge=1.05, le=100)

    @model_validator(mode="after")
    def _has_requests_while_on(self) -> Self:
        if self.on_s * self.requests_per_s < LEAST_WHILE_ON:
            least_s = LEAST_WHILE_ON / self.requests_per_s
            raise ValueError(f"on_s: {self.on_s:g} must be at least {least_s:g} with {self.requests_per_s:g} a second")
        return self

    def instants(self, source: np.random.Generator, counts: Iterable[int]) -> Iterator[Instants]:
        """Ascending, without end: Poisson arrivals in the time that is on, moved by what is off before it."""
        ends, offs = np.zeros(0), np.zeros(1)  # in time that is on: when each ends; and how long it was off before each
        for steady in Poisson(requests_per_s=self.requests_per_s).instants(source, counts):
            while not len(ends) or ends[-1] <= steady[-1]:
                lengths = pareto(source, 2 * PERIODS, self.shape).reshape(2, PERIODS) * 1000.0
                ends = np.concatenate([ends, (ends[-1] if len(ends) else 0.0) + np.cumsum(lengths[0] * self.on_s)])
                offs = np.concatenate([offs, offs[-1] + np.cumsum(lengths[1] * self.off_s)])
            which = np.searchsorted(ends, steady, side="right")
            yield np.round(steady + offs[which], DIGITS)
            ends, offs = ends[which[-1] :], offs[which[-1] :]


class FlashCrowd(BaseModel):
    """At once ``requests_per_s``, half of that after ``half_life_s``, a quarter after twice that, and so on."""

    model_config = STRICT

    requests_per_s: PerSecond
    half_life_s: Seconds

    def instants(self, source: np.random.Generator, counts: Iterable[int]) -> Iterator[Instants]:
        """Ascending, until the last of the crowd has come."""
        scale_ms = self.half_life_s * 1000 / log(2)
        for steady in Poisson(requests_per_s=self.requests_per_s).instants(source, counts):
            come = steady[: np.searchsorted(steady, scale_ms, side="left")]
            if len(come):
                yield np.round(-np.log1p(-come / scale_ms) * scale_ms, DIGITS)
            if len(come) < len(steady):
                return


Pacing = Poisson | Gamma | OnOff | FlashCrowd

LEAST_WHILE_ON = 0.01
"""Requests in the mean time that is on: with fewer it would be drawn thousands of times for each request."""
PERIODS = 256
"""Times that are on, and off, drawn at once."""
EVEN = 1e-3
"""Gaps that differ by less are even."""


def exponential(source: np.random.Generator, count: int) -> Instants:
    """Numbers of an exponential distribution with mean 1."""
    return -np.log1p(-source.random(count))


def pareto(source: np.random.Generator, count: int, shape: float) -> Instants:
    """Numbers of a Pareto distribution with mean 1."""
    least = (shape - 1) / shape
    drawn: Instants = least * (1 - source.random(count)) ** (-1 / shape)
    return drawn


def gamma(source: np.random.Generator, count: int, shape: float) -> Instants:
    """Numbers of a gamma distribution with mean ``shape`` and scale 1: Marsaglia and Tsang's way, which draws normal
    numbers and refuses few of them; below 1 by a power of a uniform number from ``shape`` + 1."""
    at_least_1 = shape if shape >= 1 else shape + 1
    d = at_least_1 - 1 / 3
    c = 1 / np.sqrt(9 * d)
    found = np.zeros(0)
    while len(found) < count:
        radius, angle, last = source.random((3, count - len(found)))
        normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
        v = (1 + c * normal) ** 3
        is_positive = v > 0
        bound = 0.5 * normal**2 + d - d * v + d * np.log(np.where(is_positive, v, 1.0))
        found = np.concatenate([found, d * v[is_positive & (np.log1p(-last) < bound)]])
    return found if shape >= 1 else found * (1 - source.random(count)) ** (1 / shape)
