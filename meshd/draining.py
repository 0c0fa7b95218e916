"""``Drain``: an instance is taken out of the mesh, or gets no more loads for a while, whichever instance is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from meshcore.events import Cordoned, Event
from meshcore.node import Node
from meshcore.records import Phase
from meshd.ending import Ending
from meshd.plane import internal
from meshd.plane.python import PythonPlane
from protos import meshd_internal_pb2_grpc as internal_stubs
from protos import meshd_pb2 as wire

PROGRESS_S = 1.0
NAMED = 20
"""Instances named to who asks for one that is not known."""


class Draining:
    """What this instance does of it, and whom it passes the rest on to."""

    def __init__(self, node: Node, ending: Ending, plane: PythonPlane, tell: Callable[[Event], None]) -> None:
        self._node, self._ending, self._plane, self._tell = node, ending, plane, tell

    async def anywhere(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The answer of whichever instance is meant."""
        await self._check(request, context)
        name, view = request.instance, self._node.view
        if name == self._node.me:
            async for progress in self.here(request, context):
                yield progress
            return
        record = view.instance(name)
        if record is None:
            known = sorted({self._node.me, *(instance for instance, _ in view.instances())})
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            text = f"there is no instance {name!r}; known: {', '.join(known[:NAMED])}{more}"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        if record is not None and not record.is_ours:
            text = f"{name} is a pod of the Java ModelMesh, which cannot be asked: delete the pod"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        async for progress in self._there(request, context):
            yield progress

    async def here(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """What becomes of this instance, every second; the last message has ``done``."""
        await self._check(request, context)
        node, actions = self._node, wire.DrainRequest.Action
        if request.instance != node.me:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"this is {node.me}, not {request.instance}")
        if request.action != actions.DRAIN:
            if node.is_draining:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{node.me} is going already")
            is_cordoned = request.action == actions.CORDON
            self._tell(Cordoned(is_cordoned))
            text = "takes no more loads, and answers for what it has" if is_cordoned else "takes loads"
            yield self._progress(f"{node.me} {text}", node.cache.count, 0, True)
            return
        here = sum(entry.is_serving for entry in node.cache.entries.values())
        models, settled = max(node.departure.copies, here), 0
        if not self._ending.stop.is_set():
            self._ending.ask(request.budget_ms / 1000 if request.budget_ms else None)
        while not self._ending.is_over.is_set():
            if node.publisher.phase == Phase.DRAINING:
                settled = max(0, models - node.departure.handovers.left[0])
            yield self._progress(self._text(), models, settled, False)
            try:
                async with asyncio.timeout(PROGRESS_S):
                    await self._ending.is_over.wait()
            except TimeoutError:
                continue
        cause = node.departure.cause
        yield self._progress(f"{node.me} stops: {cause}" if cause else f"{node.me} stops", models, settled, True)

    async def _there(self, request: Any, context: Any) -> AsyncIterator[Any]:
        channel, last = self._plane.channel(request.instance), None
        if channel is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"{request.instance} cannot be reached")
        metadata = internal.by_key(self._plane.key)
        stub: Any = internal_stubs.MeshStub(channel)
        try:
            async for last in stub.Drain(request, metadata=metadata):
                yield last
        except grpc.aio.AioRpcError as error:
            if last is None:
                await context.abort(error.code(), f"{request.instance}: {error.details()}")
            if last is not None and not last.done:
                gone = wire.DrainProgress()
                gone.CopyFrom(last)
                gone.done, gone.text = True, f"{request.instance} does not answer any more: {error.details()}"
                yield gone

    @staticmethod
    async def _check(request: Any, context: Any) -> None:
        if not request.instance:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "instance is empty: say which one")
        if request.budget_ms < 0:
            text = f"budget_ms is {request.budget_ms}; allowed: 0 and more"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        if request.action not in wire.DrainRequest.Action.values():
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"there is no action {request.action}")

    def _text(self) -> str:
        departure = self._node.departure
        left, refused = departure.handovers.left
        kept = f", {refused} of which nobody else can have" if refused else ""
        if not departure.cause:
            return f"{left} copies are to be taken over by others{kept}"
        if not left:
            return f"{departure.cause}; waits for clients to leave"
        return f"{departure.cause}; {left} are answered here until nobody asks for them, or the time is over"

    def _progress(self, text: str, models: int, settled: int, is_done: bool) -> Any:
        return wire.DrainProgress(
            at_ms=self._node.now, phase=self._node.publisher.phase, models=models, settled=settled,
            in_flight=self._plane.of_clients.open + self._plane.of_peers.open, text=text, done=is_done,
        )  # fmt: skip
