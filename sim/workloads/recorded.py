"""Requests that were recorded: each at its instant, for its model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT
from sim.workloads.blocks import Block

Placed = tuple[list[float], list[int], list[int]]
"""A block with the number of the instance that each came to, DRAWN where that is drawn."""

DRAWN = -1

Number = Annotated[int, Field(ge=0)]


class Recorded(BaseModel):
    """One arrival after the other: ``at_ms`` from the start, for the model whose number is in ``models``.

    ``instances`` has the number of the instance that each came to; without it that is drawn.
    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["recorded"] = "recorded"
    at_ms: list[Annotated[float, Field(ge=0)]]
    models: list[Number]
    instances: list[Number] | None = None
    patience_ms: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_a_list_of_arrivals(self) -> Self:
        for name, each in (("models", self.models), ("instances", self.instances)):
            if each is not None and len(each) != len(self.at_ms):
                raise ValueError(
                    f"{name} must have one entry for each of the {len(self.at_ms)} in at_ms, not {len(each)}"
                )
        for number, (before, after) in enumerate(pairwise(self.at_ms), start=1):
            if after < before:
                raise ValueError(f"at_ms.{number}: {after:g} must not be less than the one before, {before:g}")
        return self

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Block | Placed]:
        """All arrivals before ``duration_ms`` in one block; nothing is drawn."""
        end = bisect_left(self.at_ms, duration_ms)
        if end and self.instances is not None:
            yield self.at_ms[:end], self.models[:end], self.instances[:end]
        elif end:
            yield self.at_ms[:end], self.models[:end]
