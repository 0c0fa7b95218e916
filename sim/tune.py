"""Finds the smallest fleet that keeps to its limits, by bracketing and bisection over one size of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.metrics import Data
from sim.problems import ScenarioError
from sim.sweep_paths import Plan, Source, plan
from sim.tune_slo import Slo
from sim.world import Result

FRACTIONS = (0.25, 0.5, 0.75, 1.5, 2.0)
"""Of the size that was found: what else the curve shows."""
COUNT, CAPACITY = "instances.count", "instances.capacity"
MOST_COUNT = 1000
FACTOR = 16
"""The largest size that is tried by itself, as a multiple of the scenario's."""
STEPS = 20
"""The scenario's capacity is so many steps."""

Play = Callable[[Sequence[Plan]], Sequence[Result]]


@dataclass(frozen=True, slots=True)
class Question:
    """Which ``path`` of a scenario is varied: ``step`` times each whole number from ``least`` to ``most``.

    Each size is played with ``seeds`` seeds, the scenario's own and the following; all have to keep to ``slos``.
    """

    source: Source
    rules: str
    path: str
    slos: tuple[Slo, ...]
    seeds: int
    step: int
    least: int
    most: int
    start: int

    def plans(self, number: int) -> list[Plan]:
        """The runs of one size, one for each seed; raises ScenarioError where there can be no such fleet."""
        first = plan(self.source, self.rules, {self.path: number * self.step})
        seeds = [first.scenario.seed + more for more in range(self.seeds)]
        changes = first.changes
        return [first, *(plan(self.source, self.rules, {**changes, "seed": seed}) for seed in seeds[1:])]


@dataclass(frozen=True, slots=True)
class Point:
    """One size that was played: ``value`` is what ``path`` was set to, ``results`` are by seed."""

    number: int
    value: int
    memory_bytes: int
    results: tuple[Result, ...]
    missed: tuple[str, ...]
    """A sentence for each limit that some seed did not keep to."""

    @property
    def is_met(self) -> bool:
        return not self.missed

    def mean(self, of: Callable[[Data], float | None]) -> float | None:
        """A metric's mean over the seeds that have it."""
        values = [value for result in self.results if (value := of(result.data)) is not None]
        return sum(values) / len(values) if values else None

    def worst(self, slo: Slo) -> float | None:
        """A limit's metric, of the seed that is farthest on the wrong side."""
        values = [value for result in self.results if (value := slo.value(result.data)) is not None]
        return (max if slo.operator.startswith("<") else min)(values, default=None)


@dataclass(slots=True)
class Answer:
    """What was found: the smallest size that is met, None if none is; all sizes that were played, ascending."""

    question: Question
    found: Point | None = None
    points: Mapping[int, Point] = field(default_factory=dict)

    @property
    def exceptions(self) -> list[Point]:
        """Larger sizes that miss and smaller ones that are met: more is not always better there."""
        found = self.found.number if self.found else None
        return [
            each
            for each in self.points.values()
            if found is not None and each.number != found and each.is_met != (each.number > found)
        ]

    @property
    def before(self) -> Point | None:
        """One step less than what was found; None: there is no smaller fleet."""
        return self.points.get(self.found.number - 1) if self.found else None

    @property
    def after(self) -> Point | None:
        """One step more."""
        return self.points.get(self.found.number + 1) if self.found else None


def ask(
    source: Source,
    rules: str,
    path: str,
    slos: Sequence[Slo],
    seeds: int,
    most: int | None = None,
    step: int | None = None,
) -> Question:
    """The question on ``source``; ``most`` and ``step`` are in the unit of ``path``. Raises ScenarioError."""
    given = plan(source, rules, {}).scenario
    now = given.instances.count if path == COUNT else given.instances.capacity
    step = step or (1 if path == COUNT else max(1, now // STEPS))
    limit = most or (min(MOST_COUNT, now * FACTOR) if path == COUNT else now * FACTOR)
    if limit < step:
        raise ScenarioError([f"{source.name}: at most {limit} of {path} is less than one step, {step}"])
    question = Question(source, rules, path, tuple(slos), seeds, step, 1, limit // step, 1)
    least = _least(question)
    start = min(max(least, now // step), question.most)
    return Question(source, rules, path, tuple(slos), seeds, step, least, question.most, start)


def _least(question: Question) -> int:
    """The smallest size of which there can be a fleet; raises ScenarioError where there is none up to the most."""
    low, high = 0, question.most
    question.plans(high)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            question.plans(middle)
            high = middle
        except ScenarioError:
            low = middle
    return high


def tune(question: Question, play: Play) -> Answer:
    """Play sizes until it is known which is the smallest that is met: it and the next smaller one were both played.

    That takes it for granted that what is met by one size is met by larger ones; where what was played says otherwise,
    ``exceptions`` has it.
    """
    points: dict[int, Point] = {}

    def at(*numbers: int) -> Point:
        left = [number for number in dict.fromkeys(numbers) if number not in points]
        planned = [each for number in left for each in question.plans(number)]
        results = play(planned) if planned else ()
        for first, number in zip(range(0, len(planned), question.seeds), left, strict=True):
            points[number] = _point(question, number, planned[first], results[first : first + question.seeds])
        return points[numbers[0]]

    number = question.start
    if at(number).is_met:
        while number > question.least and at(number).is_met:
            number = max(question.least, number // 2)
        low = number if not at(number).is_met else question.least - 1
    else:
        while number < question.most and not at(number).is_met:
            number = min(question.most, number * 2)
        at(number)
        low = max(each for each in points if not points[each].is_met)
    met = [each for each in points if points[each].is_met]
    if not met:
        return Answer(question, None, dict(sorted(points.items())))
    high = min(met)
    while high - low > 1:
        middle = (low + high) // 2
        if at(middle).is_met:
            high = middle
        else:
            low = middle
    others = [high + 1, *(round(high * fraction) for fraction in FRACTIONS)]
    at(high, *(other for other in others if question.least <= other <= question.most))
    return Answer(question, points[high], dict(sorted(points.items())))


def _point(question: Question, number: int, planned: Plan, results: Sequence[Result]) -> Point:
    missed = []
    for slo in question.slos:
        wrong = [result for result in results if not slo.is_met(result.data)]
        if wrong:
            seeds = ", ".join(str(result.data["seed"]) for result in wrong)
            values = ", ".join(slo.shown(result.data) for result in wrong)
            missed.append(f"{slo.text} is missed: {values} with seed {seeds}")
    fleet = planned.scenario.instances
    factors, capacity, count = fleet.capacity_factors, fleet.capacity, fleet.count
    memory = sum(int(capacity * factors[each % len(factors)]) for each in range(count))
    return Point(number, number * question.step, memory, tuple(results), tuple(missed))


def as_values(answer: Answer) -> dict[str, Any]:
    """The answer as plain values."""
    question, found = answer.question, answer.found
    return {
        "scenario": question.source.name,
        "rules": question.rules,
        "vary": question.path,
        "slos": [slo.text for slo in question.slos],
        "seeds": question.seeds,
        "least": question.least * question.step,
        "most": question.most * question.step,
        "step": question.step,
        "found": found.value if found else None,
        "is_monotone": not answer.exceptions,
        "points": [
            {
                "value": point.value,
                "memory_bytes": point.memory_bytes,
                "is_met": point.is_met,
                "missed": list(point.missed),
                "runs": [
                    {name: value for name, value in result.data.items() if name not in ("instances", "series")}
                    for result in point.results
                ],
            }
            for point in answer.points.values()
        ],
    }
