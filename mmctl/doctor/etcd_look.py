"""Looks at the etcd of a mesh, each endpoint by itself, and changes nothing in it."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc

from meshd.store.base import StoreError
from meshd.store.etcd_cause import cause_of
from meshd.store.etcd_channel import Cluster, EtcdConfig, EtcdRefused, Member
from meshd.store.etcd_text import range_of
from mmctl.doctor.survey import PARTS
from mmctl.doctor.web import get, without_proof
from protos import etcd_pb2, etcd_pb2_grpc

CALL_S = 4.0
TURNS = 5
"""So many reads and commits are timed."""
PAGE = 1_000
NEVER = 2**62
"""A revision that no key is at: what is written where a key stands at it is never written."""
_QUOTA = re.compile(r"^etcd_server_quota_backend_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as it answered; ``failure`` says why it did not. Sizes in bytes, 0: not known; ids 0: none."""

    address: str
    failure: str = ""
    version: str = ""
    cluster: int = 0
    member: int = 0
    leader: int = 0
    is_learner: bool = False
    errors: tuple[str, ...] = ()
    size_bytes: int = 0
    used_bytes: int = 0
    quota_bytes: int = 0
    skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Etcd:
    """What was seen of an etcd as a whole.

    ``alarms``: kind and name of the member; ``voters`` and ``learners``: names of members, empty where the list of them
    cannot be read; ``read`` and ``written``: why what is below the prefix, or below a part of it, cannot be, by part.
    """

    endpoints: tuple[Endpoint, ...] = ()
    alarms: tuple[tuple[str, str], ...] = ()
    alarms_failure: str = ""
    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    read_ms: float | None = None
    commit_ms: float | None = None
    commit_failure: str = ""
    keys: int = 0
    read: str = ""
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether any endpoint answers."""
        return any(not endpoint.failure for endpoint in self.endpoints)


class EtcdLook:
    """Bare access to the keys below ``root`` (with its slash); close it at the end."""

    def __init__(self, config: EtcdConfig, root: str) -> None:
        self._config, self.root = config, root
        self._cluster = Cluster(config, Random())

    async def see(self) -> Etcd:
        """All of it. Raises nothing for an etcd that is away: its endpoints say so."""
        endpoints = tuple(await asyncio.gather(*map(self._endpoint, self._config.endpoints)))
        if all(endpoint.failure for endpoint in endpoints):
            return Etcd(endpoints)
        read_ms, commits = await self._read_ms(), await self._commit_ms()  # alone, for they are timed
        (alarms, alarms_failure), members, keys, written = await asyncio.gather(
            self._alarms(), self._members(), self._keys(), self._writable()
        )
        names = {member.ID: member.name or f"{member.ID:x}" for member in members}
        return Etcd(
            endpoints,
            tuple((kind, names.get(member, f"{member:x}")) for kind, member in alarms),
            alarms_failure,
            tuple(names[member.ID] for member in members if not member.isLearner),
            tuple(names[member.ID] for member in members if member.isLearner),
            read_ms,
            commit_ms=commits[0],
            commit_failure=commits[1],
            keys=keys[0],
            read=keys[1],
            written=written,
        )

    async def pairs(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """All pairs whose key begins with ``prefix``, in the order of keys, a page at a time. Raises StoreError."""
        begin, end = range_of(prefix)
        while True:
            request = etcd_pb2.RangeRequest(key=begin, range_end=end, limit=PAGE)
            found, _ = await self._cluster.ask(lambda member: member.kv.Range, request, CALL_S * 2)
            for pair in found.kvs:
                yield pair.key.decode("utf-8", "backslashreplace"), pair.value
            if not found.more:
                return
            begin = found.kvs[-1].key + b"\0"

    async def close(self) -> None:
        """Give up the connections."""
        await self._cluster.close()

    async def _endpoint(self, endpoint: Any) -> Endpoint:
        member = Member(endpoint, self._config.tls)
        try:
            status: Any = await etcd_pb2_grpc.MaintenanceStub(member.channel).Status(
                etcd_pb2.StatusRequest(), timeout=CALL_S, metadata=await self._token(member)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Endpoint(endpoint.address, f"no answer within {CALL_S:g} s")
            return Endpoint(endpoint.address, cause_of(f"{error.code().name}: {error.details()}"))
        finally:
            await member.channel.close()
        skew_ms, quota_bytes = await self._by_http(endpoint)
        return Endpoint(
            endpoint.address,
            "",
            status.version,
            status.header.cluster_id,
            status.header.member_id,
            status.leader,
            status.isLearner,
            tuple(status.errors),
            status.dbSize,
            status.dbSizeInUse,
            status.dbSizeQuota or quota_bytes,
            skew_ms,
        )

    async def _token(self, member: Member) -> tuple[tuple[str, str], ...]:
        """Of this endpoint, for an etcd that asks for one; that it gives none is told by what needs one."""
        if not self._config.user:
            return ()
        request = etcd_pb2.AuthenticateRequest(name=self._config.user, password=self._config.password)
        try:
            return (("token", (await member.auth.Authenticate(request, timeout=CALL_S)).token),)
        except grpc.aio.AioRpcError:
            return ()

    @staticmethod
    async def _by_http(endpoint: Any) -> tuple[int | None, int]:
        """What only its HTTP side tells: the clock, and the quota where it is an older etcd."""
        tls = without_proof() if endpoint.is_tls else None
        page = await get(endpoint.address, "/metrics", tls)
        quota = _QUOTA.search(page.text) if page.status == 200 else None
        return page.skew_ms, int(float(quota[1])) if quota else 0

    async def _alarms(self) -> tuple[list[tuple[str, int]], str]:
        request = etcd_pb2.AlarmRequest(action=etcd_pb2.AlarmRequest.GET)
        try:
            found, _ = await self._cluster.ask(
                lambda member: etcd_pb2_grpc.MaintenanceStub(member.channel).Alarm, request, CALL_S
            )
        except StoreError as error:
            return [], str(error)
        return [(etcd_pb2.AlarmType.Name(alarm.alarm), alarm.memberID) for alarm in found.alarms], ""

    async def _members(self) -> list[Any]:
        try:
            found, _ = await self._cluster.ask(
                lambda member: etcd_pb2_grpc.ClusterStub(member.channel).MemberList,
                etcd_pb2.MemberListRequest(),
                CALL_S,
            )
        except StoreError:
            return []
        return list(found.members)

    async def _keys(self) -> tuple[int, str]:
        """How many keys there are below the root, or why they cannot be read."""
        begin, end = range_of(self.root)
        request = etcd_pb2.RangeRequest(key=begin, range_end=end, count_only=True)
        try:
            found, _ = await self._cluster.ask(lambda member: member.kv.Range, request, CALL_S)
        except StoreError as error:
            return 0, str(error)
        return found.count, ""

    async def _writable(self) -> dict[str, str]:
        outcomes = await asyncio.gather(*(self._commit(f"{self.root}{part}") for part in PARTS), return_exceptions=True)
        return {part: str(outcome) for part, outcome in zip(PARTS, outcomes, strict=True) if _is_denied(outcome)}

    async def _read_ms(self) -> float | None:
        request = etcd_pb2.RangeRequest(key=f"{self.root}meshd/key".encode(), count_only=True)
        try:
            return await _median_ms(lambda: self._cluster.ask(lambda member: member.kv.Range, request, CALL_S))
        except StoreError:
            return None

    async def _commit_ms(self) -> tuple[float | None, str]:
        try:
            return await _median_ms(lambda: self._commit(f"{self.root}meshd/")), ""
        except StoreError as error:
            return None, str(error)

    async def _commit(self, below: str) -> None:
        """A commit that goes through all that a write goes through, and whose condition never holds."""
        key = f"{below}mmctl-doctor".encode()
        compare = etcd_pb2.Compare(
            key=key, target=etcd_pb2.Compare.MOD, result=etcd_pb2.Compare.EQUAL, mod_revision=NEVER
        )
        put = etcd_pb2.RequestOp(request_put=etcd_pb2.PutRequest(key=key, value=b"never written"))
        request = etcd_pb2.TxnRequest(compare=[compare], success=[put])
        await self._cluster.ask(lambda member: member.kv.Txn, request, CALL_S)


def _is_denied(outcome: object) -> bool:
    return isinstance(outcome, EtcdRefused) and outcome.code is grpc.StatusCode.PERMISSION_DENIED


async def _median_ms(call: Any) -> float:
    took = []
    for _ in range(TURNS):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)
