"""What a model's record in the registry says, as mmctl knows models."""

from __future__ import annotations

import time

from meshcore.errors import BadRecord
from meshcore.kv import Pair
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.settings import Settings
from meshcore.units import age_ms
from mmctl.values import Copy, Failure, Model, Status

SETTINGS = Settings()
"""Those that a mesh has by default: the registry does not say by which its instances go."""


def status_of(record: ModelRecord, instances: dict[str, InstanceRecord]) -> Status:
    """The state of the model as a whole."""
    return _status(record, _live(record, instances), int(time.time() * 1000))


def _live(record: ModelRecord, instances: dict[str, InstanceRecord]) -> list[Copy]:
    """Copies on instances that are there and have not started anew since, newest first."""
    copies = [
        Copy(name, load_ts, Status.LOADED if record.is_ready(name) else Status.LOADING)
        for name, load_ts in record.copies.items()
        if name in instances and instances[name].is_ours and load_ts >= instances[name].start_ms
    ]
    return sorted(copies, key=lambda copy: (-copy.load_ts_ms, copy.instance))


def _failures(record: ModelRecord) -> list[Failure]:
    failures = [Failure(name, failure.at, failure.text) for name, failure in record.failures.items()]
    return sorted(failures, key=lambda failure: (-failure.at_ms, failure.instance))


def _status(record: ModelRecord, copies: list[Copy], now: int) -> Status:
    if copies:
        return Status.LOADED if any(copy.state is Status.LOADED for copy in copies) else Status.LOADING
    is_failing = any(age_ms(failure.at, now) < SETTINGS.failure_expiry_ms for failure in record.failures.values())
    return Status.LOADING_FAILED if is_failing else Status.NOT_LOADED


def model_of(name: str, pair: Pair, instances: dict[str, InstanceRecord]) -> Model:
    """The model ``name``, whose record ``pair`` is; of one that cannot be read the failure says why."""
    now = int(time.time() * 1000)
    try:
        record = ModelRecord.decode(pair.value, f"registry/{name}")
    except BadRecord as error:
        return Model(name, "", Status.UNKNOWN, failures=(Failure("", 0, error.text),), revision=pair.mod)
    copies = _live(record, instances)
    return Model(
        name=name,
        type=record.type,
        path=record.path,
        key=record.key,
        size_bytes=record.size_bytes,
        labels=dict(sorted(record.labels.items())),
        min_copies=record.min_copies,
        max_copies=record.max_copies,
        pinned=record.is_pinned,
        priority=record.priority,
        status=_status(record, copies, now),
        copies=tuple(copies),
        failures=tuple(_failures(record)),
        last_used_ms=record.last_used,
        references=record.references,
        auto_delete=record.auto_delete,
        revision=pair.mod,
    )
