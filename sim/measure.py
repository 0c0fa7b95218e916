"""What a run showed: requests and their latency by cause, and what the instances did; the warm-up is left out."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from meshcore.asks import Answered, Done, Failed, RuntimeFailed
from meshcore.commands import Begin, Command, Commit, Load, Route, Unload
from meshcore.reasons import Rule
from sim.answers import CAUSES, INTERVALS, Answers, Cause
from sim.given import Ending

LEFT = "CLIENT_LEFT"
"""What a request counts as whose client went away; the others that fail count under their status."""
SOON_MS = 300_000
"""A model that is loaded again within this after its eviction should have stayed."""
FORWARDED, RETRIED, COLD = (CAUSES.index(cause) for cause in (Cause.FORWARDED, Cause.RETRIED, Cause.COLD))


class Tally:
    """One instance's counts of what it decided."""

    def __init__(self) -> None:
        self.loads = self.load_failures = self.evictions = 0


class Measure:
    """Counts what arrives, or is decided, from ``from_ms`` on; ``clock`` tells milliseconds from the start.

    The series have a number for each of INTERVALS equal parts of ``duration_ms``, the warm-up included.
    """

    def __init__(
        self, instances: tuple[str, ...], from_ms: float, duration_ms: float, clock: Callable[[], float]
    ) -> None:
        self._from_ms, self._duration_ms, self._clock = from_ms, duration_ms, clock
        self.answers = Answers(instances, from_ms, duration_ms)
        self.tallies = {instance: Tally() for instance in instances}
        self.failed: dict[str, int] = {}
        self.scaling = dict.fromkeys((Rule.SECOND_COPY, Rule.SCALE_UP, Rule.SCALE_DOWN), 0)
        """How often instances decided that a model should have more copies, or fewer."""
        self.most_copies = 0
        """That a model had at a time and that answered, by what was heard since the warm-up."""
        self.warm = 0
        """Requests that cost no simpy event, the warm-up's too."""
        self.reloads = 0
        """Loads of a model within SOON_MS of its eviction anywhere; an eviction counts for one load."""
        self._evicted_at: dict[str, float] = {}
        self.failures_over_time, self.loads_over_time, self.evictions_over_time = ([0] * INTERVALS for _ in range(3))

    def answered(self, instance: str, is_forwarded: bool, arrivals: array[float], ends: array[float]) -> None:
        """Copies that were ready answered."""
        self.warm += len(ends)
        self.answers.add(instance, is_forwarded, arrivals, ends)

    def ended(self, ending: Ending) -> None:
        """A request that the core was asked about is over."""
        match ending.how:
            case Done(Answered()):
                cause = COLD if ending.has_waited else RETRIED if ending.is_retried else FORWARDED * ending.is_forwarded
                self.answers.add(ending.instance, cause, (ending.arrival,), (ending.end,))
            case Done(RuntimeFailed(code)):
                self._fail(ending.arrival, code)
            case Failed(error):
                self._fail(ending.arrival, error.code)

    def left(self, instance: str, arrival: float) -> None:
        """A client went away."""
        self._fail(arrival, LEFT)

    def commanded(self, instance: str, command: Command) -> None:
        """The core wants something done."""
        match command:
            case Route(holders=holders):
                if len(holders) > self.most_copies and self._clock() >= self._from_ms:
                    self.most_copies = max(self.most_copies, sum(holder.is_ready for holder in holders))
            case Load(model=model):
                self._loads(self.tallies[instance], model, self._clock())
            case Unload(model=model, why=why):
                self._unloads(self.tallies[instance], model, why.rule, self._clock())
            case Begin(why=why) | Commit(why=why) if why.rule in self.scaling and self._clock() >= self._from_ms:
                self.scaling[why.rule] += 1

    def _loads(self, tally: Tally, model: str, now: float) -> None:
        self._note(self.loads_over_time, now)
        evicted_at = self._evicted_at.pop(model, -SOON_MS - 1.0)
        if now >= self._from_ms:
            tally.loads += 1
            self.reloads += now - evicted_at <= SOON_MS

    def _unloads(self, tally: Tally, model: str, rule: Rule, now: float) -> None:
        is_counted = now >= self._from_ms
        if rule is Rule.EVICT:
            self._evicted_at[model] = now
            self._note(self.evictions_over_time, now)
            tally.evictions += is_counted
        elif rule is Rule.FAIL:
            tally.load_failures += is_counted

    def _note(self, series: list[int], at_ms: float) -> None:
        """One more in the interval of an instant; what comes after all intervals is in none."""
        if at_ms < self._duration_ms:
            series[self.answers.interval(at_ms)] += 1

    def _fail(self, arrival: float, code: str) -> None:
        self._note(self.failures_over_time, arrival)
        if arrival >= self._from_ms:
            self.failed[str(code)] = self.failed.get(str(code), 0) + 1
