"""What a server may say on a watch, said by a scripted one, for a real one says it rarely and when it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from meshcore.kv import Change, Compacted, Deleted, Pair
from meshd.store.base import StoreRefused
from meshd.store.etcd import EtcdStore
from protos import etcd_pb2, etcd_pb2_grpc
from tests.store.places import etcd_client, run

HANG_UP = object()
"""Instead of a response: the stream ends, in good order and without a word."""


class Script(etcd_pb2_grpc.WatchServicer, etcd_pb2_grpc.KVServicer):  # type: ignore[misc]
    """Each watch that is opened gets the next of ``streams`` and then nothing more; ``asked`` is where they began."""

    def __init__(self, streams: Sequence[Sequence[Any]], revision: int) -> None:
        self._streams, self._revision = list(streams), revision
        self.asked: list[int] = []

    async def Watch(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        request = await anext(requests)
        self.asked.append(request.create_request.start_revision)
        for response in self._streams.pop(0) if self._streams else [created()]:
            if response is HANG_UP:
                return
            yield response
        await asyncio.Event().wait()

    async def Range(self, request: Any, context: Any) -> Any:
        return etcd_pb2.RangeResponse(header=etcd_pb2.ResponseHeader(revision=self._revision))


@asynccontextmanager
async def scripted(*streams: Sequence[Any], revision: int = 1_000) -> AsyncIterator[tuple[EtcdStore, Script]]:
    script, server = Script(streams, revision), grpc.aio.server()
    etcd_pb2_grpc.add_WatchServicer_to_server(script, server)
    etcd_pb2_grpc.add_KVServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    store = etcd_client(f"127.0.0.1:{port}")
    try:
        yield store, script
    finally:
        await store.close()
        await server.stop(None)


def header(revision: int) -> Any:
    return etcd_pb2.ResponseHeader(revision=revision)


def created(revision: int = 1_000) -> Any:
    return etcd_pb2.WatchResponse(header=header(revision), created=True)


def events(*revisions: int, ahead: int = 1_000, fragment: bool = False, key: str = "k") -> Any:
    """One response with an event each; ``ahead`` is its header's revision."""
    told = [
        etcd_pb2.Event(kv=etcd_pb2.KeyValue(key=key.encode(), value=b"v", mod_revision=revision, create_revision=1))
        for revision in revisions
    ]
    return etcd_pb2.WatchResponse(header=header(ahead), events=told, fragment=fragment)


async def revisions(store: EtcdStore, after: int, number: int) -> list[int]:
    """The first so many revisions that are told after one."""
    told: list[int] = []
    async with aclosing(store.changes("k", after)) as batches:
        async for batch in batches:
            told += [change.revision for change in batch]
            if len(told) >= number:
                break
    return told


def scene(test: Callable[[EtcdStore, Script], Any], *streams: Sequence[Any], revision: int = 1_000) -> None:
    async def play() -> None:
        async with scripted(*streams, revision=revision) as (store, script):
            await test(store, script)

    run(play())


def test_it_resumes_from_the_last_event_and_not_from_what_heads_it() -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 4) == [6, 7, 8, 9]
        assert script.asked == [5, 7]

    scene(test, [created(), events(6, 7), HANG_UP], [created(), events(8, 9)])


def test_stream_that_ends_in_good_order_is_opened_again() -> None:
    """Also one that ends before it was confirmed."""

    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 1) == [6]
        assert script.asked == [5, 5, 5]

    scene(test, [HANG_UP], [created(), HANG_UP], [created(), events(6)])


def test_progress_is_a_sign_of_life_and_no_more() -> None:
    """Its revision may be ahead of events that are still to come."""

    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 2) == [6, 7]
        assert script.asked == [5, 6]

    progress = etcd_pb2.WatchResponse(header=header(900))
    scene(test, [created(), progress, events(6), progress, HANG_UP], [created(), progress, events(7)])


def test_older_events_told_again_are_dropped() -> None:
    """A member that lags behind replays them."""

    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 3) == [6, 7, 8]

    scene(test, [created(), events(4, 5, 6), events(5, 6), HANG_UP], [created(), events(3, 6, 7), events(7, 8)])


def test_revision_in_pieces_is_told_as_a_whole() -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        async with aclosing(store.changes("k", 5)) as batches:
            assert await anext(batches) == ()
            changes = await anext(batches)
        assert changes == (
            Change(6, (Pair("k", b"v", 6, 1), Pair("ka", b"v", 6, 1))),
            Change(7, (Deleted("kb", 7),)),
        )

    gone = etcd_pb2.Event(type=etcd_pb2.Event.DELETE, kv=etcd_pb2.KeyValue(key=b"kb", mod_revision=7))
    rest = etcd_pb2.WatchResponse(header=header(1_000), events=[gone])
    scene(test, [created(), events(6, fragment=True), events(6, key="ka", fragment=True), rest])


def test_piece_of_a_revision_that_is_broken_off_is_told_whole_by_the_next_stream() -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 2) == [6, 7]
        assert script.asked == [5, 5]

    scene(test, [created(), events(6, fragment=True), HANG_UP], [created(), events(6, 7)])


def test_watch_that_the_server_cancels_is_opened_again() -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 5, 2) == [6, 7]
        assert script.asked == [5, 6]

    cancelled = etcd_pb2.WatchResponse(header=header(1_000), canceled=True, cancel_reason="etcdserver: no leader")
    scene(test, [created(), events(6), cancelled], [created(), events(7)])


def test_watch_that_is_cancelled_for_good_says_why() -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        with pytest.raises(StoreRefused, match="etcd refused to watch 'k': permission denied"):
            await revisions(store, 5, 2)

    cancelled = etcd_pb2.WatchResponse(header=header(1_000), canceled=True)
    denied = etcd_pb2.WatchResponse(created=True, canceled=True, cancel_reason="permission denied")
    scene(test, [created(), events(6), cancelled], [denied])


@pytest.mark.parametrize("is_at_once", [True, False])
def test_compaction_is_told_whenever_the_server_tells_it(is_at_once: bool) -> None:
    async def test(store: EtcdStore, script: Script) -> None:
        with pytest.raises(Compacted) as gone:
            await revisions(store, 5, 2)
        assert gone.value.revision == (5 if is_at_once else 6)

    compacted = etcd_pb2.WatchResponse(header=header(1_000), canceled=True, compact_revision=50)
    scene(test, [created(), compacted] if is_at_once else [created(), events(6), compacted])


def test_member_that_lags_behind_is_waited_for_and_a_store_put_back_is_not() -> None:
    """Both are behind; the store's own revision tells which it is."""

    async def lags(store: EtcdStore, script: Script) -> None:
        assert await revisions(store, 50, 1) == [51]

    async def is_put_back(store: EtcdStore, script: Script) -> None:
        with pytest.raises(Compacted):
            await revisions(store, 50, 1)

    scene(lags, [created(40), events(49, 50), events(51)], revision=60)
    scene(is_put_back, [created(40)], revision=40)
