"""What other instances ask beside inference: meshd.internal.v1 on the mesh port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from meshcore.asks import Done, Failed, StatusInfo, VerdictError
from meshcore.node import Node
from meshd.codes import TO_GRPC
from meshd.decisions import Decisions
from meshd.draining import Draining
from meshd.external import check_peer
from meshd.holding import status_message
from meshd.management import Management
from meshd.plane import internal
from meshd.plane.peer_calls import PROTOCOL, from_wire
from meshd.plane.python import PythonPlane
from protos import meshd_internal_pb2 as wire
from protos import meshd_internal_pb2_grpc as stubs


class MeshApi(stubs.MeshServicer):  # type: ignore[misc]
    """Answers instances that carry the cluster's key."""

    def __init__(self, node: Node, management: Management, plane: PythonPlane, draining: Draining) -> None:
        self._node, self._management, self._plane = node, management, plane
        self._decisions, self._draining = Decisions(node), draining

    async def Hello(self, request: Any, context: Any) -> Any:
        """Who is there."""
        await self._check(context)
        me = self._node.identity
        return wire.HelloResponse(
            protocol=PROTOCOL, instance=me.instance, version=me.build, start_ms=me.start_ms,
            phase=self._node.publisher.phase,
        )  # fmt: skip

    async def EnsureLoaded(self, request: Any, context: Any) -> Any:
        """Load a model, wait for it, or say what it does."""
        await self._check(context)
        try:
            asked = from_wire(request)
        except internal.NotAPeer as stranger:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(stranger))
        end = await self._management.run(asked)
        match end:
            case Done(StatusInfo() as info):
                status = info.status.value
                entry = self._node.cache.entries.get(asked.model)
                outcome = wire.Outcome(
                    status=status, errors=info.errors, instance=self._node.me, load_ts=entry.load_ts if entry else 0
                )
                return wire.EnsureLoadedResponse(outcome=outcome)
            case Failed(VerdictError() as told):
                return wire.EnsureLoadedResponse(verdict=internal.to_verdict(told.refused))
            case Failed(error):
                await context.abort(TO_GRPC[error.code], error.text)
        raise AssertionError(f"no status came of this: {end}")

    async def Status(self, request: Any, context: Any) -> Any:
        """This instance as it is now, and its copies where they are asked for."""
        await self._check(context)
        if request.protocol != PROTOCOL:
            text = f"this instance speaks protocol {PROTOCOL} between instances, not {request.protocol}"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        if request.page_size < 0:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"page_size is {request.page_size}; allowed: 0 and more"
            )
        return status_message(self._node, request)

    async def Explain(self, request: Any, context: Any) -> Any:
        """What is known here of a model, and what was decided about it; neither: NOT_FOUND."""
        await self._check(context)
        response = self._decisions.explain(request.model)
        if not response.HasField("model") and not response.reasons:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model!r} is known here")
        return response

    async def Decisions(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """What was decided here, and what is."""
        await self._check(context)
        async for reason in self._decisions.answer(request, context):
            yield reason

    async def Drain(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """This instance is taken out of the mesh, or gets no loads for a while."""
        await self._check(context)
        async for progress in self._draining.here(request, context):
            yield progress

    async def _check(self, context: Any) -> None:
        await check_peer(context, tuple(context.invocation_metadata() or ()), self._plane.key)
