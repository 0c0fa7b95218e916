"""Plays many runs on all cores; each is what it would be alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from threading import Thread

from sim.policies import POLICIES
from sim.sweep_paths import Plan
from sim.sweep_state import Kept, key_of
from sim.world import Result, run


class SweepBroken(Exception):
    """A process that played a run is gone."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a sweep is: so many of so many runs have ended, ``kept`` of them in an earlier call.

    ``plan`` is the one that has just ended, with its ``result``, or the one that is ``part`` done; None: neither.
    """

    ended: int
    of: int
    kept: int
    plan: Plan | None = None
    result: Result | None = None
    part: float = 0.0


Told = Callable[[Step], None]

Playing = Generator[tuple[str, Result], None, None]
"""Results under their plans' keys, in the order in which they are there."""


def play(planned: Sequence[Plan], kept: Kept | None, told: Told, workers: int | None = None) -> list[Result]:
    """The result of each run, in the order of ``planned``; runs that are alike are played once.

    What ends is put into ``kept`` at once, and what is there is not played. Without ``kept`` all are played. Raises
    SweepBroken, ScenarioError, and OSError where nothing can be kept; no process is left behind.
    """
    keys = [key_of(plan) for plan in planned]
    by_key = dict(zip(keys, planned, strict=True))
    results: dict[str, Result] = {}
    if kept is not None:
        for key in by_key:
            if (data := kept.get(key)) is not None:
                results[key] = Result(data, None)
    found = len(results)
    left = {key: plan for key, plan in by_key.items() if key not in results}
    told(Step(found, len(by_key), found))
    cores = min(workers or os.cpu_count() or 1, len(left))

    def in_part(plan: Plan, part: float) -> None:
        told(Step(len(results), len(by_key), found, plan, part=part))

    with closing(_alone(left, in_part) if cores <= 1 else _together(left, cores)) as playing:
        for key, result in playing:
            results[key] = result
            if kept is not None:
                kept.put(key, result.data)
            told(Step(len(results), len(by_key), found, by_key[key], result))
    if kept is not None and left:
        kept.trim()
    return [results[key] for key in keys]


def _alone(left: dict[str, Plan], told: Callable[[Plan, float], None]) -> Playing:
    for key, plan in left.items():
        yield key, run(plan.scenario, POLICIES[plan.rules], partial(told, plan))


def _together(left: dict[str, Plan], cores: int) -> Playing:
    pool = ProcessPoolExecutor(cores, get_context("spawn"), _begin_worker)
    try:
        waiting: dict[Future[Result], str] = {pool.submit(_played, plan): key for key, plan in left.items()}
        while waiting:
            ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=lambda future: waiting[future]):
                yield waiting.pop(future), future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise SweepBroken("a process that played a run was ended from outside, perhaps for want of memory") from None
    finally:
        # Whatever ends the sweep before its time, an interrupt too: nobody wants what is still being played.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in active_children():
            child.terminate()


def _played(plan: Plan) -> Result:
    return run(plan.scenario, POLICIES[plan.rules])


def _begin_worker() -> None:
    """An interrupt is for the process that plans; the others end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
