"""One inference call that is known to be unary: its message came with it, and the answer comes whole."""

from __future__ import annotations

from typing import Any

from meshd.plane.call import Carrier, Convert, Ended, InferenceCall
from meshd.plane.inbound import Retained
from meshd.plane.metadata import Metadata, for_client


class Whole:
    """A request of one message."""

    is_done = True
    """Nothing more comes."""

    def __init__(self, body: bytes, buffer: Retained) -> None:
        self._body, self._buffer = body, buffer
        self._held_bytes = 0
        self._is_sent = False
        self.count_bytes = len(body)
        self.has_outgrown = False

    @property
    def can_repeat(self) -> bool:
        """Whether it may be sent once more."""
        return not self.has_outgrown

    def take(self) -> bytes:
        """The message for one try, which is kept for another one if there is room."""
        if not self._is_sent:
            self._is_sent = True
            if self._buffer.keep(0, len(self._body)):
                self._held_bytes = len(self._body)
            else:
                self.has_outgrown = True
        return self._body

    def close(self) -> None:
        """The call is over."""
        self._buffer.give_back(self._held_bytes)
        self._held_bytes = 0


class UnaryCall(InferenceCall):
    """A call with ``body`` as its one message."""

    def __init__(
        self, plane: Carrier, path: str, metadata: Metadata, context: Any, body: bytes, buffer: Retained
    ) -> None:
        self._whole = Whole(body, buffer)
        super().__init__(plane, path, metadata, context, self._whole)

    async def _relay(self, channel: Any, metadata: Metadata, convert: Convert | None) -> Ended:
        body = self._whole.take() if convert is None else convert(self._whole.take())
        call = channel.unary_unary(self._path)(body, timeout=self._left_s(), metadata=metadata)
        reply = await call
        self.reply_bytes = len(reply)
        initial = for_client(await call.initial_metadata())
        return Ended(initial=initial, trailing=await self._trailing(call), body=reply)
