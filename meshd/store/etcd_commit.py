"""Commits as etcd transactions: single ones merged while they wait, lost answers resolved (docs/design.md, store)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import grpc

from meshcore.kv import ANY, DELETE, KEEP, MOST_WRITES, Committed, Conflict, LeaseGone, Pair, Write
from meshd.store.base import TABLE_S
from meshd.store.etcd_channel import Cluster, EtcdRefused, Member
from meshd.store.etcd_text import to_bytes, to_pair
from protos import etcd_pb2

WINDOW_S: Final = 0.002
"""For so long a single commit waits for others."""

MOST_BYTES: Final = 512 << 10
"""A transaction is not merged beyond this; etcd takes 1.5 MiB unless told otherwise."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """One commit: all its writes are done at one revision, or none."""

    writes: tuple[Write, ...]
    lease: int
    done: asyncio.Future[Committed | Conflict]

    def answer(self, result: Committed | Conflict | Exception) -> None:
        if self.done.done():
            return  # whoever asked was cancelled
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)

    def judge(self, pairs: tuple[Pair | None, ...], revision: int, may_be_done: bool) -> Committed | Conflict | None:
        """What it comes to where the keys hold ``pairs`` now; None: it can still be done."""
        if may_be_done and all(map(self._is_done, self.writes, pairs)):
            written = [
                pair.mod for write, pair in zip(self.writes, pairs, strict=True) if pair and write.value is not KEEP
            ]
            return Committed(max(written, default=revision))
        if all(write.has_expected(pair) for write, pair in zip(self.writes, pairs, strict=True)):
            return None
        return Conflict(pairs)

    def _is_done(self, write: Write, pair: Pair | None) -> bool:
        if write.value is KEEP:
            return write.has_expected(pair)
        if write.value is DELETE:
            return pair is None
        return (
            pair is not None
            and pair.mod != write.expect
            and pair.value == write.value
            and pair.lease == (self.lease if write.leased else 0)
        )


class Committer:
    """Sends commits to etcd."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._open: list[_Waiting] = []
        self._keys: set[str] = set()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def commit(self, writes: tuple[Write, ...], lease: int) -> Committed | Conflict:
        """See ``Store.commit``; LeaseGone when ``lease`` is."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(writes, lease, loop.create_future())
        if len(writes) > 1:
            self._send([waiting])
        else:
            self._merge(waiting, writes[0])
        return await waiting.done

    def _merge(self, waiting: _Waiting, write: Write) -> None:
        size = len(write.key) + (len(write.value) if isinstance(write.value, bytes) else 0)
        if write.key in self._keys or self._bytes + size > MOST_BYTES:
            self._send_open()
        self._open.append(waiting)
        self._keys.add(write.key)
        self._bytes += size
        if len(self._open) == MOST_WRITES:
            self._send_open()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._send_open)

    def _send_open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        batch, self._open, self._keys, self._bytes, self._timer = self._open, [], set(), 0, None
        if batch:
            self._send(batch)

    def _send(self, batch: list[_Waiting]) -> None:
        self._start(self._resolve(batch, asyncio.get_running_loop().time() + TABLE_S, may_be_done=False))

    def _start(self, resolving: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(resolving)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _resolve(self, batch: list[_Waiting], ends: float, may_be_done: bool) -> None:
        """Answer every commit of the batch, by ``ends`` (loop time)."""
        now = asyncio.get_running_loop().time
        while batch := [waiting for waiting in batch if not waiting.done.done()]:
            try:
                reply, is_repeat = await self._cluster.ask(_txn, _transaction(batch), ends - now())
            except EtcdRefused as refused:
                if len(batch) == 1:
                    is_lease = refused.code is grpc.StatusCode.NOT_FOUND
                    batch[0].answer(LeaseGone(batch[0].lease) if is_lease else refused)
                    return
                for waiting in batch:  # one commit that is refused does not fail others
                    self._start(self._resolve([waiting], ends, may_be_done))
                return
            except Exception as failure:
                for waiting in batch:
                    waiting.answer(failure)
                return
            may_be_done |= is_repeat
            if reply.succeeded:
                for waiting in batch:
                    waiting.answer(Committed(reply.header.revision))
                return
            # Who is in conflict is answered from what the keys hold; the others go on.
            pairs = iter([_found(response) for response in reply.responses])
            for waiting in batch:
                held = tuple(islice(pairs, len(waiting.writes)))
                if (verdict := waiting.judge(held, reply.header.revision, may_be_done)) is not None:
                    waiting.answer(verdict)


def _txn(member: Member) -> Any:
    return member.kv.Txn


def _found(response: Any) -> Pair | None:
    found = response.response_range.kvs
    return to_pair(found[0]) if found else None


def _transaction(batch: Sequence[_Waiting]) -> Any:
    """Do all writes of the batch if each key is as expected, else show what every key holds."""
    request = etcd_pb2.TxnRequest()
    for waiting in batch:
        for write in waiting.writes:
            key = to_bytes(write.key)
            if write.expect != ANY:
                request.compare.add(
                    key=key,
                    target=etcd_pb2.Compare.MOD,
                    result=etcd_pb2.Compare.EQUAL,
                    mod_revision=write.expect,
                )
            if write.value is DELETE:
                request.success.add(request_delete_range=etcd_pb2.DeleteRangeRequest(key=key))
            elif write.value is not KEEP:
                lease = waiting.lease if write.leased else 0
                request.success.add(request_put=etcd_pb2.PutRequest(key=key, value=write.value, lease=lease))
            request.failure.add(request_range=etcd_pb2.RangeRequest(key=key))
    return request
