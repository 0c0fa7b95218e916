"""Leases of etcd."""

from __future__ import annotations

import asyncio

import grpc

from meshcore.kv import LeaseGone
from meshd.store.etcd_channel import Attempt, Cluster, EtcdRefused
from meshd.store.session import Lease
from protos import etcd_pb2


class EtcdLeases:
    """What ``meshd.store.session.Leases`` asks for.

    One stream for each renewal: it goes to whichever endpoint answers, and its time is bounded by what is left of the
    lease; at one renewal in eight seconds it costs nothing.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def grant(self, ttl_s: int, within_s: float) -> Lease:
        """See Leases."""

        async def call(attempt: Attempt) -> Lease:
            asked_at = asyncio.get_running_loop().time()
            reply = await attempt.member.lease.LeaseGrant(
                etcd_pb2.LeaseGrantRequest(TTL=ttl_s), timeout=attempt.timeout_s, metadata=attempt.metadata
            )
            return Lease(reply.ID, float(reply.TTL), asked_at)

        lease, _ = await self._cluster.run(call, within_s)
        return lease

    async def keep_alive(self, lease: Lease, within_s: float) -> Lease:
        """See Leases."""

        async def call(attempt: Attempt) -> Lease:
            asked_at = asyncio.get_running_loop().time()
            stream = attempt.member.lease.LeaseKeepAlive(metadata=attempt.metadata)
            try:
                async with asyncio.timeout(attempt.timeout_s):
                    await stream.write(etcd_pb2.LeaseKeepAliveRequest(ID=lease.id))
                    reply = await stream.read()
            finally:
                stream.cancel()
            if reply is grpc.aio.EOF:
                raise TimeoutError  # it hung up without a word, which proves nothing about the lease
            return Lease(lease.id, float(reply.TTL), asked_at)

        renewed, _ = await self._cluster.run(call, within_s)
        if renewed.ttl_s <= 0:
            raise LeaseGone(lease.id)
        return renewed

    async def revoke(self, lease: Lease, within_s: float) -> None:
        """See Leases."""
        request = etcd_pb2.LeaseRevokeRequest(ID=lease.id)
        try:
            await self._cluster.ask(lambda member: member.lease.LeaseRevoke, request, within_s)
        except EtcdRefused as refused:
            if refused.code is grpc.StatusCode.NOT_FOUND:
                raise LeaseGone(lease.id) from refused
            raise
