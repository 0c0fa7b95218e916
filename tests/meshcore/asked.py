"""Words for tests of a request's way: instances, records, and what an asking flow wants next."""

from __future__ import annotations

from meshcore.asks import (
    Forward,
    Refused,
    Request,
    Verdict,
    VerdictError,
)
from meshcore.records import InstanceRecord, ModelRecord
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Asking

TS = NOW - 600_000
"""When the load of a copy began that is somewhere already."""


def peers(*names: str) -> dict[str, InstanceRecord]:
    """Others with more room than instance a, so that loads go there."""
    return {name: instance(address=f"{name}:8080") for name in names}


def on(*names: str, **fields: object) -> ModelRecord:
    """Ready on those instances."""
    return model(copies=dict.fromkeys(names, TS), ready=dict.fromkeys(names, TS), **fields)


def forwarded(asking: Asking) -> tuple[str, Request]:
    assert isinstance(asking.step, Forward), asking.step
    return asking.step.instance, asking.step.request


def refused(verdict: Verdict, instance: str, **fields: object) -> Refused:
    return Refused(verdict, instance, **fields)  # type: ignore[arg-type]


def verdict(asking: Asking) -> Refused:
    assert isinstance(asking.error, VerdictError), asking.error
    return asking.error.refused
