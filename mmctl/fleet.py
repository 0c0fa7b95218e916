"""The instances of a registry: as they are recorded, as they say themselves, and how their models are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import grpc

from meshcore.census import Counted
from meshcore.errors import BadRecord
from meshcore.kv import Pair
from meshcore.records import InstanceRecord
from meshcore.units import NEVER, UNIT_BYTES
from meshd.store.base import Store
from mmctl import told
from mmctl.endpoints import Endpoints
from mmctl.errors import CommandError
from mmctl.recorded_census import RecordedCensus
from mmctl.values import Instance

APART_S = 30.0
"""So long nobody is asked after nobody could be reached: to find that out takes seconds each time."""


class Fleet:
    """Reads the instances' records, and adds what they say themselves where they can be asked from here."""

    def __init__(
        self, store: Callable[[], Awaitable[Store]], root: str, endpoints: Callable[[], Awaitable[Endpoints]]
    ) -> None:
        """``root`` is what all keys of the mesh begin with."""
        self._store, self._root, self._endpoints = store, root, endpoints
        self._census: RecordedCensus | None = None
        self._again_s = 0.0

    async def records(self) -> dict[str, InstanceRecord]:
        """Those that can be read. Raises StoreError, as all here."""
        return {name: record for name, (_, record) in (await self._read()).items() if record is not None}

    async def instances(self, asked: bool) -> list[Instance]:
        """All of them by id; where they are ``asked`` and nobody can be reached, as they are recorded."""
        read = await self._read()
        recorded = [_instance(name, pair.mod, record) for name, (pair, record) in sorted(read.items()) if record]
        now_s = asyncio.get_running_loop().time()
        if not asked or now_s < self._again_s:
            return recorded
        try:
            answers = await told.instances(await self._endpoints(), asked=True)
        except (CommandError, grpc.aio.AioRpcError):
            self._again_s = now_s + APART_S
            return recorded
        known = {answer.id: answer for answer in answers}
        return [_as_told(each, known.get(each.id)) for each in recorded]

    async def census(self, load_timeout_ms: int) -> Counted:
        """The models with these instances."""
        if self._census is None:
            self._census = RecordedCensus(await self._store(), f"{self._root}/registry/")
        # One that cannot be read is there, and holds nothing as far as is known.
        instances = {name: record or InstanceRecord() for name, (_, record) in (await self._read()).items()}
        return await self._census.count(instances, load_timeout_ms)

    async def close(self) -> None:
        """Follow the registry no more."""
        if self._census is not None:
            await self._census.close()

    async def _read(self) -> dict[str, tuple[Pair, InstanceRecord | None]]:
        """What stands there for each instance; None: it cannot be read."""
        prefix = f"{self._root}/instances/"
        read: dict[str, tuple[Pair, InstanceRecord | None]] = {}
        for pair in (await (await self._store()).snapshot(prefix)).pairs:
            record = None
            with suppress(BadRecord):
                record = InstanceRecord.decode(pair.value, pair.key)
            read[pair.key.removeprefix(prefix)] = pair, record
        return read


def _as_told(recorded: Instance, told: Instance | None) -> Instance:
    """An instance as it says itself, if it does: that is newer than its record."""
    if told is None:
        return recorded
    if told.now is None:
        return replace(recorded, is_silent=told.is_silent)
    return replace(told, revision=recorded.revision)


def _instance(name: str, revision: int, record: InstanceRecord) -> Instance:
    """The instance ``name``, whose record was last written at ``revision``."""
    return Instance(
        id=name,
        phase=record.phase,
        grpc=record.grpc,
        address=record.address,
        http=record.http,
        version=record.build,
        data_plane=record.data_plane,
        location=record.location,
        zone=record.zone,
        labels=record.labels,
        start_ms=record.start_ms,
        lru_ms=0 if record.lru_ms == NEVER else record.lru_ms,
        models=record.count,
        capacity_bytes=record.capacity_units * UNIT_BYTES,
        lost_bytes=record.lost_units * UNIT_BYTES,
        used_bytes=record.used_units * UNIT_BYTES,
        load_threads=record.load_threads,
        loads_in_progress=record.loads_in_progress,
        rpm=record.rpm,
        is_java=not record.is_ours,
        cordoned=record.is_cordoned,
        revision=revision,
    )
