"""Follows a range of etcd's keys without a gap, whatever happens to connections (docs/design.md, store)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import groupby
from typing import Any

import grpc

from meshcore.kv import Change, Compacted, Deleted, Pair
from meshd.store.base import TABLE_S
from meshd.store.etcd_channel import Attempt, Cluster, EtcdRefused, Member, WatchDenied, is_passing
from meshd.store.etcd_text import range_of, to_pair, to_text
from protos import etcd_pb2


async def watch(cluster: Cluster, prefix: str, after: int) -> AsyncGenerator[tuple[Change, ...], None]:
    """See ``Store.changes``: whole revisions after ``after``, and an empty batch whenever the watch stands (again)."""
    while True:
        stream, member, revision = await _opened(cluster, prefix, after)
        try:
            if revision < after and await _revision(cluster, prefix) < after:
                raise Compacted(after)  # not a member that lags: the store was put back to an earlier state
            yield ()
            events: list[Any] = []
            while (reply := await stream.read()) is not grpc.aio.EOF:
                if reply.compact_revision:
                    raise Compacted(after)
                if reply.canceled:
                    break  # opening it again says why, if it is for good
                events += reply.events
                if reply.fragment:
                    continue  # the last revision is not whole yet
                # What comes next is counted from the events: the header is ahead of them while a watch catches up.
                changes = _changes(events, after)
                events = []
                if changes:
                    after = changes[-1].revision
                    yield changes
        except grpc.aio.AioRpcError as error:
            if not is_passing(error):
                raise EtcdRefused(error.code(), error.details() or error.code().name) from error
        except asyncio.CancelledError as cancelled:
            raise cluster.explained(cancelled) from None
        finally:
            stream.cancel()
        cluster.leave(member)
        await cluster.pause()


async def _opened(cluster: Cluster, prefix: str, after: int) -> tuple[Any, Member, int]:
    """A watch that the server has confirmed, where it is, and the server's revision then."""
    first, end = range_of(prefix)
    # It starts one revision early, which is dropped again: etcd up to 3.5.15 can leave out a deletion done at the very
    # revision that is compacted while a watch is opened there. Revision 0 would mean "from now on".
    request = etcd_pb2.WatchCreateRequest(key=first, range_end=end, start_revision=max(1, after), fragment=True)

    async def call(attempt: Attempt) -> tuple[Any, Member, int]:
        stream = attempt.member.watch.Watch(metadata=attempt.metadata)
        try:
            async with asyncio.timeout(attempt.timeout_s):
                await stream.write(etcd_pb2.WatchRequest(create_request=request))
                reply = await stream.read()
            if reply is grpc.aio.EOF:
                raise TimeoutError  # it hung up without a word
            if reply.canceled and not reply.compact_revision:
                raise WatchDenied(f"etcd refused to watch {prefix!r}: {reply.cancel_reason}")
            if reply.compact_revision:
                raise Compacted(after)
        except BaseException:
            stream.cancel()
            raise
        return stream, attempt.member, reply.header.revision

    opened, _ = await cluster.run(call, TABLE_S)
    return opened


async def _revision(cluster: Cluster, prefix: str) -> int:
    """The store's revision, linearisable; asked with a key that a user who may read ``prefix`` may read."""
    request = etcd_pb2.RangeRequest(key=range_of(prefix)[0], count_only=True)

    reply, _ = await cluster.ask(lambda member: member.kv.Range, request, TABLE_S)
    return int(reply.header.revision)


def _changes(events: list[Any], after: int) -> tuple[Change, ...]:
    """Events as whole revisions; those up to ``after`` were told before (a member that lags replays them)."""
    news = (event for event in events if event.kv.mod_revision > after)
    return tuple(
        Change(revision, tuple(_pair(event) for event in whole))
        for revision, whole in groupby(news, key=lambda event: int(event.kv.mod_revision))
    )


def _pair(event: Any) -> Pair | Deleted:
    if event.type == etcd_pb2.Event.DELETE:
        return Deleted(to_text(event.kv.key), event.kv.mod_revision)
    return to_pair(event.kv)
