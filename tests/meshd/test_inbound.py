"""What a client sends: in order, once to each try, kept within bounds, read only when it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from grpc import aio

from meshd.plane.inbound import Inbound, Retained
from tests import virtual_loop

KIB = 1024


class Sender:
    """A client: what it is to say is put, and ``reads`` counts how often it was asked."""

    def __init__(self, *messages: bytes, ends: bool = True) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = 0
        for message in messages:
            self._queue.put_nowait(message)
        if ends:
            self.end()

    def put(self, message: bytes) -> None:
        self._queue.put_nowait(message)

    def end(self) -> None:
        self._queue.put_nowait(aio.EOF)

    async def read(self) -> Any:
        self.reads += 1
        return await self._queue.get()


class Try:
    """The other side of one try: what it got, and, while it is blocked, what it does not take."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.got: list[bytes | None] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_cancelled = False
        self._fails_at = fails_at
        self._cython_call = self

    async def wait_for_connection(self) -> None:
        pass

    async def send_serialized_message(self, message: bytes) -> None:
        await self.open.wait()
        if self._fails_at == len(self.got):
            raise aio.BaseError
        self.got.append(message)

    async def done_writing(self) -> None:
        self.got.append(None)

    def cancel(self) -> None:
        self.is_cancelled = True


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def inbound(sender: Sender, request_bytes: int = KIB, process_bytes: int = 4 * KIB) -> tuple[Inbound, Retained]:
    room = Retained(request_bytes, process_bytes)
    return Inbound(sender.read, room), room


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    virtual_loop.run(test())


async def got_after(first: Try) -> list[bytes | None]:
    """What the next try gets of one message when ``first`` came to nothing."""
    made, _ = inbound(Sender(b"a"))
    made.attach(first, None)
    await settle()
    made.detach()
    second = Try()
    made.attach(second, None)
    await settle()
    made.close()
    return second.got


def test_nothing_is_read_before_somebody_takes_it() -> None:
    async def test() -> None:
        sender = Sender(b"a", b"b")
        made, _ = inbound(sender)
        await settle()
        assert sender.reads == 0
        first = Try()
        first.open.clear()
        made.attach(first, None)
        await settle()
        assert (sender.reads, first.got) == (1, [])
        first.open.set()
        await settle()
        assert first.got == [b"a", b"b", None]
        made.close()

    run(test)


def test_another_try_gets_everything_from_the_beginning() -> None:
    async def test() -> None:
        sender = Sender(b"a", b"b", ends=False)
        made, room = inbound(sender)
        first, second = Try(), Try()
        made.attach(first, None)
        await settle()
        made.detach()
        made.attach(second, lambda message: message * 2)
        sender.put(b"c")
        sender.end()
        await settle()
        assert (first.got, second.got) == ([b"a", b"b"], [b"aa", b"bb", b"cc", None])
        assert (room.used_bytes, made.count_bytes, made.can_repeat, made.is_done) == (3, 3, True, True)
        made.close()
        assert room.used_bytes == 0

    run(test)


def test_another_try_does_not_wait_for_the_clients_next_word() -> None:
    """A client that waits for an answer says nothing more before it has one."""

    async def test() -> None:
        sender = Sender(b"a", ends=False)
        made, _ = inbound(sender)
        tries = [Try() for _ in range(4)]
        for each in tries:
            made.attach(each, None)
            await settle()
            assert each.got == [b"a"]
            made.detach()
        last = Try()
        made.attach(last, None)
        await settle()
        sender.put(b"b")
        await settle()
        sender.end()
        await asyncio.sleep(1)
        assert last.got == [b"a", b"b", None]
        assert sender.reads == 3, "one read is waited for, however many tries there were"
        made.close()

    run(test)


def test_try_that_never_connects_does_not_hold_up_the_next_one() -> None:
    """gRPC does not tell who waits for a connection when the call is cancelled before there is one."""

    class Deaf(Try):
        async def wait_for_connection(self) -> None:
            await asyncio.Event().wait()

    async def test() -> None:
        assert await got_after(Deaf()) == [b"a", None]

    run(test)


def test_message_that_outgrows_its_share_between_two_tries_spoils_nothing() -> None:
    """What the next one is to be sent is all still there."""

    async def test() -> None:
        sender = Sender(b"a", ends=False)
        made, room = inbound(sender)
        first, second = Try(), Try()
        made.attach(first, None)
        await settle()
        made.detach()
        assert made.can_repeat
        sender.put(bytes(2 * KIB))
        await settle()
        assert (made.can_repeat, made.has_outgrown, room.used_bytes) == (True, True, 0)
        made.attach(second, None)
        sender.end()
        await asyncio.sleep(1)
        assert [len(message or b"") for message in second.got] == [1, 2 * KIB, 0]
        assert not made.can_repeat
        made.close()

    run(test)


def test_client_that_leaves_is_not_taken_for_one_that_has_said_all() -> None:
    """Its read ends like any other, and a moment later its call is cancelled."""

    async def test() -> None:
        sender = Sender(b"a", ends=False)
        made, _ = inbound(sender)
        first = Try()
        made.attach(first, None)
        await asyncio.sleep(1)
        sender.end()
        await settle()
        made.close()
        await asyncio.sleep(1)
        assert first.got == [b"a"]

    run(test)


def test_message_that_a_try_ended_under_is_the_next_ones() -> None:
    async def test() -> None:
        for fails_at in (0, 1, 2):
            sender = Sender(b"a", b"b", b"c")
            made, _ = inbound(sender)
            first, second = Try(fails_at=fails_at), Try()
            made.attach(first, None)
            await settle()
            assert len(first.got) == fails_at
            made.detach()
            made.attach(second, None)
            await settle()
            assert second.got == [b"a", b"b", b"c", None]
            made.close()

    run(test)


def test_message_that_comes_between_two_tries_is_not_lost() -> None:
    """The read that one try asked for ends when the next one is there."""

    async def test() -> None:
        sender = Sender(ends=False)
        made, _ = inbound(sender)
        first, second = Try(), Try()
        made.attach(first, None)
        await settle()
        made.detach()
        made.attach(second, None)
        sender.put(b"a")
        sender.end()
        await settle()
        assert (first.got, second.got) == ([], [b"a", None])
        assert sender.reads == 2
        made.close()

    run(test)


def test_request_beyond_its_share_is_sent_and_forgotten() -> None:
    async def test() -> None:
        sender = Sender(bytes(KIB // 2), bytes(KIB // 2), b"x", ends=False)
        made, room = inbound(sender)
        first = Try()
        made.attach(first, None)
        await settle()
        assert [len(message or b"") for message in first.got] == [KIB // 2, KIB // 2, 1]
        assert (made.can_repeat, made.has_outgrown, room.used_bytes) == (False, True, 0)
        sender.put(b"y")
        sender.end()
        await settle()
        assert first.got[3:] == [b"y", None]
        made.close()

    run(test)


def test_large_message_that_was_not_taken_yet_can_still_go_elsewhere() -> None:
    """It was sent to nobody, so nothing has to be kept for it."""

    async def test() -> None:
        sender = Sender(bytes(2 * KIB))
        made, room = inbound(sender)
        first, second = Try(fails_at=0), Try()
        made.attach(first, None)
        await settle()
        assert made.can_repeat
        made.detach()
        made.attach(second, None)
        await settle()
        assert [len(message or b"") for message in second.got] == [2 * KIB, 0]
        assert not made.can_repeat
        assert room.used_bytes == 0
        made.close()

    run(test)


def test_requests_together_stay_within_their_room() -> None:
    async def test() -> None:
        room = Retained(KIB, 4 * KIB)
        all_made = []
        for _ in range(10):
            made = Inbound(Sender(bytes(KIB), ends=False).read, room)
            made.attach(Try(), None)
            all_made.append(made)
        await settle()
        assert room.used_bytes == 4 * KIB
        assert [made.can_repeat for made in all_made] == [True] * 4 + [False] * 6
        all_made[0].let_go()
        assert room.used_bytes == 3 * KIB
        for made in all_made:
            made.close()
        assert room.used_bytes == 0

    run(test)


def test_what_was_sent_is_not_kept_once_an_answer_has_begun() -> None:
    async def test() -> None:
        sender = Sender(b"a", b"b", ends=False)
        made, room = inbound(sender)
        first = Try()
        made.attach(first, None)
        await settle()
        made.let_go()
        assert (room.used_bytes, made.can_repeat, made.has_outgrown) == (0, False, False)
        sender.put(b"c")
        sender.end()
        await settle()
        assert first.got == [b"a", b"b", b"c", None]
        made.close()

    run(test)


def test_message_that_cannot_be_converted_ends_the_try() -> None:
    async def test() -> None:
        sender = Sender(b"a")
        made, _ = inbound(sender)
        first = Try()

        def refuse(message: bytes) -> bytes:
            raise ValueError("no protobuf")

        made.attach(first, refuse)
        await settle()
        assert (first.got, first.is_cancelled, str(made.failure)) == ([], True, "no protobuf")
        made.close()

    run(test)


def test_try_that_was_cancelled_does_not_end_the_reading() -> None:
    """gRPC tells a writer of a cancelled call by CancelledError, as if it were cancelled itself."""

    class Cancelled(Try):
        async def send_serialized_message(self, message: bytes) -> None:
            raise asyncio.CancelledError

    async def test() -> None:
        assert await got_after(Cancelled()) == [b"a", None]

    run(test)


@pytest.mark.parametrize("held", [0, KIB])
def test_room_is_refused_whole(held: int) -> None:
    room = Retained(KIB, 2 * KIB)
    assert not room.keep(held, KIB + 1 - held)
    assert room.used_bytes == 0
