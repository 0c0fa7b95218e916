"""The store that instances share: etcd 3.4, 3.5 and 3.6 (docs/design.md, store)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, Final

import grpc

from meshcore.kv import Change, Committed, Conflict, LeaseGone, Pair, Snapshot, Write, checked
from meshd.store.base import OTHER_S, TABLE_S, Session, SessionLost, StoreRefused, StoreUnavailable, checked_keys
from meshd.store.etcd_channel import Cluster, EtcdConfig, EtcdRefused, Member
from meshd.store.etcd_commit import Committer
from meshd.store.etcd_lease import EtcdLeases
from meshd.store.etcd_text import range_of, to_bytes, to_pair
from meshd.store.etcd_watch import watch
from meshd.store.session import Sessions
from protos import etcd_pb2

PAGE: Final = 4_096
"""Pairs asked for at once in a snapshot."""

PROBE: Final = "/__DUMMY_KEY_FOR_TESTING_CONNECTION"
"""Read, after the root prefix, to see whether etcd is there; never written (docs/design.md, keys)."""


class EtcdStore:
    """A client of one etcd cluster (see ``meshd.store.base.Store``). Made and used inside a running event loop."""

    def __init__(self, config: EtcdConfig, root_prefix: str, rng: Random) -> None:
        self._cluster = Cluster(config, rng)
        self._sessions = Sessions(EtcdLeases(self._cluster), rng)
        self._committer = Committer(self._cluster)
        self._probe = to_bytes(root_prefix + PROBE)

    async def check(self, timeout_s: float) -> None:
        """See Store."""
        request = etcd_pb2.RangeRequest(key=self._probe, count_only=True, serializable=True)
        try:
            await self._cluster.ask(_range, request, timeout_s)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"Problem connecting to etcd: {error}") from error
        except StoreRefused as error:
            raise StoreRefused(f"Problem connecting to etcd: {error}") from error

    async def snapshot(self, prefix: str) -> Snapshot:
        """See Store."""
        return await self._whole(prefix, "", None)

    async def page(self, prefix: str, after: str, limit: int) -> Snapshot:
        """See Store."""
        return await self._whole(prefix, after, limit)

    async def read(self, *keys: str) -> Snapshot:
        """See Store."""
        request = etcd_pb2.TxnRequest()
        for key in sorted(checked_keys(keys)):
            request.success.add(request_range=etcd_pb2.RangeRequest(key=to_bytes(key)))
        reply, _ = await self._cluster.ask(lambda member: member.kv.Txn, request, TABLE_S)
        found = (pair for response in reply.responses for pair in response.response_range.kvs)
        return Snapshot(reply.header.revision, tuple(map(to_pair, found)))

    def changes(self, prefix: str, after: int) -> AsyncGenerator[tuple[Change, ...], None]:
        """See Store."""
        return watch(self._cluster, prefix, after)

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """See Store."""
        lease = self._sessions.lease_for(checked(writes))
        try:
            return await self._committer.commit(writes, lease)
        except LeaseGone as gone:
            self._sessions.tell_gone(lease)
            raise SessionLost(f"the session with the store is lost: {gone}") from gone

    def session(self, ttl_s: int) -> AbstractAsyncContextManager[Session]:
        """See Store."""
        return self._sessions.hold(ttl_s)

    async def close(self) -> None:
        """See Store."""
        await self._cluster.close()

    async def _whole(self, prefix: str, after: str, limit: int | None) -> Snapshot:
        while True:
            try:
                return await self._pages(prefix, after, limit)
            except EtcdRefused as refused:
                if refused.code is not grpc.StatusCode.OUT_OF_RANGE:
                    raise  # else the revision was compacted before the last page: from the beginning

    async def _pages(self, prefix: str, after: str, limit: int | None) -> Snapshot:
        start, end = range_of(prefix)
        start = max(start, to_bytes(after) + b"\0")
        pairs: list[Pair] = []
        revision, page = 0, PAGE
        while True:
            most = page if limit is None else min(page, limit - len(pairs))
            request = etcd_pb2.RangeRequest(key=start, range_end=end, limit=most, revision=revision)
            try:
                reply, _ = await self._cluster.ask(_range, request, OTHER_S)
            except EtcdRefused as refused:
                if refused.code is not grpc.StatusCode.RESOURCE_EXHAUSTED or most == 1:
                    raise
                page = most // 2  # more than one message may hold
                continue
            revision = revision or reply.header.revision
            pairs += map(to_pair, reply.kvs)
            if not reply.more or len(pairs) == limit:
                return Snapshot(revision, tuple(pairs))
            start = reply.kvs[-1].key + b"\0"


def _range(member: Member) -> Any:
    return member.kv.Range
