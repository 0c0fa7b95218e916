"""What a fleet has to keep to: limits on a run's metrics, as ``cold_start_rate<0.1%`` or ``latency_p99<200ms``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from operator import ge, gt, le, lt

from sim.metrics import METRICS, Data, Metric, Unit, shown

UNITS: Mapping[Unit, Mapping[str, float]] = {
    Unit.PART: {"%": 0.01, "": 1.0},
    Unit.MS: {"ms": 1.0, "s": 1000.0, "min": 60_000.0},
    Unit.PER_S: {"/s": 1.0, "": 1.0},
    Unit.COUNT: {"": 1.0},
    Unit.TIMES: {"x": 1.0, "": 1.0},
}
"""What a limit may be given in, and what it is multiplied by."""
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SLO = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|/?[a-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Slo:
    """A metric and its limit, in the metric's own unit: parts of 1, milliseconds; ``text`` as it was given."""

    text: str
    name: str
    operator: str
    limit: float

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    def value(self, data: Data) -> float | None:
        """What a run shows; None: nothing."""
        return self.metric.of(data)

    def is_met(self, data: Data) -> bool:
        """Whether a run keeps to it. A wait that nobody had is not too long; a rate of nothing is none."""
        value = self.value(data)
        if value is None:
            return self.metric.unit is Unit.MS and data["answered"] > 0 and self.operator in ("<", "<=")
        return OPERATORS[self.operator](value, self.limit)

    def shown(self, data: Data) -> str:
        """What a run shows, with its unit."""
        return shown(self.value(data), self.metric.unit)


def parse_slo(text: str) -> Slo:
    """The limit that ``text`` sets; ValueError says what is allowed."""
    match = _SLO.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} must be a metric, one of < <= > >=, and a number with its unit, as latency_p99<200ms"
        )
    name, operator, number, unit = match.groups()
    if name not in METRICS:
        near = get_close_matches(name, METRICS, n=1)
        hint = f", did you mean {near[0]}" if near else ""
        raise ValueError(f"{text!r}: there is no metric {name}{hint}; there are {', '.join(METRICS)}")
    units = UNITS[METRICS[name].unit]
    if unit not in units:
        allowed = " or ".join(each or "no unit" for each in units)
        raise ValueError(f"{text!r}: {number}{unit} must be a number with {allowed}")
    limit = float(number) * units[unit]
    if METRICS[name].unit is Unit.PART and limit > 1:
        raise ValueError(f"{text!r}: {number}{unit} must be at most 100%")
    if operator == "<" and limit == 0:
        raise ValueError(f"{text!r} can never be met, as {name} is never less than 0")
    if METRICS[name].unit is Unit.PART and operator == ">" and limit == 1:
        raise ValueError(f"{text!r} can never be met, as {name} is never more than 100%")
    return Slo(text.strip(), name, operator, limit)


def parse_slos(texts: Sequence[str]) -> list[Slo]:
    """The limits that ``texts`` set; ValueError says what is allowed, and which two of them cannot both be met."""
    slos = [parse_slo(text) for text in texts]
    for least, most in product(slos, slos):
        if least.name == most.name and least.operator in (">", ">=") and most.operator in ("<", "<="):
            is_one = least.limit == most.limit and (least.operator, most.operator) == (">=", "<=")
            if least.limit >= most.limit and not is_one:
                raise ValueError(f"{most.text!r} and {least.text!r} cannot both be met")
    return slos
