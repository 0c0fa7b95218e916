"""Plays many runs on all cores; each is what it would be alone."""

from __future__ import annotations

import gc
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
from types import TracebackType

from sim.collector import spare, sparing
from sim.sweep_paths import Plan
from sim.sweep_state import Kept, key_of
from sim.world import Result, run


class SweepBroken(Exception):
    """There is no process to play a run in, or no longer."""


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


class Sweep:
    """A context in which runs are played; it leaves no process behind, however it ends.

    What ends is put into ``kept`` at once, and what is there is not played. Without ``kept`` all are played.
    """

    def __init__(self, kept: Kept | None, told: Told, workers: int | None = None) -> None:
        self._kept, self._told = kept, told
        self._workers = workers or _cores()
        self._pool: ProcessPoolExecutor | None = None
        self._results: dict[str, Result] = {}
        self._of = self._found = 0

    def __enter__(self) -> Sweep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # What ends a sweep before its time is an interrupt or an error: nobody wants what is still being played.
            # The pool's thread is waited for: an interpreter that ends at the same time complains of its pipes.
            for child in active_children():
                child.terminate()
            self._pool.shutdown(cancel_futures=True)
        if self._kept is not None:
            self._kept.trim()

    def play(self, planned: Sequence[Plan]) -> list[Result]:
        """The result of each run, in the order of ``planned``; runs that are alike are played once.

        Raises SweepBroken, ScenarioError, and NotKept.
        """
        keys = [key_of(plan) for plan in planned]
        left = {key: plan for key, plan in zip(keys, planned, strict=True) if key not in self._results}
        self._of += len(left)
        for key in list(left):
            if self._kept is not None and (data := self._kept.get(key)) is not None:
                self._results[key] = Result(data, None)
                self._found += 1
                del left[key]
        self._tell()
        if left and self._kept is not None:
            self._kept.check()
        with closing(self._together(left) if min(self._workers, len(left)) > 1 else self._alone(left)) as playing:
            for key, result in playing:
                self._results[key] = result
                if self._kept is not None:
                    self._kept.put(key, result.data)
                self._tell(left[key], result)
        return [self._results[key] for key in keys]

    def _tell(self, plan: Plan | None = None, result: Result | None = None, part: float = 0.0) -> None:
        self._told(Step(len(self._results), self._of, self._found, plan, result, part))

    def _alone(self, left: dict[str, Plan]) -> Playing:
        with sparing():
            for key, plan in left.items():
                gc.collect()
                yield key, run(plan.scenario, plan.rules, partial(self._tell, plan, None))

    def _together(self, left: dict[str, Plan]) -> Playing:
        try:
            waiting = self._submitted(left)
            while waiting:
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                # What failed comes last, so that what is finished is kept.
                for future in sorted(ended, key=lambda each: (each.exception() is not None, waiting[each])):
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise SweepBroken("a process that played a run was ended, perhaps for want of memory") from None

    def _submitted(self, left: dict[str, Plan]) -> dict[Future[Result], str]:
        try:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), _begin_worker)
            return {self._pool.submit(_played, plan): key for key, plan in left.items()}
        except OSError as error:
            problem = f"no process can be started to play a run in: {error.strerror or error}"
            raise SweepBroken(problem) from None


def _cores() -> int:
    """Those that this process may use, where the system says that."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _played(plan: Plan) -> Result:
    gc.collect()  # the mesh before
    return run(plan.scenario, plan.rules)


def _begin_worker() -> None:
    """An interrupt is for the process that plans; the others end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
