"""What is around the instances of a scenario: model servers, the network and the store."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, Bytes, WholeMillis


class Service(BaseModel):
    """How long a runtime works on one request: the mean, and the standard deviation as a part of the mean, which is 1
    for the ``exponential`` shape."""

    model_config = STRICT

    mean_ms: float = Field(gt=0, le=3_600_000)
    cv: float = Field(default=0.0, ge=0, le=10)
    shape: Literal["lognormal", "exponential"] = "lognormal"

    @model_validator(mode="after")
    def _has_one_spread(self) -> Self:
        if self.shape == "exponential" and "cv" in self.model_fields_set:
            raise ValueError("must have no cv where shape is exponential, as it is 1")
        return self


class Load(BaseModel):
    """How long a load takes: ``base_ms`` and the model's size at ``bandwidth`` bytes a second."""

    model_config = STRICT

    base_ms: int = Field(ge=0, le=86_400_000)
    bandwidth: Bytes | None = None


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

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if self.model_concurrency is not None and "concurrency" in self.model_fields_set:
            raise ValueError("must have one of concurrency and model_concurrency")
        return self


class Network(BaseModel):
    """Between any two instances."""

    model_config = STRICT

    delay_ms: WholeMillis = 1


class Store(BaseModel):
    """How long a commit or a read takes, and until an instance sees what was committed."""

    model_config = STRICT

    commit_ms: WholeMillis = 3
    watch_ms: WholeMillis = 2
