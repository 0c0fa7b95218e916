"""Questions about decisions, to whichever instance answers: it asks the others itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from mmctl.endpoints import CALL_S, Endpoints, has_gone, translated
from mmctl.errors import Unavailable
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc

MEANWHILE = 1_000
"""Decisions that are asked for anew when the instance that told of them has gone: some were made meanwhile."""


async def explain(endpoints: Endpoints, name: str) -> Any:
    """An ExplainResponse; raises grpc.aio.AioRpcError and Unavailable."""
    request = pb.ExplainRequest(model=name)
    return await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).Explain(request, timeout=CALL_S))


async def decisions(endpoints: Endpoints, wanted: Mapping[str, Any], last: int, follow: bool) -> AsyncIterator[Any]:
    """Reason messages from the first instance that is there. Raises CommandError, also when it goes; with ``follow``
    the next one is asked then, and what it tells once more is left out."""
    newest: dict[str, tuple[int, int]] = {}
    while True:
        request = pb.DecisionsRequest(filter=pb.DecisionFilter(**wanted), last=last, follow=follow)
        timeout = None if follow else CALL_S if last else CALL_S * 6
        told, reasons = False, list[str]()
        async for address, channel in endpoints.each():
            try:
                async for reason in pb_grpc.MeshStub(channel).Decisions(request, timeout=timeout):
                    told = True
                    stamp = (reason.at_ms, reason.seq)
                    if reason.seq and stamp <= newest.get(reason.instance, (0, 0)):
                        continue
                    if follow and reason.seq:
                        newest[reason.instance] = stamp
                    yield reason
            except grpc.aio.AioRpcError as error:
                if not has_gone(error) or (told and not follow):
                    raise translated(error) from None
                if told:
                    break
                reasons.append(f"{address}: {error.details() or 'unavailable'}")
                continue
            return
        if not told:
            raise Unavailable("; ".join(reasons))
        last = last and max(last, MEANWHILE)
