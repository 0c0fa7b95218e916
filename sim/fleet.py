"""The instances of a scenario: how many, how large, where, and what their runtimes say at start-up."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from sim.amounts import STRICT, Bytes, Factor, Name


class Fleet(BaseModel):
    """The instances, alike but for their capacity, zone and labels, and what their runtimes say at start-up."""

    model_config = STRICT

    count: int = Field(ge=1, le=1000)
    capacity: Bytes
    capacity_factors: list[Factor] = Field(default=[1.0], min_length=1)
    """Instances have this times ``capacity``, each factor in turn."""
    zones: list[Name] | None = Field(default=None, min_length=1)
    """Instances are in these, each in turn; none: the mesh is told of no zones."""
    labels: list[list[Name]] = Field(default=[[]], min_length=1)
    """Instances have the labels of these lists, each list in turn."""
    clock_offsets_ms: list[Annotated[int, Field(ge=-86_400_000, le=86_400_000)]] = Field(default=[0], min_length=1)
    """The clocks of instances are ahead by these, each in turn."""
    default_model_size: Bytes = 1 << 20
    loading_concurrency: int = Field(default=4, ge=1, le=1000)
    loading_timeout_ms: int = Field(default=90_000, ge=100)


class Constraint(BaseModel):
    """What models of a type want of an instance: all labels that are required, any of those preferred."""

    model_config = STRICT

    required: list[Name] = []
    preferred: list[Name] = []
