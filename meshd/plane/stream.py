"""One inference call of any kind: messages pass both ways as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc.aio

from meshd.plane import internal
from meshd.plane.call import Carrier, Convert, Ended, InferenceCall, is_cancelled
from meshd.plane.inbound import Inbound, Retained
from meshd.plane.metadata import Metadata, for_client

HEADERS_S = 0.05
"""While a client may still send, an answer's metadata that comes without a message is passed on after this long: it
may be waiting for it. Until then, as before any answer, another copy can be tried."""

FIRST_S = 0.02
"""The first message of an answer is held this long for what follows: of a unary call it is worth nothing without its
status, and if the other side dies between the two, another copy can still be tried."""

LATE_S = 0.01
"""A loop that is further behind may not have seen what has long come."""
LATE_MOST = 5
"""But one that always is does not hold an answer back for ever."""


class StreamCall(InferenceCall):
    """A call whose messages are read while they are passed on.

    ``whole_mark`` is what an answer of one message begins with once all of it is there; ``tell`` is told every message
    that the client sends.
    """

    def __init__(
        self, plane: Carrier, path: str, metadata: Metadata, context: Any, buffer: Retained,
        whole_mark: Metadata = (), tell: Callable[[bytes], None] | None = None,
    ) -> None:  # fmt: skip
        self._whole_mark = whole_mark
        self._inbound = Inbound(context.read, buffer, tell)
        super().__init__(plane, path, metadata, context, self._inbound)
        self._first: bytes | None = None
        """The first message of the answer while it is held."""
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = 0
        self._early: asyncio.Task[None] | None = None
        """Begins the answer where what follows takes long."""

    async def _relay(self, channel: Any, metadata: Metadata, convert: Convert | None) -> Ended:
        inbound = self._inbound
        call = channel.stream_stream(self._path)(timeout=self._left_s(), metadata=metadata)
        inbound.attach(call, convert)
        self._look_in(HEADERS_S, call)
        try:
            message = await call.read()
            has_all = message is not grpc.aio.EOF and internal.is_whole(await call.initial_metadata())
            if message is not grpc.aio.EOF and (has_all or inbound.is_done) and not self.has_begun:
                self._first = message
                self._look_in(None if has_all else FIRST_S, call)
                message = await call.read()
            await self._begin(call, message)
            while message is not grpc.aio.EOF:
                await self._show(message)
                message = await call.read()
            initial = () if self.has_begun else for_client(await call.initial_metadata())
            return Ended(initial=initial, trailing=await self._trailing(call))
        except asyncio.CancelledError:
            if inbound.failure is not None and not is_cancelled():
                await self._begun()
                raise inbound.failure from None
            raise
        except grpc.aio.AioRpcError:
            await self._begun()
            raise
        finally:
            self._stop_looking()
            self._first = None
            inbound.detach()
            call.cancel()  # nothing, if it has ended

    async def _begin(self, call: Any, message: Any) -> None:
        """What follows is there: begin the answer, unless it has no message at all."""
        if self.has_begun:
            await self._begun()
            return
        self._stop_looking()
        if self._first is not None or message is not grpc.aio.EOF:
            initial = for_client(await call.initial_metadata())
            await self._show_beginning(initial if message is not grpc.aio.EOF else initial + self._whole_mark, False)

    async def _show_beginning(self, initial: Metadata, has_to: bool) -> None:
        """From here on there is no other try."""
        self.has_begun = True
        self._inbound.let_go()
        if initial or has_to:
            await self._context.send_initial_metadata(initial)
        first, self._first = self._first, None
        if first is not None:
            await self._show(first)

    async def _show(self, message: bytes) -> None:
        self.reply_bytes = (self.reply_bytes or 0) + len(message)
        await self._context.write(message)

    # -- where what follows takes long -----------------------------------------------------------------

    def _look_in(self, after_s: float | None, call: Any) -> None:
        """Look ``after_s`` from now instead of when that was planned; None: never."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if after_s is None else self._loop.call_later(after_s, self._look, call)

    def _look(self, call: Any) -> None:
        assert self._timer is not None
        if self._loop.time() - self._timer.when() > LATE_S and self._was_late < LATE_MOST:
            self._was_late += 1
            self._look_in(FIRST_S, call)
        elif self._first is not None or not self._inbound.is_done:
            self._early = self._loop.create_task(self._begin_early(call))

    async def _begin_early(self, call: Any) -> None:
        initial = for_client(await call.initial_metadata())
        if self._first is None:
            await asyncio.sleep(HEADERS_S)  # else it is but a status without metadata that is about to come
            if self._inbound.is_done or call.done():
                return
        if not self.has_begun:
            with suppress(grpc.aio.BaseError):  # the client has left
                await self._show_beginning(initial, has_to=True)

    async def _begun(self) -> None:
        """What begins the answer, if it is under way, is done: nothing else may be sent before."""
        if self.has_begun and self._early is not None:
            await self._early

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._early is not None:
            self._early.cancel()
            self._early = None
