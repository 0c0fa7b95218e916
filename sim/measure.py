"""What a run showed: requests and their latency by cause, and what the instances did; the warm-up is left out."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from meshcore.asks import Answered, Done, Failed, RuntimeFailed
from meshcore.commands import Begin, Command, Commit, Load, Route, Unload
from meshcore.reasons import Rule

LEFT = "CLIENT_LEFT"
"""What a request counts as whose client went away; the others that fail count under their status."""


class Cause(StrEnum):
    """Why an answer took as long as it did. The first two are hits: no wait for a load."""

    LOCAL = "local"  # a ready copy on the instance that the request came to
    FORWARDED = "forwarded"  # a ready copy on another
    COLD = "cold"  # it waited for a load


class Histogram:
    """Durations in buckets of which each is 1.1 % wider than the one before."""

    BUCKETS_PER_DOUBLING = 64
    LEAST_MS = 1e-3
    FLUSHED_AT = 1 << 16

    def __init__(self) -> None:
        self._counts = np.zeros(0, dtype=np.int64)
        self._fresh: list[float] = []
        self._max_ms = 0.0

    def add(self, duration_ms: float) -> None:
        """Take in one duration."""
        self._fresh.append(duration_ms)
        if len(self._fresh) >= self.FLUSHED_AT:
            self._flush()

    def add_all(self, durations_ms: NDArray[np.float64]) -> None:
        """Take in some durations."""
        if not len(durations_ms):
            return
        durations = np.maximum(durations_ms, self.LEAST_MS)
        self._max_ms = max(self._max_ms, float(durations.max()))
        buckets = np.floor(np.log2(durations / self.LEAST_MS) * self.BUCKETS_PER_DOUBLING).astype(np.int64)
        counts = np.bincount(buckets, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def _flush(self) -> None:
        if self._fresh:
            self.add_all(np.array(self._fresh))
            self._fresh.clear()

    @property
    def count(self) -> int:
        self._flush()
        return int(self._counts.sum())

    @property
    def max_ms(self) -> float:
        self._flush()
        return self._max_ms

    def quantile_ms(self, part: float) -> float:
        """The duration that ``part`` of all are not above, to about half a percent; 0 for none."""
        count = self.count
        if not count:
            return 0.0
        rank = max(1, int(np.ceil(part * count)))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle = self.LEAST_MS * 2.0 ** ((bucket + 0.5) / self.BUCKETS_PER_DOUBLING)
        return min(float(middle), self.max_ms)


class Tally:
    """One instance's counts."""

    def __init__(self) -> None:
        self.answered = self.hits = self.loads = self.load_failures = self.evictions = 0


class Measure:
    """Counts what arrives, or is decided, from ``from_ms`` on; ``clock`` tells milliseconds from the start."""

    def __init__(self, instances: tuple[str, ...], from_ms: float, clock: Callable[[], float]) -> None:
        self._from_ms, self._clock = from_ms, clock
        self.latency = {cause: Histogram() for cause in Cause}
        self.tallies = {instance: Tally() for instance in instances}
        self.failed: dict[str, int] = {}
        self.scaling = dict.fromkeys((Rule.SECOND_COPY, Rule.SCALE_UP, Rule.SCALE_DOWN), 0)
        """How often instances decided that a model should have more copies, or fewer."""
        self.most_copies = 0
        """That a model had at a time and that answered."""
        self.warm = 0
        """Requests that cost no simpy event, the warm-up's too."""

    def answered(self, instance: str, is_forwarded: bool, arrivals: list[float], ends: list[float]) -> None:
        """Copies that were ready answered."""
        self.warm += len(ends)
        came = np.array(arrivals)
        took_ms = (np.array(ends) - came)[came >= self._from_ms]
        self.latency[Cause.FORWARDED if is_forwarded else Cause.LOCAL].add_all(took_ms)
        tally = self.tallies[instance]
        tally.answered += len(took_ms)
        tally.hits += len(took_ms)

    def ended(
        self, instance: str, arrival: float, end: float, has_waited: bool, is_forwarded: bool, how: Done | Failed
    ) -> None:
        """A request that the core was asked about is over."""
        if arrival < self._from_ms:
            return
        match how:
            case Done(Answered()):
                warm = Cause.FORWARDED if is_forwarded else Cause.LOCAL
                self._answer(instance, Cause.COLD if has_waited else warm, end - arrival)
            case Done(RuntimeFailed(code)):
                self._fail(code)
            case Failed(error):
                self._fail(error.code)

    def left(self, instance: str, arrival: float) -> None:
        """A client went away."""
        if arrival >= self._from_ms:
            self._fail(LEFT)

    def commanded(self, instance: str, command: Command) -> None:
        """The core wants something done."""
        if self._clock() < self._from_ms:
            return
        tally = self.tallies[instance]
        match command:
            case Load():
                tally.loads += 1
            case Unload(why=why) if why.rule is Rule.EVICT:
                tally.evictions += 1
            case Unload(why=why) if why.rule is Rule.FAIL:
                tally.load_failures += 1
            case Begin(why=why) | Commit(why=why) if why.rule in self.scaling:
                self.scaling[why.rule] += 1
            case Route(holders=holders) if len(holders) > self.most_copies:
                self.most_copies = max(self.most_copies, sum(holder.is_ready for holder in holders))

    def _answer(self, instance: str, cause: Cause, took_ms: float) -> None:
        self.latency[cause].add(took_ms)
        tally = self.tallies[instance]
        tally.answered += 1
        if cause is not Cause.COLD:
            tally.hits += 1

    def _fail(self, code: str) -> None:
        self.failed[str(code)] = self.failed.get(str(code), 0) + 1
