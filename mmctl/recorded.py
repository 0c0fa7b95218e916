"""What an instance's record in the registry says, as mmctl knows instances."""

from __future__ import annotations

from meshcore.records import InstanceRecord
from meshcore.units import NEVER, UNIT_BYTES
from mmctl.values import Instance


def instance_of(name: str, record: InstanceRecord) -> Instance:
    """The instance ``name``."""
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
    )
