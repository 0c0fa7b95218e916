"""One trace of several instances' traces: the events of all in the order of time, each model with all that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import merge
from math import inf
from operator import attrgetter
from pathlib import Path

from meshcore.trace import Event, Header, Model
from sim.problems import TraceError
from sim.traces.files import Writer, changed, read_trace, state_of
from sim.traces.survey import Survey, survey


def gather(paths: Sequence[Path], out: Path, *, is_part_enough: bool = False) -> int:
    """Write what all of ``paths`` say to ``out``; how many events that are. Raises TraceError.

    Traces are read twice, and no more of one than a line is kept. Those of several instances must say when they began.
    ``is_part_enough``: where some end early, what there is until the first of them does; that is whole again. What is
    recorded while they are read is not taken.
    """
    for path in paths:
        state_of(path)  # tells what cannot be read twice
    surveys = [survey(path, is_part_enough) for path in paths]
    header = _header(paths, surveys)
    models: dict[str, Model] = {}
    for found in surveys:
        for model in found.catalogue():
            models[model.id] = _joined(models.get(model.id, model), model)
    shifts_ms = [(found.header.start_ms or 0) - (header.start_ms or 0) for found in surveys]
    ends_ms = [found.end_ms + shift_ms for found, shift_ms in zip(surveys, shifts_ms, strict=True)]
    until_ms = min((end_ms for found, end_ms in zip(surveys, ends_ms, strict=True) if found.early), default=inf)
    streams = [
        _shifted(path, found, shift_ms, is_part_enough)
        for path, found, shift_ms in zip(paths, surveys, shifts_ms, strict=True)
    ]
    with Writer(out, header) as writer:
        for model in models.values():
            writer.model(model)
        for event in merge(*streams, key=attrgetter("t_ms")):
            if event.t_ms > until_ms:
                break
            writer.event(event)
        writer.end(min(until_ms, max(ends_ms)))
    return writer.count


def _header(paths: Sequence[Path], surveys: Sequence[Survey]) -> Header:
    first, headers = surveys[0].header, [found.header for found in surveys]
    for path, header in zip(paths, headers, strict=True):
        if header.sample != first.sample:
            problem = f"sample: {header.sample:g} must be that of {paths[0]}, {first.sample:g}"
            raise TraceError(f"{path}: line 1: {problem}")
        if header.start_ms is None and len(paths) > 1:
            raise TraceError(f"{path}: line 1: start_ms: must be known to put several traces in order")
    starts_ms = [header.start_ms for header in headers if header.start_ms is not None]
    names = ", ".join(dict.fromkeys(header.by for header in headers if header.by))
    by = names if len(names) <= 1000 else f"{len(paths)} traces"
    return Header(min(starts_ms, default=None), by, first.sample)


def _joined(one: Model, other: Model) -> Model:
    return replace(
        one,
        type=one.type or other.type,
        size_bytes=one.size_bytes or other.size_bytes,
        load_ms=other.load_ms if one.load_ms is None else one.load_ms,
        service_ms=other.service_ms if one.service_ms is None else one.service_ms,
    )


def _shifted(path: Path, found: Survey, shift_ms: int, is_part_enough: bool) -> Iterator[Event]:
    """The events that were found; TraceError where they are not there any more."""
    left = found.events
    for line in read_trace(path, is_part_enough):
        if not left and is_part_enough:
            return
        if isinstance(line, Event):
            if not left or line.model not in found.models:
                raise changed(path)
            left -= 1
            yield line._replace(t_ms=round(line.t_ms + shift_ms, 3)) if shift_ms else line
    if left:
        raise changed(path)
