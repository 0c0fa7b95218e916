"""Questions about decisions, to whichever instance answers: it asks the others itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from mmctl.endpoints import CALL_S, Endpoints, has_gone, translated
from mmctl.errors import Unavailable
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc


async def explain(endpoints: Endpoints, name: str) -> Any:
    """An ExplainResponse; raises grpc.aio.AioRpcError and Unavailable."""
    request = pb.ExplainRequest(model=name)
    return await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).Explain(request, timeout=CALL_S))


async def decisions(endpoints: Endpoints, wanted: Mapping[str, Any], last: int, follow: bool) -> AsyncIterator[Any]:
    """Reason messages from the first instance that is there; raises CommandError, also when it goes."""
    request = pb.DecisionsRequest(filter=pb.DecisionFilter(**wanted), last=last, follow=follow)
    async for _, channel in endpoints.each():
        timeout = None if follow else CALL_S if last else CALL_S * 6
        told = False
        try:
            async for reason in pb_grpc.MeshStub(channel).Decisions(request, timeout=timeout):
                told = True
                yield reason
        except grpc.aio.AioRpcError as error:
            if told or not has_gone(error):
                raise translated(error) from None
            continue
        return
    raise Unavailable("no instance answers")
