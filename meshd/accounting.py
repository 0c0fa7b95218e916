"""An ExplainResponse made whole: what its reasons and the model's record say, and what a request would meet now."""

from __future__ import annotations

from typing import Any

from meshcore.account import Told, brought, last_eviction, last_wait, why_unknown
from meshcore.node import Node
from meshcore.outlook import Outlook, outlook
from meshcore.reasons import Rule
from meshd.decisions import reason_message
from protos import meshd_pb2 as wire


def complete(response: Any, node: Node, model: str) -> None:
    """Fill what a merged ``response`` about ``model`` does not have yet."""
    told = [_told(reason) for reason in response.reasons]
    for copy in response.model.copies:
        account = response.copies.add(
            instance=copy.instance, load_ts_ms=copy.load_ts_ms, ready=copy.state == wire.Copy.LOADED
        )
        place = brought(told, copy.instance, copy.load_ts_ms)
        if place is None:
            account.unknown = why_unknown(response.unreachable)
        else:
            account.why.CopyFrom(response.reasons[place])
    for failure in response.model.failures:
        # what a process that is no more could not load, its successor may
        is_former = node.view.is_ghost(failure.instance, failure.at_ms)
        until_ms = failure.at_ms + (0 if is_former else node.settings.failure_expiry_ms // 2)
        response.failures.add(instance=failure.instance, at_ms=failure.at_ms, text=failure.text, until_ms=until_ms)
    for field, found in (("last_eviction", last_eviction(told)), ("last_wait", last_wait(told))):
        if found is not None:
            getattr(response, field).CopyFrom(response.reasons[found])
    response.vmodels.extend(vmodel for vmodel, _ in node.vmodels.referring(model))
    response.now.CopyFrom(_outlook(node.me, outlook(node, model)))


def _outlook(me: str, found: Outlook) -> Any:
    message = wire.Outlook(
        instance=me, action=found.action.name, instances=found.instances,
        since_ms=found.since, code=found.code.value if found.code else "", text=found.text,
        evicts=found.evicts,
    )  # fmt: skip
    if found.placement is not None:
        message.placement.CopyFrom(reason_message(found.placement, me))
    return message


def _told(reason: Any) -> Told:
    load_ts = reason.at_ms - reason.inputs["age_ms"].whole if reason.rule == Rule.WAIT else 0
    return Told(reason.instance, reason.rule, reason.chosen, reason.at_ms, load_ts)
