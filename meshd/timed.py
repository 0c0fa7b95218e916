"""Calls to the runtime, with what its calls take and what its models weigh put into metrics, and into the trace."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from meshcore.commands import Load, Measure, Predict, Probe, Unload
from meshcore.events import (
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    RuntimeProbed,
    Unloaded,
    UnloadFailed,
)
from meshd.metrics import Metrics
from meshd.spi import RuntimeClient
from meshd.trace import Tracer


class TimedRuntime:
    """Passes everything on to ``runtime``. The time of loads is told by the reason of a copy that is ready."""

    def __init__(self, runtime: RuntimeClient, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._runtime, self._metrics, self._tracer = runtime, metrics, tracer
        self.cancel_load = runtime.cancel_load

    def load(self, command: Load) -> Coroutine[Any, Any, Loaded | LoadFailed]:
        """Begin a load at once, so that its cancellation can follow at once."""
        return self._loaded(self._runtime.load(command))

    async def _loaded(self, loading: Coroutine[Any, Any, Loaded | LoadFailed]) -> Loaded | LoadFailed:
        began = time.monotonic()
        answer = await loading
        if isinstance(answer, Loaded):
            if answer.size_bytes:
                self._metrics.loaded_model_size.observe(answer.size_bytes, answer.model)
            if self._tracer is not None:
                self._tracer.loaded(answer.model, (time.monotonic() - began) * 1000, answer.size_bytes)
        return answer

    async def predict(self, command: Predict) -> Predicted:
        """Ask for a size beforehand."""
        return await self._runtime.predict(command)

    async def measure(self, command: Measure) -> Measured:
        """Ask for the size of what is loaded."""
        began = time.monotonic()
        answer = await self._runtime.measure(command)
        self._metrics.model_sizing.observe((time.monotonic() - began) * 1000, command.model)
        if answer.size_bytes:
            self._metrics.loaded_model_size.observe(answer.size_bytes, command.model)
            if self._tracer is not None:
                self._tracer.loaded(command.model, None, answer.size_bytes)
        return answer

    async def probe(self, command: Probe) -> RuntimeProbed:
        """See whether it is there."""
        return await self._runtime.probe(command)

    async def unload(self, command: Unload) -> Unloaded | UnloadFailed:
        """Give memory back."""
        began = time.monotonic()
        answer = await self._runtime.unload(command)
        if isinstance(answer, Unloaded):
            self._metrics.unload.observe((time.monotonic() - began) * 1000, command.model)
        return answer
