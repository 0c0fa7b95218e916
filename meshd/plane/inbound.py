"""What a client sends in one call: read when it is wanted, kept while it may have to be sent again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

LEAVES_S = 0.001
"""A read that ends without a message because the client left is followed by the end of its call within this."""


class Retained:
    """How much of the requests under way may be kept for another try: of each, and of all together (bytes)."""

    def __init__(self, request_bytes: int, process_bytes: int) -> None:
        self._request_bytes, self._process_bytes = request_bytes, process_bytes
        self.used_bytes = 0

    def another(self) -> Retained:
        """As much room again, for something else."""
        return Retained(self._request_bytes, self._process_bytes)

    def keep(self, held_bytes: int, more_bytes: int) -> bool:
        """Make room for ``more_bytes`` of a request that has ``held_bytes`` here; False: there is none."""
        if held_bytes + more_bytes > self._request_bytes or self.used_bytes + more_bytes > self._process_bytes:
            return False
        self.used_bytes += more_bytes
        return True

    def give_back(self, held_bytes: int) -> None:
        """A request needs its room no more."""
        self.used_bytes -= held_bytes


class Inbound:
    """The messages of one call, sent on to one try after another.

    Nothing is read before the first try, and nothing while a message waits to be sent: a client that is faster than
    the model, or whose model is being loaded, is held back by flow control. What was sent is kept as long as the
    buffer has room for all of it and no answer has begun. ``tell`` is told every message as it comes.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Any]], buffer: Retained, tell: Callable[[bytes], None] | None = None
    ) -> None:
        self._read, self._buffer, self._tell = read, buffer, tell
        self._messages: deque[bytes] = deque()
        """From message number ``_dropped`` on."""
        self._dropped = 0
        self._held_bytes = 0
        self._is_keeping = True
        self.has_outgrown = False
        """Whether there was more of it than may be kept."""
        self._is_done = False
        self._is_told = False
        """Whether the try under way was told that no more will come."""
        self._call: Any = None
        self._convert: Callable[[bytes], bytes] | None = None
        self._sent = 0
        """How many messages the try under way was sent."""
        self._pump: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        """The pump of an earlier try that still waits for the client's next message."""
        self._is_reading = False
        self._news = asyncio.Event()
        self.failure: Exception | None = None
        """What ``convert`` raised on a message that could not be sent."""
        self.count_bytes = 0

    @property
    def can_repeat(self) -> bool:
        """Whether everything that was sent can be sent once more."""
        return self._dropped == 0

    @property
    def is_done(self) -> bool:
        """Whether the client has said all that it will."""
        return self._is_done

    def attach(self, call: Any, convert: Callable[[bytes], bytes] | None) -> None:
        """Send everything from the first message on to ``call``, each as ``convert`` makes it."""
        assert self.can_repeat
        self._call, self._convert, self._sent, self._is_told = call, convert, 0, False
        if self._pump is not None:
            if self._is_reading and self._reader is None:
                self._reader = self._pump  # what is kept must not wait for the client's next message
            else:
                self._pump.cancel()
        self._pump = asyncio.get_running_loop().create_task(self._run())

    def detach(self) -> None:
        """The try is over; of the next one nothing is sent yet."""
        self._call, self._sent = None, 0

    def let_go(self) -> None:
        """There will be no other try: what was sent need not be kept."""
        self._is_keeping = False
        while self._dropped < self._sent:
            self._messages.popleft()
            self._dropped += 1
        self._buffer.give_back(self._held_bytes)
        self._held_bytes = 0

    def close(self) -> None:
        """The call is over."""
        for task in (self._pump, self._reader):
            if task is not None:
                task.cancel()
        self.let_go()
        self._messages.clear()

    async def _run(self) -> None:
        while not (self._is_told and not self._is_keeping):
            call = self._call
            at = self._sent - self._dropped
            is_dry = at == len(self._messages) and not self._is_done
            if call is None or self._is_told or (is_dry and self._is_reading):
                self._news.clear()
                await self._news.wait()
                continue
            if is_dry:
                self._is_reading = True
                try:
                    await self._take()
                finally:
                    self._is_reading = False
                if asyncio.current_task() is self._reader:
                    self._reader = None
                    self._news.set()
                    return
                continue
            was_sent = await self._pass_on(call, None if at == len(self._messages) else self._messages[at])
            if not was_sent and call is self._call:
                self._call = None

    async def _take(self) -> None:
        """Read one more message, which the try under way may have ended meanwhile."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        message = await self._read()
        if message is grpc.aio.EOF:
            # A client that left reads as one that has said all; its call is cancelled within a millisecond. The end of
            # a unary call comes with its message, and nobody waits for it.
            await asyncio.sleep(LEAVES_S if loop.time() - began > LEAVES_S else 0)
            self._is_done = True
            return
        self.count_bytes += len(message)
        if self._tell is not None:
            self._tell(message)
        if self._is_keeping:
            if self._buffer.keep(self._held_bytes, len(message)):
                self._held_bytes += len(message)
            else:
                self.has_outgrown = True
                self.let_go()
        self._messages.append(message)

    async def _pass_on(self, call: Any, message: bytes | None) -> bool:
        """Send one message, or that there are no more; False: the try has ended."""
        try:
            if message is None:
                await call.done_writing()
            else:
                await _write(call, message if self._convert is None else self._convert(message))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False  # the try was cancelled, not this
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.BaseError):
            return False  # its status says why, to whoever waits for the answer
        except ValueError as failure:
            self.failure = failure
            call.cancel()
            return False
        if call is self._call:
            if message is None:
                self._is_told = True
            else:
                self._sent += 1
                if not self._is_keeping:
                    self._messages.popleft()
                    self._dropped += 1
        return True


async def _write(call: Any, message: bytes) -> None:
    """Send one message on a call that may end meanwhile. Raises AioRpcError, BaseError.

    ``call.write`` would replace the status that the other side ended the call with by one of its own, INTERNAL, and
    with it the verdict of an instance that refuses a request before it has all of it.
    """
    await call.wait_for_connection()
    await call._cython_call.send_serialized_message(message)
