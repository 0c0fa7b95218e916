"""What one conformance run knows of its runtime, and what its steps ask again and again."""

from __future__ import annotations

import asyncio
from typing import Any

from mmctl.doctor.check import NotLooked
from mmctl.doctor.finding import Finding, problem
from mmctl.doctor.runtime import Answer, Runtime, Wanted
from mmctl.doctor.runtime_status import SIZE_MOST
from mmctl.sizes import human_size
from protos import model_runtime_pb2 as spi

POLL_S = 0.05
GONE = ("OK", "NOT_FOUND")
"""How the unload of a model may end that is not there."""


class Trial:
    """One run against one runtime; what a step learns the next ones go by. Every model has an id that no mesh uses."""

    one, two, bad, unknown, cancelled = (
        f"mmctl-doctor-{name}" for name in ("model", "again", "bad", "unknown", "cancelled")
    )

    def __init__(self, runtime: Runtime, wanted: Wanted) -> None:
        self.runtime, self.wanted = runtime, wanted
        self.status: Any = None
        """A RuntimeStatusResponse that a mesh can work with; None: there was none."""
        self.predicted_bytes = self.size_bytes = 0
        self.load_s = 0.0
        self.is_loadable = False
        self.tells_sizes = True
        """Whether modelSize can be asked whether a model is there."""

    async def ready(self) -> Answer:
        """The first status that is not STARTING; the last one where it goes on to say that."""
        until = asyncio.get_running_loop().time() + self.runtime.patience.ready_s
        while True:
            answer = await self.runtime.status()
            is_starting = answer.is_ok and answer.message.status == spi.RuntimeStatusResponse.STARTING
            if not is_starting or asyncio.get_running_loop().time() > until:
                return answer
            await asyncio.sleep(POLL_S)

    async def is_there(self, model: str) -> bool:
        """Whether the runtime still knows a model, as far as it tells."""
        return self.tells_sizes and (await self.runtime.size(model)).is_ok

    def needs_status(self) -> None:
        """Raises NotLooked where the runtime did not say what it is."""
        if self.status is None:
            raise NotLooked("the runtime has to say what it is first (status)")

    def needs_wanted(self) -> None:
        """Raises NotLooked where no model was given."""
        self.needs_status()
        if not (self.wanted.type or self.wanted.path or self.wanted.key):
            raise NotLooked("it takes a model: give --model-type and --model-path")

    def needs_model(self) -> None:
        """Raises NotLooked where the model that was given was not loaded."""
        self.needs_status()
        if not self.is_loadable:
            raise NotLooked("it takes a model that can be loaded (load)")

    def wrong_size(self, call: str, size_bytes: int, is_zero_fine: bool) -> Finding | None:
        """What is wrong with a size, if anything."""
        if size_bytes > SIZE_MOST:
            return problem(f"{call} answers {size_bytes} bytes", do="a size is a number of bytes, and not negative")
        if size_bytes > self.status.capacityInBytes:
            return problem(
                f"{call} answers {human_size(size_bytes)}, more than all of capacityInBytes",
                do="answer bytes; a model that does not fit is refused by the load",
            )
        if not size_bytes and not is_zero_fine:
            return problem(f"{call} answers 0 bytes", do="answer what the model takes")
        return None
