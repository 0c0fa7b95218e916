"""What a trace as a whole says, in one pass that keeps no events: its models, instances and length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from meshcore.trace import LOAD, REQUEST, End, Event, Header, Line, Model
from sim.traces.files import read_trace


@dataclass(slots=True)
class Tally:
    """What the events said of one model; milliseconds are sums."""

    requests: int = 0
    loads: int = 0
    load_ms: float = 0.0
    served: int = 0
    service_ms: float = 0.0
    size_bytes: int | None = None


@dataclass(slots=True)
class Survey:
    """``models`` are in the order of their lines; the length of the whole is ``end_ms``."""

    header: Header = field(default_factory=Header)
    models: dict[str, Model] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    instances: set[str] = field(default_factory=set)
    events: int = 0
    requests: int = 0
    end_ms: float = 0.0
    early: str = ""
    """Why it is only a part; empty: it is whole."""

    def catalogue(self) -> list[Model]:
        """What is known of each model in all."""
        return [_completed(model, self.tallies[model.id]) for model in self.models.values()]


def survey(path: Path, is_part_enough: bool = False) -> Survey:
    """Read all of a trace and check it. Raises TraceError."""
    found = Survey()
    for _ in surveyed(path, found, is_part_enough):
        pass
    return found


def surveyed(path: Path, into: Survey, is_part_enough: bool = False) -> Iterator[Event]:
    """The events of a trace; what they say has come ``into`` a survey before each. Raises TraceError."""
    for line in read_trace(path, is_part_enough):
        if isinstance(line, Event):
            _count(line, into)
            yield line
        else:
            _take(line, into)


def _take(line: Line | End, into: Survey) -> None:
    match line:
        case Header():
            into.header = line
        case Model():
            into.models[line.id], into.tallies[line.id] = line, Tally()
        case End():
            into.end_ms, into.early = line.t_ms, line.early


def _count(event: Event, into: Survey) -> None:
    tally = into.tallies[event.model]
    into.events += 1
    if event.kind == REQUEST:
        into.requests += 1
        tally.requests += 1
        if event.instance:
            into.instances.add(event.instance)
        if event.service_ms is not None:
            tally.served, tally.service_ms = tally.served + 1, tally.service_ms + event.service_ms
    elif event.kind == LOAD:
        if event.ms is not None:
            tally.loads, tally.load_ms = tally.loads + 1, tally.load_ms + event.ms
        tally.size_bytes = event.size_bytes or tally.size_bytes


def _completed(model: Model, tally: Tally) -> Model:
    if model.size_bytes is None and tally.size_bytes is not None:
        model = replace(model, size_bytes=tally.size_bytes)
    if model.load_ms is None and tally.loads:
        model = replace(model, load_ms=round(tally.load_ms / tally.loads, 3))
    if model.service_ms is None and tally.served:
        model = replace(model, service_ms=round(tally.service_ms / tally.served, 3))
    return model
