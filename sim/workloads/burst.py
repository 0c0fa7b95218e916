"""Every model is asked for at the same instant, as when clients come back to a mesh that has just started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from sim.amounts import STRICT
from sim.workloads.blocks import Block


class Burst(BaseModel):
    """One request for each model, all of them ``at_ms`` from the start.

    A client goes away when it has waited ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["burst"] = "burst"
    at_ms: float = Field(ge=0)
    patience_ms: int | None = Field(default=None, ge=1)

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Block]:
        """All in one block, in the order of the models; nothing is drawn."""
        if self.at_ms < duration_ms:
            yield [self.at_ms] * models, list(range(models))
