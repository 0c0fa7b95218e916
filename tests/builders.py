"""Terse builders of what many tests need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshcore.cache import Cache, Evicted
from meshcore.capacity import CacheParams
from meshcore.entry import Entry, State
from meshcore.records import InstanceRecord, ModelRecord

NOW = 1_800_000_000_000
"""An instant to count from."""

DATA = Path(__file__).parent / "data"


def dumped(table: str) -> Iterator[tuple[str, bytes]]:
    """The (id, value) pairs that a ModelMesh (Java) wrote to ``table``: registry, instances, vmodels."""
    prefix = f"/mm/mm/{table}/"
    for pair in json.loads((DATA / "modelmesh-etcd.json").read_text(encoding="utf-8"))["pairs"]:
        if pair["key"].startswith(prefix):
            yield pair["key"].removeprefix(prefix), pair["value"].encode()


def model(type: str = "onnx", **fields: Any) -> ModelRecord:  # noqa: A002
    """A registered model."""
    return ModelRecord(type, **fields)


def instance(**fields: Any) -> InstanceRecord:
    """An instance of ours with room for 1000 units, eight loads at once, full at less than 100 units."""
    usual: dict[str, Any] = {
        "start_ms": NOW - 3_600_000,
        "capacity_units": 1000,
        "load_threads": 8,
        "address": "host:8080",
        "phase": "ready",
        "min_space_units": 100,
    }
    return InstanceRecord(**(usual | fields))


def params(**fields: Any) -> CacheParams:
    """A runtime with 100 units, 10 of them reserved for unloads, full at less than 20, two loads at once."""
    usual: dict[str, Any] = {
        "capacity_units": 100,
        "reserve_units": 10,
        "min_space_units": 20,
        "default_units": 10,
        "load_threads": 2,
        "load_timeout_ms": 90_000,
        "limits_concurrency": False,
        "assume_loaded_ms": 30_000,
        "min_churn_age_ms": 300_000,
    }
    return CacheParams(**(usual | fields))


def entry(model: str, **fields: Any) -> Entry:
    """A copy just admitted, for a client."""
    usual: dict[str, Any] = {
        "gen": 1, "load_ts": NOW, "type": "onnx", "path": "", "key": "", "is_asked_for": True,
    }  # fmt: skip
    return Entry(model, **(usual | fields))


def loaded(cache: Cache, model: str, units: int, age_ms: int = 0, **fields: Any) -> Entry:
    """A copy of ``units`` that serves, last used ``age_ms`` ago; nothing may have to go for it."""
    copy = placed(cache, model, units, age_ms, **fields)
    start(cache, copy)
    copy.to(State.ACTIVE)
    return copy


def placed(cache: Cache, model: str, units: int, age_ms: int = 0, **fields: Any) -> Entry:
    """A copy that has its place and waits for its turn."""
    copy = entry(model, **fields)
    assert cache.insert(copy, NOW - age_ms, NOW) == []
    assert cache.make_room(copy, units, NOW) == []
    copy.to(State.QUEUED)
    return copy


def start(cache: Cache, copy: Entry) -> None:
    copy.to(State.WAITING)
    cache.claim(copy)
    copy.to(State.LOADING)


def names(evicted: list[Evicted]) -> list[str]:
    return [victim.entry.model for victim in evicted]
