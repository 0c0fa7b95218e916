"""What other instances ask beside inference: meshd.internal.v1 on the mesh port."""

from __future__ import annotations

from typing import Any

import grpc

from meshcore.asks import Done, Failed, StatusInfo, VerdictError
from meshcore.node import Node
from meshd.api import Management
from meshd.codes import TO_GRPC
from meshd.external import check_peer
from meshd.plane import internal
from meshd.plane.peer_calls import PROTOCOL, from_wire
from protos import meshd_internal_pb2 as wire
from protos import meshd_internal_pb2_grpc as stubs


class MeshApi(stubs.MeshServicer):  # type: ignore[misc]
    """Answers instances that carry the cluster's key."""

    def __init__(self, node: Node, management: Management, key: bytes) -> None:
        self._node, self._management, self._key = node, management, key

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

    async def _check(self, context: Any) -> None:
        await check_peer(context, tuple(context.invocation_metadata() or ()), self._key)
