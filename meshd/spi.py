"""The client of the model runtime: its loads and unloads, and raw calls to what it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio

from meshcore.commands import Load, Measure, Predict, Probe, Unload
from meshcore.events import (
    Failing,
    Finding,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    RuntimeProbed,
    RuntimeSuspected,
    Unloaded,
    UnloadFailed,
)
from meshd.handshake import (
    NOT_STARTED,
    SIZE_MOST,
    Candidate,
    RuntimeInfo,
    RuntimeUnusable,
    error_text,
    first_ready,
    method_of,
)
from meshd.lookout import Mark, connection_lost, look, mark_of, opened
from protos import model_runtime_pb2 as spi

START_LIMIT_S, POLL_S = 180.0, 2.0
UNLOAD_LIMIT_S = 300
"""ModelMesh waits for ever. A call that is lost would keep the model's memory with it; five minutes are more than any
runtime needs to give memory back, and few enough for several of the retries that follow a failure."""

Metadata = tuple[tuple[str, str | bytes], ...]


class RuntimeClient:
    """One runtime. ``targets`` are the gRPC targets it may be managed at; ``serving`` empty: it serves there too.

    ``start`` comes first, and again only when the runtime restarted: one that is asked for its status drops every model
    it has.
    """

    def __init__(
        self,
        targets: Sequence[str],
        serving: str = "",
        *,
        max_message_bytes: int,
        min_churn_age_ms: int,
        unload_limit_s: float = UNLOAD_LIMIT_S,
    ) -> None:
        self._targets = targets
        self._serving_target = serving
        self._min_churn_age_ms = min_churn_age_ms
        self._unload_limit_s = unload_limit_s
        self._options = (
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # The runtime is a neighbour: no proxy leads there, and one that starts is noticed at the next poll.
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # An idle connection is kept: its end says that the runtime may have gone.
            ("grpc.client_idle_timeout_ms", 2**31 - 1),
        )
        self._channels: dict[str, Any] = {}
        self._marks: dict[str, Mark] = {}
        self._started = asyncio.Event()
        self._managing: Any = None
        self._serving: Any = None
        self._service = ""
        self._loads: dict[tuple[str, int], Any] = {}
        self._absent: set[str] = set()

    async def start(self, limit_s: float = START_LIMIT_S, poll_s: float = POLL_S) -> RuntimeInfo:
        """Wait until the runtime is ready. Raises RuntimeUnusable."""
        candidates = [Candidate(target, self._channel(target)) for target in self._targets]
        found, info = await first_ready(candidates, limit_s, poll_s, self._min_churn_age_ms)
        is_apart = self._serving_target not in ("", found.target)
        self._serving = self._channel(self._serving_target) if is_apart else found.channel
        self._managing, self._service = found.channel, found.service
        self._absent.clear()
        places = (found.target, self._serving_target) if is_apart else (found.target,)
        self._marks = {target: mark_of(target) for target in places}
        self._started.set()
        return info

    async def close(self) -> None:
        """End all calls and connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    # -- whether it is still there ---------------------------------------------------------------------

    async def watch(self, tell: Callable[[RuntimeSuspected], None]) -> None:
        """Tell whenever a connection to the runtime is lost, since ``start``, calls or no calls; never ends."""
        is_met = True
        while True:
            self._started.clear()
            losses = {
                target: asyncio.ensure_future(connection_lost(channel, is_met and channel is self._managing))
                for target, channel in self._channels.items()
                if target in self._marks
            }
            started = asyncio.ensure_future(self._started.wait())
            try:
                await asyncio.wait((*losses.values(), started), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*losses.values(), started):
                    task.cancel()
            is_met = self._started.is_set()
            lost = [target for target, loss in losses.items() if loss.done()]
            for target in lost:
                losses[target].result()
            if lost and not is_met:
                tell(RuntimeSuspected(f"the connection to {' and '.join(lost)} ended"))

    async def probe(self, command: Probe) -> RuntimeProbed:
        """What is to be seen where the runtime was at the handshake."""
        findings = [await look(target, mark) for target, mark in self._marks.items()]
        told = next((finding for finding in findings if finding is not Finding.OPEN), Finding.OPEN)
        return RuntimeProbed(command.question, told)

    async def renew(self, limit_s: float = START_LIMIT_S, poll_s: float = POLL_S) -> RuntimeInfo:
        """``start`` with a runtime that restarted; what serves apart from it has to be there first, lest models be
        loaded that nobody answers for. Raises RuntimeUnusable."""
        try:
            async with asyncio.timeout(limit_s):
                if self._serving_target:
                    await opened(self._serving_target, poll_s)
        except TimeoutError:
            raise RuntimeUnusable(f"{NOT_STARTED.format(limit_s)}: nobody listens at {self._serving_target}") from None
        return await self.start(limit_s, poll_s)

    # -- loads, sizes, unloads -------------------------------------------------------------------------

    def load(self, command: Load) -> Coroutine[Any, Any, Loaded | LoadFailed]:
        """Load a copy. The call is under way when this returns, so that ``cancel_load`` can follow at once."""
        try:
            request = spi.LoadModelRequest(
                modelId=command.model, modelType=command.type, modelPath=command.path, modelKey=command.key
            )
        except ValueError as error:
            return _failed(command, f"the registration cannot be sent to the runtime: {error}")
        call = self._method("loadModel", spi.LoadModelResponse)(request)
        self._loads[command.model, command.gen] = call
        return self._loaded(command, call)

    async def _loaded(self, command: Load, call: Any) -> Loaded | LoadFailed:
        try:
            # No gRPC deadline: a runtime sees the end of a load as a cancellation, as it always has.
            async with asyncio.timeout(command.deadline_ms / 1000):
                reply = await call
        except TimeoutError:
            text = f"DEADLINE_EXCEEDED: not loaded after {command.deadline_ms / 1000:g} s"
            return await _failed(command, text, Failing.LATE)
        except grpc.aio.AioRpcError as error:
            is_lost = error.code() is grpc.StatusCode.UNAVAILABLE
            return await _failed(command, error_text(error), Failing.LOST if is_lost else Failing.ERROR)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return await _failed(command, "CANCELLED: nobody waits for this load any more")
        finally:
            call.cancel()
            del self._loads[command.model, command.gen]
        if reply is None:
            return await _failed(command, "the runtime's answer cannot be read")
        if reply.sizeInBytes > SIZE_MOST:
            return await _failed(command, f"the runtime says that the model has {reply.sizeInBytes} bytes")
        return Loaded(command.model, command.gen, reply.sizeInBytes, reply.maxConcurrency)

    def cancel_load(self, model: str, gen: int) -> None:
        """End a load that is under way; ``load`` answers that it failed."""
        if call := self._loads.get((model, gen)):
            call.cancel()

    async def predict(self, command: Predict) -> Predicted:
        """Ask for the size of a model before it is loaded."""
        try:
            request = spi.PredictModelSizeRequest(
                modelId=command.model, modelType=command.type, modelPath=command.path, modelKey=command.key
            )
        except ValueError:
            return Predicted(command.model, command.gen, 0)  # the load says what is wrong
        size_bytes = await self._size("predictModelSize", spi.PredictModelSizeResponse, request, command.deadline_ms)
        return Predicted(command.model, command.gen, size_bytes)

    async def measure(self, command: Measure) -> Measured:
        """Ask for the size of a model that is loaded."""
        request = spi.ModelSizeRequest(modelId=command.model)
        size_bytes = await self._size("modelSize", spi.ModelSizeResponse, request, command.deadline_ms)
        return Measured(command.model, command.gen, size_bytes)

    async def _size(self, name: str, reply_type: Any, request: Any, deadline_ms: int) -> int:
        """0: the runtime cannot tell. A method that it does not have is not called again."""
        if name in self._absent:
            return 0
        try:
            reply = await self._method(name, reply_type)(request, timeout=deadline_ms / 1000)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                self._absent.add(name)
            return 0
        return reply.sizeInBytes if reply is not None and reply.sizeInBytes <= SIZE_MOST else 0

    async def unload(self, command: Unload) -> Unloaded | UnloadFailed:
        """Give a copy's memory back; a model that the runtime does not know is unloaded."""
        method = self._method("unloadModel", spi.UnloadModelResponse)
        try:
            async with asyncio.timeout(self._unload_limit_s):
                await method(spi.UnloadModelRequest(modelId=command.model))
        except TimeoutError:
            text = f"DEADLINE_EXCEEDED: not unloaded after {self._unload_limit_s:g} s"
            return UnloadFailed(command.model, command.gen, text)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                return UnloadFailed(command.model, command.gen, error_text(error))
        return Unloaded(command.model, command.gen)

    @property
    def serving(self) -> Any:
        """The channel to what the runtime serves, for calls of any method; there is one once ``start`` is over."""
        return self._serving

    def _method(self, name: str, reply: Any) -> Any:
        return method_of(self._managing, self._service, name, reply)

    def _channel(self, target: str) -> Any:
        if target not in self._channels:
            self._channels[target] = grpc.aio.insecure_channel(target, options=self._options)
        return self._channels[target]


async def _failed(command: Load, text: str, how: Failing = Failing.ERROR) -> LoadFailed:
    return LoadFailed(command.model, command.gen, text, how)
