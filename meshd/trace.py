"""The trace of this instance: a thread writes what clients asked it for, and when, to one file of bounded size.

Requests never wait for it, and there is nothing of their bodies in it. What it cannot write ends it, with a line that
says so (docs/simulator.md, traces).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue

from meshcore.errors import BadRecord
from meshcore.node import Node
from meshcore.trace import LOAD, MOST_CHARACTERS, End, Event, Header, Model, is_sampled, text
from meshd.config import Config
from meshd.linefile import LineFile, path_of, put_aside

HELD_MOST = 50_000
"""Requests under way, and after one that is: with more the first is written as it is, without what became of it."""
QUEUED_MOST = 50_000
"""Lines that wait to be written; with more the trace does not keep up."""
NOT_FOUND = "NOT_FOUND"
CLOSE_S = 5.0

_log = logging.getLogger(__name__)


class Arrival:
    """A request, or a load, that has its place in the order; ``event`` is None until it is over."""

    __slots__ = ("event", "is_left_out", "model", "t_ms")

    def __init__(self, t_ms: float, model: str, event: Event | None = None) -> None:
        self.t_ms, self.model, self.event = t_ms, model, event
        self.is_left_out = False


class Tracer:
    """Its methods but ``close`` are called in the loop and never wait.

    ``describe`` answers what is known of a model, None: there is no such model; ``now`` seconds of a clock that never
    goes back, ``start_ms`` is the epoch millisecond of its present instant.
    """

    def __init__(
        self,
        path: Path,
        instance: str,
        start_ms: int,
        sample: float,
        most_bytes: int,
        describe: Callable[[str], Model | None],
        by: str = "meshd",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._instance, self._sample, self._most_bytes = path, instance, sample, most_bytes
        self._header = Header(start_ms, f"{by} {instance}", sample)
        self._describe, self._now, self._began = describe, now, now()
        self._held: deque[Arrival] = deque()
        self._seen: set[str] = set()
        """Models that have a line: the file's bound is theirs."""
        self._queue: SimpleQueue[Model | Event | End] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._is_stopped = False
        self._count, self._latest = 0, 0.0
        """The thread's own."""

    # -- in the loop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the file."""
        self._thread.start()

    def arrived(self, model: str) -> Arrival | None:
        """A client asks for a model (empty: it is not known which); None: its requests are not recorded."""
        if self._is_stopped or not is_sampled(model, self._sample if model else 1):
            return None
        arrival = Arrival(self._at(), model)
        self._held.append(arrival)
        if len(self._held) > HELD_MOST:
            self._let_go(HELD_MOST)
        return arrival

    def ended(
        self, arrival: Arrival, model: str, outcome: str, ms: float, wait_ms: float, service_ms: float | None
    ) -> None:
        """A request is over: ``wait_ms`` of its ``ms`` were for a load here, ``service_ms`` the runtime's here."""
        arrival.event = Event(
            arrival.t_ms, model, instance=self._instance, outcome=outcome, ms=round(ms, 3),
            service_ms=None if service_ms is None else round(service_ms, 3),
            wait_ms=round(wait_ms, 3) if wait_ms else None,
        )  # fmt: skip
        if not arrival.model:
            arrival.model, arrival.is_left_out = model, not model or not is_sampled(model, self._sample)
        self._let_go(HELD_MOST)

    def loaded(self, model: str, ms: float | None, size_bytes: int) -> None:
        """A load ended well after ``ms``, or a loaded model was found to take so much (0: not known)."""
        if self._is_stopped or not is_sampled(model, self._sample):
            return
        t_ms, taken_ms = self._at(), None if ms is None else round(ms, 3)
        event = Event(t_ms, model, LOAD, self._instance, ms=taken_ms, size_bytes=size_bytes or None)
        self._held.append(Arrival(t_ms, model, event))
        self._let_go(HELD_MOST)

    async def close(self) -> None:
        """Write what is left, and the line that ends it."""
        self._let_go(0)
        self._stop("")
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _at(self) -> float:
        return round((self._now() - self._began) * 1000, 3)

    def _let_go(self, most: int) -> None:
        """Hand over, in the order of arrival, what is over before anything that is not, and all but ``most``."""
        held = self._held
        while held and (held[0].event is not None or len(held) > most):
            arrival = held.popleft()
            if arrival.model and not arrival.is_left_out:
                self._put(arrival.event or Event(arrival.t_ms, arrival.model, instance=self._instance))

    def _put(self, event: Event) -> None:
        if self._is_stopped:
            return
        if self._queue.qsize() >= QUEUED_MOST:
            self._stop("what happened could not be written as fast", event.t_ms)
            return
        if event.model not in self._seen:
            model = self._describe(event.model)
            if len(event.model) > MOST_CHARACTERS or (model is None and event.outcome == NOT_FOUND):
                return
            self._seen.add(event.model)
            self._queue.put(model or Model(event.model))
        self._queue.put(event)

    def _stop(self, early: str, t_ms: float | None = None) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            self._queue.put(End(0, self._at() if t_ms is None else t_ms, early))

    # -- in the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        file: LineFile | None = None
        try:
            put_aside(self._path)
            file = LineFile(self._path)
            file.write(text(self._header))
            while not isinstance(item := self._queue.get(), End):
                file.write(text(item))
                if isinstance(item, Event):
                    self._count, self._latest = self._count + 1, item.t_ms
                if file.grown() > self._most_bytes:
                    item = End(0, self._latest, f"the file has MM_TRACE_MAX_BYTES={self._most_bytes}")
                    break
                if self._queue.empty():
                    file.flush()
            self._end(file, item)
        except Exception as problem:  # whatever it is, the mesh goes on
            why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
            end = End(0, self._latest, why)
            try:
                self._end(file, end)
            except Exception:  # what kept it from writing may well keep it from saying so
                _log.debug("nor can it say so", exc_info=True)
        self._is_stopped = True

    def _end(self, file: LineFile | None, end: End) -> None:
        if end.early:
            self._is_stopped = True
            _log.warning("the trace %s ends: %s", self._path, end.early)
        if file is not None:
            try:
                file.write(text(End(self._count, max(end.t_ms, self._latest), end.early)))
            finally:
                file.close()


def start_tracer(config: Config, node: Node, start_ms: int) -> Tracer | None:
    """A tracer that has started, if there is a path for one; ``close`` it when nothing more is served."""
    if not config.trace_path:
        return None

    def describe(model: str) -> Model | None:
        try:
            record = node.view.record(model)
        except BadRecord:
            return Model(model)
        return None if record is None else Model(model, record.type, record.size_bytes or None)

    tracer = Tracer(
        path_of(config.trace_path, config.instance_id), config.instance_id, start_ms, config.trace_sample,
        config.trace_max_bytes, describe, f"meshd {version('meshd')}",
    )  # fmt: skip
    tracer.start()
    return tracer
