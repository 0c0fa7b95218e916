"""One inference call of any kind: messages pass both ways as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc.aio

from meshd.plane.call import Carrier, Convert, Ended, InferenceCall
from meshd.plane.inbound import Inbound
from meshd.plane.metadata import Metadata, for_client

HEADERS_S = 0.05
"""While a client may still send, an answer's metadata that comes without a message is passed on after this long: it
may be waiting for it. Until then, as before any answer, another copy can be tried."""

LATE_S = 0.01
"""A loop that is further behind may not have seen the end of a request that has long come."""


class StreamCall(InferenceCall):
    """A call whose messages are read while they are passed on."""

    def __init__(self, plane: Carrier, path: str, metadata: Metadata, context: Any) -> None:
        self._inbound = Inbound(context.read, plane.buffer)
        super().__init__(plane, path, metadata, context, self._inbound)
        self._early: asyncio.Task[None] | None = None
        """Passes metadata on that comes long before a message."""
        self._watch: asyncio.TimerHandle

    async def _relay(self, channel: Any, metadata: Metadata, convert: Convert | None) -> Ended:
        inbound = self._inbound
        call = channel.stream_stream(self._path)(timeout=self._left_s(), metadata=metadata)
        inbound.attach(call, convert)
        self._watch = self._loop.call_later(HEADERS_S, self._look, call)
        try:
            message = await call.read()
            self._watch.cancel()
            if message is not grpc.aio.EOF:
                await self._begin(call)
            while message is not grpc.aio.EOF:
                self.reply_bytes = (self.reply_bytes or 0) + len(message)
                await self._context.write(message)
                message = await call.read()
            initial = () if self.has_begun else for_client(await call.initial_metadata())
            return Ended(initial=initial, trailing=await self._trailing(call))
        except asyncio.CancelledError:
            if inbound.failure is not None and not _is_cancelled():
                raise inbound.failure from None
            raise
        finally:
            self._watch.cancel()
            if self._early is not None and not self.has_begun:
                self._early.cancel()
            inbound.detach()
            call.cancel()  # nothing, if it has ended

    async def _begin(self, call: Any) -> None:
        """The first message is there: from here on there is no other try."""
        if not self.has_begun:
            self.has_begun = True
            self._inbound.let_go()
            if initial := for_client(await call.initial_metadata()):
                await self._context.send_initial_metadata(initial)
        elif self._early is not None:
            await self._early

    def _look(self, call: Any) -> None:
        """No message for a while: a client that may still send, may be waiting for the answer's metadata."""
        late_s = self._loop.time() - self._watch.when()
        if self._inbound.is_done:
            return
        if late_s > LATE_S:
            self._watch = self._loop.call_later(HEADERS_S, self._look, call)
        else:
            self._early = self._loop.create_task(self._begin_early(call))

    async def _begin_early(self, call: Any) -> None:
        initial = for_client(await call.initial_metadata())
        await asyncio.sleep(HEADERS_S)  # else it is but a status without metadata that is about to come
        if not self.has_begun and not self._inbound.is_done and not call.done():
            self.has_begun = True
            self._inbound.let_go()
            with suppress(grpc.aio.BaseError):  # the client has left
                await self._context.send_initial_metadata(initial)


def _is_cancelled() -> bool:
    """Whether whoever runs this is being cancelled, and not just a call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
