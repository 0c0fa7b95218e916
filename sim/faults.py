"""What goes wrong in a scenario, and when."""

from __future__ import annotations

from pydantic import BaseModel, Field

from sim.amounts import STRICT

LEAST_RESTART_S = 3.0
"""An instance that goes lets clients hear of it first."""
LEAST_OUTAGE_S = 4.0
"""That the store answers nothing is known after 3.5 s."""


class Failure(BaseModel):
    """Loads of ``model`` that begin between two moments fail, on all instances or on those named."""

    model_config = STRICT

    model: str
    instances: list[str] = []
    from_s: float = Field(default=0, ge=0)
    until_s: float = Field(default=1e9, gt=0)
    text: str = "cannot read the model file"


class Restart(BaseModel):
    """``instance`` is told to go at ``from_s``, serves until nothing is under way, and is back, empty, at ``until_s``.

    Meanwhile clients come to the others.
    """

    model_config = STRICT

    instance: str
    from_s: float = Field(ge=0)
    until_s: float = Field(gt=0)


class StoreOutage(BaseModel):
    """The store answers nothing from ``from_s`` to ``until_s``; leases last 10 s. No instance restarts meanwhile."""

    model_config = STRICT

    from_s: float = Field(ge=0)
    until_s: float = Field(gt=0)
