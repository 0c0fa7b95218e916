"""The fewest loads that any rules could do with, for these requests and memory (docs/simulator.md, at least)."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

Numbers = Any
"""A numpy array, one number for each request, in the order in which they arrived."""


ROUNDING = 1e-9
"""By how much sums of areas may be off: they are too large for whole numbers of 64 bits."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Of which all were answered, each by a copy that took it up at ``at_ms`` at the earliest and ``until_ms`` at the
    latest; those that were taken up ``prompt_ms`` after their arrival, or sooner, are known to within that."""

    models: Numbers
    """The number of the model."""
    at_ms: Numbers
    until_ms: Numbers
    prompt_ms: float = 0.0

    @classmethod
    def in_turn(cls, models: Numbers) -> Requests:
        """One after the other, each taken up as it comes."""
        instants = np.arange(len(models), dtype=np.float64)
        return cls(np.asarray(models), instants, instants)


def least_loads(requests: Requests, units: Numbers, capacity_units: int, starts_empty: bool = True) -> tuple[int, str]:
    """No schedule has fewer loads, and by which argument: ``MIN`` where all models asked for take the same, else
    ``PFOO-L``.

    ``units`` is what each model takes, by its number, ``capacity_units`` the memory of all instances together. Unless
    it ``starts_empty``, what was loaded before the first request is no load.
    """
    requests = _only_fitting(requests, units, capacity_units)
    if not len(requests.models):
        return 0, "MIN"
    spans = _spans(requests, starts_empty)
    takes = units[requests.models]
    is_prompt = requests.until_ms <= requests.at_ms + requests.prompt_ms
    room = capacity_units - np.where(is_prompt, takes, 0)
    if takes.min() == takes.max():
        kept, by = len(spans.models) - _dropped(spans, room // takes[0]), "MIN"
    else:
        kept, by = _kept_by_area(spans, units, int(room.sum())), "PFOO-L"
    return len(requests.models) - kept, by


@dataclass(frozen=True, slots=True)
class _Spans:
    """For each request that need not be a load: from where up to where, in requests, its model would have to be held
    for it. That is when each of those requests was taken up, whenever in its time it was; empty spans have
    ``until`` <= ``start``."""

    models: Numbers
    start: Numbers
    until: Numbers


def _only_fitting(requests: Requests, units: Numbers, capacity_units: int) -> Requests:
    fits = units[requests.models] <= capacity_units
    return Requests(requests.models[fits], requests.at_ms[fits], requests.until_ms[fits], requests.prompt_ms)


def _spans(requests: Requests, starts_empty: bool) -> _Spans:
    models, at_ms = requests.models, requests.at_ms
    order = np.argsort(models, kind="stable")
    is_again = np.flatnonzero(models[order][1:] == models[order][:-1])
    before, again = order[is_again], order[is_again + 1]
    start = np.maximum(before + 1, np.searchsorted(at_ms, requests.until_ms[before], side="left"))
    if not starts_empty:
        firsts = np.unique(models, return_index=True)[1]
        start, again = np.concatenate([np.zeros_like(firsts), start]), np.concatenate([firsts, again])
    until = np.minimum(again, np.searchsorted(at_ms, at_ms[again] - requests.prompt_ms, side="right"))
    return _Spans(models[again], start, until)


def _dropped(spans: _Spans, places: Numbers) -> int:
    """How many spans cannot be kept, at the least, where so many models have a place at each request: that which ends
    last goes, wherever there are too many (Belady 1966)."""
    is_long = spans.until > spans.start
    order = np.argsort(spans.start[is_long], kind="stable")
    starts, ends = spans.start[is_long][order].tolist(), spans.until[is_long][order].tolist()
    ending = [0] * (len(places) + 1)
    latest: list[int] = []
    held = dropped = following = 0
    for at, most in enumerate(places.tolist()):
        held -= ending[at]
        while following < len(starts) and starts[following] == at:
            heappush(latest, -ends[following])
            ending[ends[following]] += 1
            held += 1
            following += 1
        while held > most:
            ending[-heappop(latest)] -= 1
            held -= 1
            dropped += 1
        if not held:
            latest.clear()
    return dropped


def _kept_by_area(spans: _Spans, units: Numbers, area: int) -> int:
    """How many spans could be kept if they only had to fit by size times length into what there is of that in all:
    smallest first (PFOO-L of Berger, Beckmann and Harchol-Balter 2018)."""
    areas = np.sort(np.maximum(0, spans.until - spans.start) * units[spans.models].astype(np.float64))
    return int(np.searchsorted(np.cumsum(areas), area * (1 + ROUNDING), side="right"))
