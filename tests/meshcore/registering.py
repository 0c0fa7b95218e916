"""Words for tests of what a client asks of the registry."""

from __future__ import annotations

from meshcore.asks import (
    Done,
    Put,
    StatusInfo,
)
from meshcore.records import ModelRecord
from tests.builders import NOW
from tests.meshcore.lone import Asking

HOUR_MS = 3_600_000
TS = NOW - 600_000


def put(asking: Asking) -> tuple[int, ModelRecord | None]:
    """What a flow wants written, and against which revision."""
    assert isinstance(asking.step, Put), asking.step
    value = asking.step.value
    return asking.step.expect, ModelRecord.decode(value) if value is not None else None


def told(asking: Asking) -> StatusInfo:
    assert isinstance(asking.step, Done), asking.step
    assert isinstance(asking.step.answer, StatusInfo)
    return asking.step.answer
