"""Models that are registered and unregistered in the course of a run: which, when, and what clients then ask for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import takewhile
from math import inf, log1p
from random import Random
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from sim.amounts import STRICT, PerSecond, Seconds
from sim.workloads.span import Span, numbers_of, parse_span

KNOWN_AFTER_MS = 1000
"""A client asks for a model no sooner than this after somebody asked to register it."""

Spans = Annotated[list[Annotated[Span, BeforeValidator(parse_span)]], Field(min_length=1)]


class Change(BaseModel):
    """At ``at_s`` the models of these numbers are unregistered and registered."""

    model_config = STRICT

    at_s: float = Field(ge=0, le=31_622_400)
    registers: Spans | None = None
    unregisters: Spans | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.registers is None and self.unregisters is None:
            raise ValueError("must have registers or unregisters")
        return self


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody asks to register, or unregister, the model of that number; whole milliseconds from the start."""

    at_ms: int
    model: int
    is_coming: bool


class Churn(BaseModel):
    """The first ``initially`` models are registered at the start, by default all.

    Then ``changes`` as they are listed; or ``registrations_per_s`` at random instants, each of the model that has not
    been registered for the longest time, if there is one, while a registration stands for ``lifetime_s`` in the mean
    (exponential), those from the start too. ``is_loaded``: who registers a model has it loaded. Requests for a model
    that is not registered do not come, or they do and fail: ``asks_unregistered``.
    """

    model_config = STRICT

    initially: int | None = Field(default=None, ge=0)
    registrations_per_s: PerSecond | None = None
    lifetime_s: Seconds | None = None
    changes: list[Change] = []
    is_loaded: bool = False
    asks_unregistered: bool = False

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        is_drawn = self.registrations_per_s is not None or self.lifetime_s is not None
        if is_drawn == bool(self.changes):
            raise ValueError("must have changes, or registrations_per_s and lifetime_s or one of them")
        return self

    def at_first(self, models: int) -> int:
        """How many of ``models`` are registered at the start."""
        return models if self.initially is None else self.initially

    def check(self, models: int) -> None:
        """Raises ValueError where a change cannot be made."""
        if self.at_first(models) > models:
            raise ValueError(f"churn.initially: {self.initially} must not be more than models.count, {models}")
        is_there = [number < self.at_first(models) for number in range(models)]
        before_s = 0.0
        for at, change in enumerate(self.changes):
            where = f"churn.changes.{at}"
            if change.at_s < before_s:
                raise ValueError(f"{where}.at_s: {change.at_s:g} must not be less than the one before, {before_s:g}")
            before_s = change.at_s
            for key, is_coming, spans in _steps(change):
                for place, (_, last) in enumerate(spans):
                    if last >= models:
                        raise ValueError(f"{where}.{key}.{place}: {last} must be less than models.count, {models}")
                for number in numbers_of(spans).tolist():
                    if is_there[number] is is_coming:
                        state = "registered" if is_coming else "not registered"
                        raise ValueError(f"{where}.{key}: {number} is {state} at that time")
                    is_there[number] = is_coming

    def turns(self, seed: int, models: int, duration_ms: float) -> Iterator[Turn]:
        """All that is asked for before ``duration_ms``, in order."""
        planned = self._listed() if self.changes else self._drawn(seed, models, duration_ms)
        return takewhile(lambda turn: turn.at_ms < duration_ms, planned)

    def _listed(self) -> Iterator[Turn]:
        for change in self.changes:
            for _, is_coming, spans in _steps(change):
                for number in numbers_of(spans).tolist():
                    yield Turn(round(change.at_s * 1000), number, is_coming)

    def _drawn(self, seed: int, models: int, duration_ms: float) -> Iterator[Turn]:
        rng, first = Random(f"{seed}/churn"), self.at_first(models)
        gap_ms = 1000 / self.registrations_per_s if self.registrations_per_s else inf
        ends = [(self._lives_ms(rng), number) for number in range(first)]
        heapify(ends)
        away = deque(range(first, models))
        at_ms = _exponential(rng, gap_ms)
        while min(at_ms, ends[0][0] if ends else inf) < duration_ms:
            if ends and ends[0][0] <= at_ms:
                end_ms, number = heappop(ends)
                away.append(number)
                yield Turn(int(end_ms), number, False)
                continue
            if away:
                number = away.popleft()
                heappush(ends, (at_ms + self._lives_ms(rng), number))
                yield Turn(int(at_ms), number, True)
            at_ms += _exponential(rng, gap_ms)

    def _lives_ms(self, rng: Random) -> float:
        return inf if self.lifetime_s is None else _exponential(rng, self.lifetime_s * 1000)


class Known:
    """Which models clients ask for as time passes: those that are registered, and have been for a moment."""

    def __init__(self, turns: Iterator[Turn], models: int, at_first: int) -> None:
        self._turns = turns
        self._since_ms = np.where(np.arange(models) < at_first, 0.0, inf)
        self._next = next(turns, None)

    def has(self, instants: Sequence[float], numbers: Sequence[int]) -> list[bool]:
        """Of each request whether its model is known at its instant; calls in order of time."""
        at_ms, asked = np.array(instants), np.array(numbers, dtype=np.int64)
        found = np.zeros(len(at_ms), dtype=bool)
        begin = 0
        while begin < len(at_ms):
            turn = self._next
            end = len(at_ms) if turn is None else max(begin, int(np.searchsorted(at_ms, turn.at_ms, side="left")))
            found[begin:end] = self._since_ms[asked[begin:end]] <= at_ms[begin:end]
            begin = end
            if turn is not None and begin < len(at_ms):
                self._since_ms[turn.model] = turn.at_ms + KNOWN_AFTER_MS if turn.is_coming else inf
                self._next = next(self._turns, None)
        kept: list[bool] = found.tolist()
        return kept


def _steps(change: Change) -> Iterator[tuple[str, bool, list[Span]]]:
    if change.unregisters is not None:
        yield "unregisters", False, change.unregisters
    if change.registers is not None:
        yield "registers", True, change.registers


def _exponential(rng: Random, mean: float) -> float:
    return inf if mean == inf else -log1p(-rng.random()) * mean
