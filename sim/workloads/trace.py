"""Requests of a trace: a file that a mesh recorded, or that was converted; it is read as it is played."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from meshcore.trace import REQUEST, Event, Model
from sim.amounts import STRICT, Factor, Name
from sim.problems import TraceError
from sim.traces.files import State, changed, read_trace, state_of
from sim.workloads.blocks import BLOCK
from sim.workloads.recorded import DRAWN, Placed

Request = tuple[float, int, int]
"""Milliseconds from the start, numbers of the model and of the instance."""


class Trace(BaseModel):
    """What the trace at ``path`` has from ``from_s`` until ``until_s``; models are numbered as they stand in it.

    Time goes by ``time_scale`` times as slowly as recorded. ``rate_scale`` below 1 leaves out requests, above 1 there
    are more of each, until the next that is on record. ``instances`` names those of the trace in the order of the
    scenario's; requests that came to others come to instances that are drawn. A client goes away when it has waited
    ``patience_ms`` for a copy that is ready.
    """

    model_config = STRICT

    workload: Literal["trace"] = "trace"
    path: Name
    from_s: float = Field(default=0, ge=0)
    until_s: float | None = Field(default=None, gt=0)
    time_scale: Factor = 1.0
    rate_scale: Factor = 1.0
    sample: float = Field(default=1, gt=0, le=1)
    """The part of all models that is in the trace: said here too, so that nobody takes a part for the whole."""
    instances: list[Name] | None = None
    patience_ms: int | None = Field(default=None, ge=1)

    _state: State | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any) -> None:
        """``context`` is the state that the file was in when its models were read; None: that is not known."""
        self._state = context

    @property
    def state(self) -> State | None:
        """The state that the file has to be in when it is played."""
        return self._state

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.until_s is not None and self.until_s <= self.from_s:
            raise ValueError(f"until_s: {self.until_s:g} must be more than from_s, {self.from_s:g}")
        return self

    def arrivals(self, seed: int, models: int, duration_ms: float) -> Iterator[Placed]:
        """Blocks of arrivals before ``duration_ms``; a whole microsecond is the least between two instants.

        Nothing is drawn unless ``rate_scale`` is set. Raises TraceError, for more than ``models`` and for a file that
        was changed too: the numbers of its models would be those of others.
        """
        self._check()
        requests = self._requests(models)
        if self.rate_scale != 1:
            requests = _scaled(requests, self.rate_scale, Random(f"{seed}/trace"))
        block: Placed = ([], [], [])
        for at_ms, model, instance in requests:
            if at_ms >= duration_ms:
                break
            block[0].append(at_ms)
            block[1].append(model)
            block[2].append(instance)
            if len(block[0]) == BLOCK:
                yield block
                block = ([], [], [])
        if block[0]:
            yield block
        self._check()

    def _check(self) -> None:
        if self._state is not None and state_of(Path(self.path)) != self._state:
            raise changed(Path(self.path))

    def _requests(self, most: int) -> Iterator[Request]:
        numbers: dict[str, int] = {}
        places = {name: number for number, name in enumerate(self.instances or ())}
        from_ms, scale = self.from_s * 1000, self.time_scale
        until_ms = inf if self.until_s is None else self.until_s * 1000
        for line in read_trace(Path(self.path)):
            if isinstance(line, Event):
                if line.t_ms >= until_ms:
                    return
                if line.kind == REQUEST and line.t_ms >= from_ms:
                    at_ms = round((line.t_ms - from_ms) * scale, 3)
                    yield at_ms, numbers[line.model], places.get(line.instance, DRAWN)
            elif isinstance(line, Model):
                numbers[line.id] = len(numbers)
                if len(numbers) > most:
                    raise TraceError(f"{self.path}: it must have no more models than the scenario, {most}")


def _scaled(requests: Iterator[Request], scale: float, rng: Random) -> Iterator[Request]:
    """So many times as many: what is more than one of a request comes at instants between it and the next."""
    held: Request | None = None
    for request in requests:
        if held is not None:
            yield from _repeated(held, request[0], scale, rng)
        held = request
    if held is not None:
        yield from _repeated(held, held[0], scale, rng)


def _repeated(request: Request, next_ms: float, scale: float, rng: Random) -> Iterator[Request]:
    at_ms, model, instance = request
    count = int(scale) + (rng.random() < scale % 1)
    if count:
        yield request
    for later_ms in sorted(round(at_ms + rng.random() * (next_ms - at_ms), 3) for _ in range(count - 1)):
        yield later_ms, model, instance
