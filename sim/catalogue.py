"""The models of a scenario: how many, of what sizes and types."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, pairwise
from math import exp, modf
from random import Random
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, Bytes, Name
from sim.normal import QUANTILES, quantiles


class Lognormal(BaseModel):
    """Sizes of which half are below ``median``; ``sigma`` 1 puts one in six above 2.7 times that."""

    model_config = STRICT

    median: Bytes
    sigma: float = Field(ge=0, le=4)


Quantiles = Annotated[list[Bytes], Field(min_length=2, max_length=10_000)]
"""Sizes at equal steps of probability, the least first, the largest last; in between as on a straight line."""


class _Ways(BaseModel):
    """How sizes are drawn: one for all, or from one distribution."""

    model_config = STRICT

    size: Bytes | None = None
    lognormal: Lognormal | None = None
    quantiles: Quantiles | None = None

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        for at, (before, after) in enumerate(pairwise(self.quantiles or []), start=1):
            if after < before:
                raise ValueError(f"quantiles.{at}: {after} must not be less than the one before, {before}")
        return self


class Component(_Ways):
    """A share of the models, in proportion to ``weight``, whose sizes are drawn in the same way."""

    weight: float = Field(gt=0, le=1_000_000_000)

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if sum(way is not None for way in (self.size, self.lognormal, self.quantiles)) != 1:
            raise ValueError("must have one of size, lognormal and quantiles")
        return self


class Models(_Ways):
    """The registrations: one ``size`` for all, ``sizes`` for each, a ``lognormal`` distribution, one that was measured,
    ``quantiles``, or a ``mixture`` of these."""

    count: int = Field(ge=1, le=1_000_000)
    trace: Name | None = None
    """The file that says, where nothing else does, how many there are, their names, sizes and types."""
    names: list[Name] | None = None
    """None: they are numbered."""
    sizes: list[Bytes] | None = None
    mixture: list[Component] | None = Field(default=None, min_length=1, max_length=10_000)
    type: Name = "simulated"
    types: list[Name] | None = Field(default=None, min_length=1)
    """Instead of ``type``: models are of these, each in turn."""

    @model_validator(mode="after")
    def _has_a_size_for_each(self) -> Self:
        ways = (self.size, self.sizes, self.lognormal, self.quantiles, self.mixture)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("must have one of size, sizes, lognormal, quantiles and mixture")
        if self.sizes is not None and len(self.sizes) != self.count:
            raise ValueError(f"must have a size for each of the {self.count} models, not {len(self.sizes)} sizes")
        if self.names is not None and len(set(self.names)) != self.count:
            raise ValueError(f"must have a name of its own for each of the {self.count} models in names")
        if self.types is not None and "type" in self.model_fields_set:
            raise ValueError("must have one of type and types")
        return self


def model_sizes(models: Models, rng: Random) -> list[int]:
    """Bytes of each model."""
    if models.sizes is not None:
        return list(models.sizes)
    if models.mixture is None:
        draw = _drawing(models)
        return [draw(rng) for _ in range(models.count)]
    weights = list(accumulate(component.weight for component in models.mixture))
    draws = [_drawing(component) for component in models.mixture]
    last = len(draws) - 1
    return [draws[min(last, bisect_right(weights, rng.random() * weights[-1]))](rng) for _ in range(models.count)]


def _drawing(ways: _Ways) -> Callable[[Random], int]:
    """Draws one size."""
    if ways.lognormal is not None:
        median, sigma = ways.lognormal.median, ways.lognormal.sigma
        factors = [exp(sigma * quantile) for quantile in quantiles()]
        return lambda rng: max(1, int(median * factors[int(rng.random() * QUANTILES)]))
    if ways.quantiles is not None:
        steps = list(pairwise(ways.quantiles))

        def between(rng: Random) -> int:
            part, at = modf(rng.random() * len(steps))
            least, most = steps[int(at)]
            return least + int(part * (most - least))

        return between
    size = ways.size
    assert size is not None
    return lambda _: size
