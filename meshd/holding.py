"""This instance and the copies it holds, as one page of them for another instance."""

from __future__ import annotations

from typing import Any

from meshcore.entry import Entry
from meshcore.node import Node
from meshd.messages import instance_message
from protos import meshd_internal_pb2 as wire

PAGE = 500
PAGE_MOST = 5_000


def status_message(node: Node, request: Any) -> Any:
    """The answer to a StatusRequest; a page token is the model that the page before ended with."""
    record = node.own_record()
    instance = instance_message(node.me, record, node.view.instance_mod(node.me))
    response = wire.StatusResponse(instance=instance, accepted=record.accepted)
    if request.with_copies:
        size = min(request.page_size or PAGE, PAGE_MOST)
        models = sorted(model for model in node.cache.entries if model > request.page_token or not request.page_token)
        response.copies.extend(_copy(node, node.cache.entries[model]) for model in models[:size])
        if len(models) > size:
            response.next_page_token = models[size - 1]
    return response


def _copy(node: Node, entry: Entry) -> Any:
    return wire.HeldCopy(
        model=entry.model, state=entry.state.name.lower(), load_ts=entry.load_ts, gen=entry.gen,
        size_units=entry.weight, last_used_ms=node.cache.last_used(entry.model), in_flight=entry.in_flight,
    )  # fmt: skip
