"""What this instance decided and why, for those who ask: as it was decided, or about one model."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from meshcore.errors import BadRecord, InvalidRequest
from meshcore.node import Node
from meshcore.reasons import Reason, Rule
from meshd.codes import TO_GRPC
from meshd.messages import model_message
from protos import meshd_pb2 as wire

FOLLOW_S = 0.1
"""How often it is looked for something new: the reasons are kept anyway, so nobody need be told of each."""
LOST = "lost"
"""The rule of a message that stands for ``more`` decisions which the reader was too slow for."""


class Decisions:
    """Reads the reasons that one node keeps. What a reader does not take in time is skipped, never kept for it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def explain(self, name: str) -> Any:
        """An ExplainResponse from what is known here; its ``model`` is absent where the model is not known."""
        response = wire.ExplainResponse(reasons=[self._message(reason) for reason in self._kept(name)])
        try:
            record = self._node.desk.record(name)
        except BadRecord as unreadable:
            response.model.CopyFrom(model_message(name, None, self._node.view.mod(name), None, unreadable.text))
            return response
        if record is not None:
            info = self._node.desk.status(name, record)
            response.model.CopyFrom(model_message(name, record, self._node.view.mod(name), info, ""))
        return response

    async def answer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The decisions that pass, as an RPC's answer; a filter that makes no sense ends it."""
        try:
            reasons = self.stream(request)
        except InvalidRequest as wrong:
            await context.abort(TO_GRPC[wrong.code], wrong.text)
            raise AssertionError("abort returned") from wrong
        async for reason in reasons:
            yield reason

    def stream(self, request: Any) -> AsyncGenerator[Any, None]:
        """The decisions that pass, oldest first, as Reason messages. Raises InvalidRequest."""
        return self._stream(request, _passes(request))

    async def _stream(self, request: Any, passes: Callable[[Reason], bool]) -> AsyncGenerator[Any, None]:
        if request.filter.instances and self._node.me not in request.filter.instances:
            return
        kept = [reason for reason in self._kept(request.filter.model) if passes(reason)]
        seen = self._node.log.newest
        for reason in kept[-request.last :] if request.last else kept:
            yield self._message(reason)
        while request.follow:
            for reason in self._node.log.since(seen):
                if lost := reason.seq - seen - 1:
                    yield lost_message(self._node.me, lost, reason.at)
                seen = reason.seq
                if passes(reason):
                    yield self._message(reason)
            await asyncio.sleep(FOLLOW_S)

    def _kept(self, model: str) -> list[Reason]:
        """All that is kept, or all about one model: its last ones are kept longer than the rest."""
        log = self._node.log
        if not model:
            return list(log.since(0))
        found = {reason.seq: reason for reason in (*log.of(model), *log.since(0)) if reason.model == model}
        return [found[seq] for seq in sorted(found)]

    def _message(self, reason: Reason) -> Any:
        return reason_message(reason, self._node.me)


def lost_message(instance: str, count: int, at_ms: int) -> Any:
    """Stands for so many decisions of ``instance`` that a reader was too slow for."""
    cause = f"{count} decisions are not here: they came faster than they were read"
    return wire.Reason(rule=LOST, at_ms=at_ms, cause=cause, more=count, instance=instance)


def reason_message(reason: Reason, instance: str) -> Any:
    """A Reason message of what ``instance`` decided."""
    message = wire.Reason(
        seq=reason.seq, at_ms=reason.at, rule=reason.rule, model=reason.model, chosen=reason.chosen,
        view_revision=reason.view_revision, cause=reason.cause, more=reason.more, instance=instance,
        candidates=[
            wire.Candidate(id=each.id, score=[str(part) for part in each.score], rejected=each.rejected or "")
            for each in reason.candidates
        ],
    )  # fmt: skip
    for name, value in reason.inputs.items():
        if isinstance(value, int):
            message.inputs[name].whole = value
        else:
            message.inputs[name].text = value
    return message


def _passes(request: Any) -> Callable[[Reason], bool]:
    """What a reason has to be for ``request``. Raises InvalidRequest."""
    wanted, known = request.filter, [rule.value for rule in Rule]
    for rule in wanted.rules:
        if rule not in known:
            close = difflib.get_close_matches(rule, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise InvalidRequest(f"there is no rule {rule!r}; {hint}")
    for name, number in (("last", request.last), ("since_ms", wanted.since_ms)):
        if number < 0:
            raise InvalidRequest(f"{name} is {number}; allowed: 0 and more")
    rules = frozenset(wanted.rules)

    def passes(reason: Reason) -> bool:
        return (
            (not rules or reason.rule in rules)
            and (not wanted.model or reason.model == wanted.model)
            and reason.model.startswith(wanted.model_prefix)
            and reason.at >= wanted.since_ms
        )

    return passes
