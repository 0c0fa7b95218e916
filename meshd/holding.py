"""This instance and the copies it holds, as one page of them for another instance."""

from __future__ import annotations

from heapq import nsmallest
from typing import Any

from meshcore.entry import Entry
from meshcore.node import Node
from meshcore.units import NEVER
from meshd.messages import instance_message
from protos import meshd_internal_pb2 as wire
from protos import meshd_pb2 as v1

PAGE = 500
PAGE_MOST = 5_000


def status_message(node: Node, request: Any) -> Any:
    """The answer to a StatusRequest; a page token is the model that the page before ended with."""
    record = node.own_record()
    response = wire.StatusResponse(instance=own_message(node), accepted=record.accepted, total=len(node.cache.entries))
    size = min(request.page_size or PAGE, PAGE_MOST)
    if request.with_copies and request.most_used:
        entries = nsmallest(size, node.cache.entries.values(), key=lambda entry: _use(node, entry))
        response.copies.extend(_copy(node, entry) for entry in entries)
    elif request.with_copies:
        models = sorted(model for model in node.cache.entries if model > request.page_token or not request.page_token)
        response.copies.extend(_copy(node, node.cache.entries[model]) for model in models[:size])
        if len(models) > size:
            response.next_page_token = models[size - 1]
    return response


def own_message(node: Node) -> Any:
    """This instance with what only it knows itself."""
    message = instance_message(node.me, node.own_record(), node.view.instance_mod(node.me))
    until = node.departure.until
    message.now.CopyFrom(
        v1.InstanceNow(
            seen_revision=node.view.revision, requests_per_minute=sum(map(node.scaling.rpm_of, node.cache.entries)),
            load_timeout_ms=node.cache.params.load_timeout_ms, store_away=node.outage.is_blind,
            leader=node.upkeep.leader, going_until_ms=0 if until == NEVER else until,
        )
    )  # fmt: skip
    return message


def _use(node: Node, entry: Entry) -> tuple[int, int, str]:
    """Ascends from the most used."""
    return -node.scaling.rpm_of(entry.model), -node.cache.last_used(entry.model), entry.model


def _copy(node: Node, entry: Entry) -> Any:
    return wire.HeldCopy(
        model=entry.model, state=entry.state.name.lower(), load_ts=entry.load_ts, gen=entry.gen,
        size_units=entry.weight, last_used_ms=node.cache.last_used(entry.model), in_flight=entry.in_flight,
        queued=node.scaling.queued_on(entry.model), requests_per_minute=node.scaling.rpm_of(entry.model),
    )  # fmt: skip
