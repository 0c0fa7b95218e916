"""What the instances say of themselves when they are asked, beside what their records say of them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from meshcore.node import Node
from meshcore.units import UNIT_BYTES
from meshd.fanout import DEADLINE_S, Fanout
from meshd.holding import own_message, status_message
from meshd.messages import instance_message
from meshd.plane.peer_calls import PROTOCOL
from protos import meshd_internal_pb2 as internal
from protos import meshd_pb2 as wire

COPIES = 1_000
COPIES_MOST = 5_000


class RollCall:
    """Asks all instances on behalf of one, which answers for itself without a call."""

    def __init__(self, node: Node, fanout: Fanout) -> None:
        self._node, self._fanout = node, fanout

    async def instances(self, is_to_ask: bool) -> list[Any]:
        """Instance messages ascending by id; where they are asked, each as it is now, or ``silent``."""
        view = self._node.view
        known = {**dict(view.instances()), self._node.me: self._node.own_record()}
        messages = {name: instance_message(name, known[name], view.instance_mod(name)) for name in sorted(known)}
        if is_to_ask:
            messages[self._node.me] = own_message(self._node)
            names = [name for name in self._fanout.others() if name in messages]
            answers = await asyncio.gather(*(self._told(name) for name in names))
            for name, answer in zip(names, answers, strict=True):
                if answer is None:
                    messages[name].silent = True
                else:
                    messages[name] = answer.instance
        return list(messages.values())

    async def copies(self, request: Any, context: Any) -> Any:
        """The answer to a ListCopiesRequest."""
        name, statuses = request.instance, grpc.StatusCode
        if request.most < 0:
            await context.abort(statuses.INVALID_ARGUMENT, f"most is {request.most}; allowed: 0 and more")
        size = min(request.most or COPIES, COPIES_MOST)
        asked = internal.StatusRequest(protocol=PROTOCOL, with_copies=True, most_used=True, page_size=size)
        if name == self._node.me:
            return _copies(status_message(self._node, asked))
        record = self._node.view.instance(name)
        if record is None:
            await context.abort(statuses.NOT_FOUND, f"there is no instance {name!r}")
        elif not record.is_ours:
            await context.abort(
                statuses.FAILED_PRECONDITION, f"{name} is a pod of the Java ModelMesh, which cannot be asked"
            )
        answer = await self._told(name, asked)
        if answer is None:
            await context.abort(statuses.UNAVAILABLE, f"{name} does not answer {self._node.me}")
        return _copies(answer)

    async def _told(self, name: str, asked: Any = None) -> Any | None:
        """What one instance tells of itself; None: it does not answer in time, or another one has its address now."""
        stub = self._fanout.stub(name)
        if stub is None:
            return None
        request = asked or internal.StatusRequest(protocol=PROTOCOL)
        try:
            answer = await stub.Status(request, timeout=DEADLINE_S, metadata=self._fanout.metadata())
        except grpc.aio.AioRpcError:
            return None
        return answer if answer.instance.id == name else None


def _copies(status: Any) -> Any:
    return wire.ListCopiesResponse(
        copies=[
            wire.HeldCopy(
                model=copy.model, state=copy.state, load_ts_ms=copy.load_ts, size_bytes=copy.size_units * UNIT_BYTES,
                last_used_ms=copy.last_used_ms, in_flight=copy.in_flight, queued=copy.queued,
                requests_per_minute=copy.requests_per_minute,
            )
            for copy in status.copies
        ],
        total=status.total,
    )  # fmt: skip
