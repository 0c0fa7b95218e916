"""What all instances of the mesh decided: each is asked on its mesh port, and what they answer in time is merged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from heapq import merge
from typing import Any

import grpc
import grpc.aio

from meshcore.node import Node
from meshd.decisions import LOST, Decisions, lost_message
from meshd.plane import internal
from meshd.plane.python import PythonPlane
from protos import meshd_internal_pb2_grpc as stubs
from protos import meshd_pb2 as wire

DEADLINE_S = 2.0
"""So long an instance that does not answer holds up the answer of the others."""
LOOK_S = 1.0
"""How often it is looked who came and who went while somebody follows."""
RETRY_S = 30.0
"""So long at most it takes until one that does not answer is asked again; at first ``LOOK_S``, then twice as long."""
OVERLAP_MS = 5_000
"""Following begins so long before the kept ones were read, so that none falls between; none is told twice."""
AHEAD = 1_000
"""So many decisions wait for a reader that is slower than the mesh decides; more are counted, not kept."""


class Fanout:
    """Asks on behalf of one instance, which answers for itself without a call."""

    def __init__(self, node: Node, plane: PythonPlane) -> None:
        self._node, self._plane = node, plane
        self._own = Decisions(node)

    def others(self) -> list[str]:
        """Instances that can be asked."""
        return [name for name, record in self._node.view.instances() if record.is_ours and name != self._node.me]

    def java(self) -> list[str]:
        """Instances that never can."""
        return [name for name, record in self._node.view.instances() if not record.is_ours]

    async def explain(self, model: str) -> Any:
        """An ExplainResponse with the reasons of all, and with who did not answer."""
        names = self.others()
        answers = await asyncio.gather(*(self._explained(name, model) for name in names))
        own = self._own.explain(model)
        told = [own.reasons, *(answer.reasons for answer in answers if answer is not None)]
        response = wire.ExplainResponse(
            reasons=sorted((reason for reasons in told for reason in reasons), key=_order),
            unreachable=[name for name, answer in zip(names, answers, strict=True) if answer is None],
            java=self.java(),
        )
        if own.HasField("model"):
            response.model.CopyFrom(own.model)
        return response

    async def decisions(self, request: Any) -> AsyncIterator[Any]:
        """Reason messages: those kept, in the order of time, then new ones when following. Raises InvalidRequest.

        An instance that does not answer, or goes, is named once by a message with the rule ``lost``.
        """
        kept = wire.DecisionsRequest()
        kept.CopyFrom(request)
        kept.follow = False
        begun = self._node.now
        own = self._own.stream(kept)  # raises before anybody is asked
        names = [name for name in self.others() if _wanted(request, name)]
        answers = await asyncio.gather(*(self._kept(name, kept) for name in names))
        silent = [name for name, answer in zip(names, answers, strict=True) if answer is None]
        mine = [each async for each in own]
        merged = list(merge(mine, *(a for a in answers if a is not None), key=_order))
        for reason in merged[-request.last :] if request.last else merged:
            yield reason
        for name in silent:
            yield _gone(name, self._node.now, "did not answer")
        if request.follow:
            told = [(self._node.me, mine), *zip(names, answers, strict=True)]
            newest = {name: _stamp(reasons[-1]) for name, reasons in told if reasons}
            async for reason in self._followed(request, begun, set(silent), newest):
                yield reason

    async def _followed(
        self, request: Any, begun: int, silent: set[str], newest: dict[str, tuple[int, int]]
    ) -> AsyncIterator[Any]:
        """New ones of all instances, those that come later included."""
        queue: asyncio.Queue[Any] = asyncio.Queue(AHEAD)
        live = wire.DecisionsRequest()
        live.CopyFrom(request)
        live.last = 0
        live.filter.since_ms = max(live.filter.since_ms, begun - OVERLAP_MS)
        tasks: dict[str, asyncio.Task[None]] = {}
        missed: dict[str, int] = {}
        loop = asyncio.get_running_loop()
        try:
            while True:
                there = [self._node.me, *self.others()]
                for name in tasks.keys() - set(there):
                    tasks.pop(name).cancel()
                    if name not in silent:
                        yield _gone(name, self._node.now, "is gone")
                    silent.discard(name)
                for name in there:
                    if _wanted(request, name) and name not in tasks:
                        reader = self._read(name, live, queue, newest, silent, missed)
                        tasks[name] = asyncio.create_task(reader)
                until = loop.time() + LOOK_S
                while (left_s := until - loop.time()) > 0:
                    try:
                        reason = await asyncio.wait_for(queue.get(), left_s)
                    except TimeoutError:
                        break
                    yield reason
                    while queue.empty() and missed:
                        yield lost_message(*missed.popitem(), self._node.now)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _read(
        self, name: str, live: Any, queue: asyncio.Queue[Any], newest: dict[str, tuple[int, int]],
        silent: set[str], missed: dict[str, int],
    ) -> None:  # fmt: skip
        """Pass on what one instance decides, each decision once; that it does not answer is told once."""
        pause_s = LOOK_S
        while True:
            try:
                async for reason in self._live(name, live):
                    pause_s = LOOK_S
                    if reason.seq and _stamp(reason) <= newest.get(name, (0, 0)):
                        continue
                    silent.discard(name)
                    newest[name] = max(newest.get(name, (0, 0)), _stamp(reason))
                    if queue.full():
                        missed[name] = missed.get(name, 0) + 1
                    else:
                        queue.put_nowait(reason)
            except grpc.aio.AioRpcError:
                if name not in silent and not queue.full():
                    silent.add(name)
                    queue.put_nowait(_gone(name, self._node.now, "does not answer any more"))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S)

    async def _live(self, name: str, live: Any) -> AsyncIterator[Any]:
        """What one instance decides, until its stream ends; raises grpc.aio.AioRpcError."""
        stub = None if name == self._node.me else self.stub(name)
        if name == self._node.me:
            stream: Any = self._own.stream(live)
        elif stub is not None:
            stream = stub.Decisions(live, metadata=self.metadata())
        else:
            return
        async for reason in stream:
            yield reason

    async def _explained(self, name: str, model: str) -> Any | None:
        """What one instance tells; None: it does not answer."""
        stub = self.stub(name)
        if stub is None:
            return None
        try:
            request = wire.ExplainRequest(model=model)
            return await stub.Explain(request, timeout=DEADLINE_S, metadata=self.metadata())
        except grpc.aio.AioRpcError as error:
            # nothing is known of it there, which is an answer
            return wire.ExplainResponse() if error.code() is grpc.StatusCode.NOT_FOUND else None

    async def _kept(self, name: str, request: Any) -> list[Any] | None:
        stub = self.stub(name)
        if stub is None:
            return None
        call, kept = stub.Decisions(request, metadata=self.metadata()), list[Any]()
        try:
            while (reason := await asyncio.wait_for(call.read(), DEADLINE_S)) is not grpc.aio.EOF:
                kept.append(reason)  # there may be many, which take longer than anybody may be silent
        except (grpc.aio.AioRpcError, TimeoutError):
            return None
        finally:
            call.cancel()
        return kept

    def stub(self, name: str) -> Any | None:
        """The way to another instance; None: it is not known (any more)."""
        channel = self._plane.channel(name)
        return None if channel is None else stubs.MeshStub(channel)

    def metadata(self) -> Any:
        """What shows an instance that another one asks."""
        return internal.by_key(self._plane.key)


def _wanted(request: Any, name: str) -> bool:
    return not request.filter.instances or name in request.filter.instances


def _order(reason: Any) -> tuple[int, str, int]:
    return reason.at_ms, reason.instance, reason.seq


def _stamp(reason: Any) -> tuple[int, int]:
    """Grows with each decision of an instance, also when it starts anew and counts from one."""
    return reason.at_ms, reason.seq


def _gone(name: str, at_ms: int, what: str) -> Any:
    return wire.Reason(rule=LOST, at_ms=at_ms, cause=f"{name} {what}: its decisions are missing", instance=name)
