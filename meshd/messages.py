"""Records as the messages of meshd.v1."""

from __future__ import annotations

from typing import Any

from meshcore.asks import Status, StatusInfo
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.units import NEVER, UNIT_BYTES
from protos import meshd_pb2 as wire


def model_message(name: str, record: ModelRecord | None, mod: int, info: StatusInfo | None, problem: str) -> Any:
    """One model; without a record only its name and what is wrong with it."""
    if record is None or info is None:
        return wire.Model(
            spec=wire.ModelSpec(name=name), status=wire.Model.Status.UNKNOWN, revision=mod,
            failures=[wire.Failure(text=problem)],
        )  # fmt: skip
    copies = [
        wire.Copy(instance=copy.instance, load_ts_ms=copy.at, state=_state(record, info, copy.instance))
        for copy in info.copies
        if copy.status is not Status.LOADING_FAILED
    ]
    failures = [
        wire.Failure(instance=instance, at_ms=failure.at, text=failure.text)
        for instance, failure in sorted(record.failures.items(), key=lambda item: (-item[1].at, item[0]))
    ]
    spec = wire.ModelSpec(
        name=name, type=record.type, path=record.path, key=record.key, size_bytes=record.size_bytes,
        labels=dict(record.labels), min_copies=record.min_copies, max_copies=record.max_copies,
        pinned=record.is_pinned, priority=record.priority,
    )  # fmt: skip
    return wire.Model(
        spec=spec, status=info.status.value, copies=copies, failures=failures, last_used_ms=record.last_used,
        last_unload_ms=record.last_unload, references=record.references, auto_delete=record.auto_delete, revision=mod,
    )  # fmt: skip


def _state(record: ModelRecord, info: StatusInfo, instance: str) -> str:
    # The record of a copy here may lag behind its load: one copy of a loaded model is a loaded one.
    is_only = info.status is Status.LOADED and len(info.copies) == 1
    return "LOADED" if record.is_ready(instance) or is_only else "LOADING"


def instance_message(instance: str, record: InstanceRecord, mod: int) -> Any:
    """One instance."""
    return wire.Instance(
        id=instance, is_java=not record.is_ours, address=record.address, grpc=record.grpc, http=record.http,
        location=record.location, zone=record.zone, labels=record.labels, version=record.build,
        phase=record.phase, start_ms=record.start_ms, lru_ms=0 if record.lru_ms == NEVER else record.lru_ms,
        models=record.count, capacity_bytes=record.capacity_units * UNIT_BYTES,
        used_bytes=record.used_units * UNIT_BYTES, load_threads=record.load_threads,
        loads_in_progress=record.loads_in_progress, rpm=record.rpm, shutting_down=record.is_shutting_down,
        data_plane=record.data_plane, replica_set=record.replica_set, revision=mod,
        lost_bytes=record.lost_units * UNIT_BYTES, cordoned=record.is_cordoned,
    )  # fmt: skip
