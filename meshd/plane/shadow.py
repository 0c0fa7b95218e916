"""Copies of clients' requests to a second model, sent once the client has its answer: what comes back is dropped."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import grpc
import grpc.aio

from meshcore.asks import Answered, Done, Failed, Request
from meshd.metrics import Metrics, Shadow
from meshd.plane.call import Carrier, Ended, InferenceCall
from meshd.plane.inbound import Retained
from meshd.plane.metadata import Metadata
from meshd.plane.methods import UNARY
from meshd.plane.stream import StreamCall
from meshd.plane.unary import UnaryCall

MOST_AT_ONCE = 64
"""Shadow calls under way of one instance: more than a model that keeps up with its clients needs."""

LIMIT_S = 60.0
"""A shadow call that takes longer is given up, also where its client would have waited."""

_log = logging.getLogger(__name__)


class Serving(Carrier, Protocol):
    """The plane that shadow calls are carried by."""

    async def serve(self, request: Request, call: InferenceCall) -> Done | Failed: ...


class Copied:
    """What a client sends in one call, kept whole as long as there is room for all of it."""

    def __init__(self, buffer: Retained, model: str) -> None:
        self._buffer, self.model = buffer, model
        self.messages: list[bytes] = []
        self.count_bytes = 0
        self.has_outgrown = False

    def take(self, message: bytes) -> None:
        """The client sent one more message."""
        if self.has_outgrown:
            return
        if self._buffer.keep(self.count_bytes, len(message)):
            self.count_bytes += len(message)
            self.messages.append(message)
        else:
            self.has_outgrown = True
            self.drop()

    def drop(self) -> None:
        """Nobody needs it any more."""
        self._buffer.give_back(self.count_bytes)
        self.count_bytes = 0
        self.messages = []


class Nobody:
    """The client of a shadow call: it has said everything, and what it is told goes nowhere."""

    def __init__(self, messages: Sequence[bytes], limit_s: float) -> None:
        self._messages, self._limit_s = deque(messages), limit_s

    def time_remaining(self) -> float:
        return self._limit_s

    async def read(self) -> Any:
        return self._messages.popleft() if self._messages else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        pass

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        pass


class Shadows:
    """The shadow calls of one instance, so many at once and so many bytes: what is beyond that is dropped, not queued.

    They begin when the client's own call is over and have room, places and metrics of their own, so that nothing of
    them is felt by a client: no failure, no waiting, no back-pressure. Every request that could have had a shadow call
    is counted once, by what became of that.
    """

    def __init__(self, plane: Serving, buffer: Retained, metrics: Metrics) -> None:
        self._plane, self._metrics = plane, metrics
        self.buffer = buffer
        self._under_way: set[asyncio.Task[None]] = set()
        self._has_ended = False

    @property
    def under_way(self) -> int:
        """How many of them."""
        return len(self._under_way)

    def begin(self, model: str, body: bytes | None) -> Copied:
        """A client's call begins that ``model`` is to see; ``body`` is all that it sends, None: that is to come."""
        copied = Copied(self.buffer, model)
        if body is not None:
            copied.take(body)
        return copied

    def pass_over(self, copied: Copied) -> None:
        """The client's call came to nothing: there is nothing to be seen."""
        copied.drop()
        self._metrics.shadow(Shadow.DROPPED)

    def send(self, copied: Copied, path: str, metadata: Metadata, is_balanced: bool, given_s: float | None) -> None:
        """The client's call is over, and all of it was read; the client gave it ``given_s``, None: any time."""
        if self._has_ended or copied.has_outgrown or len(self._under_way) >= MOST_AT_ONCE:
            self.pass_over(copied)
            return
        limit_s = LIMIT_S if given_s is None else min(given_s, LIMIT_S)
        task = asyncio.get_running_loop().create_task(self._send(copied, path, metadata, is_balanced, limit_s))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def end(self) -> None:
        """This instance goes: nobody waits for shadow calls."""
        self._has_ended = True
        for task in self._under_way:
            task.cancel()

    async def _send(self, copied: Copied, path: str, metadata: Metadata, is_balanced: bool, limit_s: float) -> None:
        outcome = Shadow.FAILED
        try:
            async with asyncio.timeout(limit_s):
                request = Request(copied.model, is_balanced=is_balanced, is_asked_for=False, is_shadow=True)
                outcome = _outcome(await self._answered(request, copied, path, metadata, limit_s))
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            outcome = Shadow.DROPPED
            raise
        except Exception:
            _log.exception("a shadow call of %s has no end", copied.model)
        finally:
            copied.drop()
            self._metrics.shadow(outcome)

    async def _answered(
        self, request: Request, copied: Copied, path: str, metadata: Metadata, limit_s: float
    ) -> Done | Failed:
        plane, nobody = self._plane, Nobody(copied.messages, limit_s)
        kept = Retained(copied.count_bytes, copied.count_bytes)  # the room for it is taken
        call: InferenceCall
        if path in UNARY:
            call = UnaryCall(plane, path, metadata, nobody, copied.messages[0], kept)
        else:
            call = StreamCall(plane, path, metadata, nobody, kept)
        try:
            return await plane.serve(request, call)
        finally:
            call.close()


def _outcome(end: Done | Failed) -> Shadow:
    match end:
        case Done(Answered(Ended(status=grpc.StatusCode.OK))):
            return Shadow.ANSWERED
        case _:
            return Shadow.FAILED
