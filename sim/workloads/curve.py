"""How the pace of requests goes with the hour and the day of the week."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT
from sim.workloads.blocks import Instants

MINUTE_MS, DAY_MS = 60_000, 86_400_000

Times = Annotated[float, Field(ge=0, le=1000)]


def of_week_ms(at: datetime) -> float:
    """How long ago the week began, by the time of the place that ``at`` is given in."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at.weekday() * DAY_MS + (at - midnight).total_seconds() * 1000


class Curve(BaseModel):
    """Times as many requests: by the time of the day, times by the day of the week.

    ``day`` has points of equal distance, the first at midnight, with straight lines between them: 24 are one for each
    hour. ``week`` has one for each day from Monday on.
    """

    model_config = STRICT

    day: list[Times] = Field(default=[1.0], min_length=1, max_length=1440)
    week: list[Times] = Field(default=[1.0] * 7, min_length=7, max_length=7)

    @model_validator(mode="after")
    def _has_requests(self) -> Self:
        if not any(self.day) or not any(self.week):
            raise ValueError("must have a number above 0 in day and in week")
        return self

    def factors(self, of_week_ms: Instants) -> Instants:
        """At instants counted from the beginning of a Monday."""
        points = np.array([*self.day, self.day[0]])
        by_day = np.interp(of_week_ms % DAY_MS, np.linspace(0.0, DAY_MS, len(points)), points)
        factors: Instants = by_day * np.array(self.week)[(of_week_ms // DAY_MS).astype(np.int64) % 7]
        return factors


class Clock:
    """Goes as much faster or slower as ``curve`` says, from ``from_ms`` to ``until_ms`` of a run that begins
    ``of_week_ms`` after the beginning of a Monday; within a minute it is even."""

    def __init__(self, curve: Curve, of_week_ms: float, from_ms: float, until_ms: float) -> None:
        edges = np.append(np.arange(from_ms, until_ms, MINUTE_MS), until_ms)
        lengths = np.diff(edges)
        factors = curve.factors(of_week_ms + edges[:-1] + lengths / 2)
        self._edges, self._shown = edges, np.append(0.0, np.cumsum(lengths * factors))

    def when(self, shown_ms: Instants) -> Instants:
        """The instants, of the run, at which it shows these; ``until_ms`` for what it never shows."""
        at = np.searchsorted(self._shown, shown_ms, side="right") - 1
        at = np.minimum(at, len(self._edges) - 2)
        begin, took = self._shown[at], self._shown[at + 1] - self._shown[at]
        part = np.where(took > 0, (shown_ms - begin) / np.where(took > 0, took, 1.0), 1.0)
        found: Instants = self._edges[at] + np.minimum(part, 1.0) * (self._edges[at + 1] - self._edges[at])
        return found
