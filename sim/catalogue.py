"""The models of a scenario: how many, of what sizes and types."""

from __future__ import annotations

from math import exp
from random import Random
from typing import Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, Bytes, Name
from sim.normal import QUANTILES, quantiles


class Lognormal(BaseModel):
    """Sizes of which half are below ``median``; ``sigma`` 1 puts one in six above 2.7 times that."""

    model_config = STRICT

    median: Bytes
    sigma: float = Field(ge=0, le=4)


class Models(BaseModel):
    """The registrations: one ``size`` for all, ``sizes`` for each, or a ``lognormal`` distribution."""

    model_config = STRICT

    count: int = Field(ge=1, le=1_000_000)
    trace: Name | None = None
    """The file that says, where nothing else does, how many there are, their names, sizes and types."""
    names: list[Name] | None = None
    """None: they are numbered."""
    size: Bytes | None = None
    sizes: list[Bytes] | None = None
    lognormal: Lognormal | None = None
    type: Name = "simulated"
    types: list[Name] | None = Field(default=None, min_length=1)
    """Instead of ``type``: models are of these, each in turn."""

    @model_validator(mode="after")
    def _has_a_size_for_each(self) -> Self:
        if sum(way is not None for way in (self.size, self.sizes, self.lognormal)) != 1:
            raise ValueError("must have one of size, sizes and lognormal")
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
    if models.lognormal is None:
        assert models.size is not None
        return [models.size] * models.count
    median, sigma = models.lognormal.median, models.lognormal.sigma
    factors = [exp(sigma * quantile) for quantile in quantiles()]
    return [max(1, int(median * factors[int(rng.random() * QUANTILES)])) for _ in range(models.count)]
