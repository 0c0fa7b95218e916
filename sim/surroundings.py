"""What is around the instances of a scenario: model servers, the network and the store."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, Bytes, Spread, WholeMillis


class Service(BaseModel):
    """How long a runtime works on one request: the mean, and the standard deviation as a part of the mean, which is 1
    for the ``exponential`` shape."""

    model_config = STRICT

    mean_ms: float = Field(gt=0, le=3_600_000)
    cv: Spread = 0.0
    shape: Literal["lognormal", "exponential"] = "lognormal"

    @model_validator(mode="after")
    def _has_one_spread(self) -> Self:
        if self.shape == "exponential" and "cv" in self.model_fields_set:
            raise ValueError("must have no cv where shape is exponential, as it is 1")
        return self


class Load(BaseModel):
    """How long a load takes: ``base_ms`` and the model's size at ``bandwidth`` bytes a second, both times a factor
    with a mean of 1 and a standard deviation of ``cv``."""

    model_config = STRICT

    base_ms: int = Field(ge=0, le=86_400_000)
    bandwidth: Bytes | None = None
    is_shared: bool = False
    """Whether the loads of an instance have the bandwidth together, in equal parts."""
    cv: Spread = 0.0

    @model_validator(mode="after")
    def _has_what_it_shares(self) -> Self:
        if self.is_shared and self.bandwidth is None:
            raise ValueError("must have a bandwidth where is_shared is true")
        return self


class Runtime(BaseModel):
    """The model server beside each instance; ``concurrency`` requests at once, the others queue in order, or
    ``model_concurrency`` of each copy, for which there is a queue each (limitModelConcurrency)."""

    model_config = STRICT

    load: Load
    service: Service
    concurrency: int = Field(default=8, ge=1, le=100_000)
    model_concurrency: int | None = Field(default=None, ge=1, le=100_000)
    unload_ms: WholeMillis = 10
    size_ms: WholeMillis = 1
    """To predict or to measure a size."""
    size_cv: Spread = 0.0
    """How far predicted sizes are from the true ones: the standard deviation of their ratio, the mean of which is 1."""

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if self.model_concurrency is not None and "concurrency" in self.model_fields_set:
            raise ValueError("must have one of concurrency and model_concurrency")
        return self


class Network(BaseModel):
    """Between any two instances, and between any two that are in different zones."""

    model_config = STRICT

    delay_ms: WholeMillis = 1
    between_zones_ms: WholeMillis | None = None


class Store(BaseModel):
    """How long a commit or a read takes, with its spread, and until an instance sees what was committed: each instance
    its number in turn, if there are several."""

    model_config = STRICT

    commit_ms: WholeMillis = 3
    commit_cv: Spread = 0.0
    watch_ms: WholeMillis | Annotated[list[WholeMillis], Field(min_length=1)] = 2


class Retries(BaseModel):
    """A client whose request fails as the mesh is not there (UNAVAILABLE) asks another instance ``pause_ms`` later, up
    to ``times`` times."""

    model_config = STRICT

    times: int = Field(default=0, ge=0, le=100)
    pause_ms: WholeMillis = 100
