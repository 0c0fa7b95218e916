"""The handshake with a runtime that restarted: until it is over this instance is not ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshcore.events import RuntimeBack
from meshd.handshake import RuntimeInfo, RuntimeUnusable
from meshd.metrics import Metrics
from meshd.spi import RuntimeClient
from meshd.timed import TimedRuntime
from meshd.trace import Tracer

AWAY = "the model runtime restarts"


class RenewedRuntime(TimedRuntime):
    """As TimedRuntime; ``missing`` says what /ready waits for, ``renew`` is told what the runtime says of itself,
    ``give_up`` why this process cannot go on."""

    def __init__(
        self,
        client: RuntimeClient,
        metrics: Metrics,
        missing: list[str],
        renew: Callable[[RuntimeInfo], None],
        give_up: Callable[[BaseException], None],
        tracer: Tracer | None = None,
    ) -> None:
        super().__init__(client, metrics, tracer)
        self._missing, self._renew, self._give_up = missing, renew, give_up

    async def greet(self) -> RuntimeBack:
        """Not ready until it is ready again. Cancelled where it does not get ready: the process ends."""
        self._missing.append(AWAY)
        try:
            info = await self._runtime.renew()
        except RuntimeUnusable as error:
            self._give_up(error)
            raise asyncio.CancelledError from error
        except Exception as error:  # whatever it is, this instance would stay without its runtime for ever
            self._give_up(error)
            raise
        self._renew(info)
        self._missing.remove(AWAY)
        return RuntimeBack(info.params)
