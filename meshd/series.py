"""Time series in memory and their text form, as Prometheus scrapes them and ModelMesh writes them.

prometheus_client appends suffixes to the names of counters, which those of ModelMesh do not have; numbers and labels
look as a JVM writes them, because a bucket's bound is a label and dashboards compare labels as text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from math import inf

Labels = tuple[str, ...]
Line = tuple[str, str, float]
"""A sample's name, its labels as text, its value."""
Wanted = Callable[[str], bool]
"""Whether a sample is wanted, by its name."""

MOST = 10_000
"""Sets of labels that one family keeps apart: names come from clients, and memory is bounded."""

OTHER = "other"


class Histogram:
    """How often a value fell where. A value on a bucket's bound is in it."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterator[Line]:
        below = 0
        for bound, count in zip((*self._bounds, inf), self._counts, strict=True):
            below += count
            yield f"{name}_bucket", f'{labels}le="{number_text(bound)}",', below
        yield f"{name}_count", labels, below
        yield f"{name}_sum", labels, self._sum


class Histograms:
    """Histograms of one name, one for each set of label values."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...], label_names: Labels) -> None:
        self.name = name
        self.help_text = help_text
        self._bounds = bounds
        self._label_names = label_names
        self._children: dict[Labels, Histogram] = {}
        if not label_names:
            self.child(())

    def child(self, labels: Labels) -> Histogram:
        """The histogram of these label values; beyond ``MOST`` they all are ``other``."""
        if child := self._children.get(labels):
            return child
        if len(self._children) >= MOST:
            labels = tuple(OTHER for _ in labels)
        return self._children.setdefault(labels, Histogram(self._bounds))

    def text(self, is_wanted: Wanted) -> str:
        lines = (
            line
            for labels, child in self._children.items()
            for line in child.lines(self.name, label_text(dict(zip(self._label_names, labels, strict=True))))
        )
        return family_text(self.name, "histogram", self.help_text, lines, is_wanted)


def family_text(name: str, kind: str, help_text: str, lines: Iterable[Line], is_wanted: Wanted) -> str:
    """A family in text format 0.0.4 with the samples that are wanted by name; none of them: nothing at all."""
    samples = "".join(
        f"{sample}{f'{{{labels}}}' if labels else ''} {number_text(value)}\n"
        for sample, labels, value in lines
        if is_wanted(sample)
    )
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{samples}" if samples else ""


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as they stand between the braces, a comma after each."""
    return "".join(f'{name}="{_escaped(value)}",' for name, value in labels.items())


def number_text(value: float) -> str:
    """A number as Java's Double.toString writes it."""
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-3 <= abs(value) < 1e7 or value != value:
        return repr(float(value)).replace("nan", "NaN")
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' * sign}{digits[0]}.{rest}E{len(digits) - 1 + int(exponent)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
