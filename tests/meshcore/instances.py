"""Terse instance records."""

from __future__ import annotations

from dataclasses import replace

from meshcore.records import InstanceRecord, Phase

T = 1_700_000_000_000
"""The instant most tests happen at."""

PLAIN = InstanceRecord(
    start_ms=T - 86_400_000, address="10.0.0.1:8080", phase=Phase.READY, capacity_units=1000, used_units=0,
    load_threads=4, min_space_units=100, lru_ms=T - 3_600_000,
)  # fmt: skip


def instance(**changes: object) -> InstanceRecord:
    """An instance with 1000 units, none used, four load threads, full below 100 units, used an hour ago."""
    return replace(PLAIN, **changes)  # type: ignore[arg-type]


def full(**changes: object) -> InstanceRecord:
    """The same, without space."""
    return instance(**{"used_units": 1000, **changes})
