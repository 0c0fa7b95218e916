"""What a request for a model would meet now, found out without changing anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from meshcore.asks import Op, Request
from meshcore.errors import BadRecord, Code, MeshError, UnknownModel
from meshcore.reasons import Reason, Rejected
from meshcore.records import ModelRecord
from meshcore.rendezvous import first

if TYPE_CHECKING:
    from meshcore.node import Node


class Action(StrEnum):
    """What becomes of the request."""

    ANSWERED = "answered"
    FORWARDED = "forwarded"
    WAITS = "waits"
    LOADED = "loaded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outlook:
    """``instances`` answer, load, or would load; ``since`` is when a load that is waited for began; ``evicts`` are the
    models that would go for a load here."""

    action: Action
    instances: tuple[str, ...] = ()
    since: int = 0
    code: Code | None = None
    text: str = ""
    placement: Reason | None = None
    evicts: tuple[str, ...] = ()


def outlook(node: Node, model: str) -> Outlook:
    """For an inference that arrives at ``node`` from outside. No reservation, no use, no draw, no reason comes of it.

    Of several ready copies that can be reached, which are all named, two are drawn and the one with fewer calls under
    way answers. Where the draw would decide among equal places the instance named is the one it would fall on now. An
    instance that a load is sent to may still decline it.
    """
    desk = node.desk
    try:
        node.view.record(model)  # the node's own way would report one that cannot be read
        record = desk.record(model)
    except BadRecord as unreadable:
        return _refused(unreadable)
    if record is None:
        return _refused(UnknownModel())
    holders = desk.holders(model, record)
    there = tuple(holder.instance for holder in holders if holder.is_ready)
    ready = tuple(i for i in there if i == node.me or node.view.health.is_ok(i, node.now)) or there
    if ready == (node.me,):
        return Outlook(Action.ANSWERED, ready)
    if ready:
        return Outlook(Action.FORWARDED, ready)
    if holders:
        first = min(holders, key=lambda holder: (holder.load_ts, holder.instance))
        return Outlook(Action.WAITS, (first.instance,), first.load_ts)
    return _cold(node, Request(model, Op.INFER), record)


def _cold(node: Node, request: Request, record: ModelRecord) -> Outlook:
    if given_up := node.desk.given_up(request, record):
        return _refused(given_up)
    with node.view.supposing_self(node.own_record()):
        target, why = _place(node, request, record)
        if target != node.me:
            return _elsewhere(target, why, node.desk.no_place(record))
        try:
            node.desk.would_admit(request, record)
            evicts = node.copies.admission.foresee(request.model, record)
            return Outlook(Action.LOADED, (target,), placement=why, evicts=evicts)
        except MeshError as unfit:  # the request goes on to the next place
            target, why = _place(node, replace(request, targets=(node.me,)), record)
            return _elsewhere(target, why, unfit)


def _elsewhere(target: str | None, why: Reason, error: MeshError) -> Outlook:
    return _refused(error, why) if target is None else Outlook(Action.LOADED, (target,), placement=why)


def _place(node: Node, request: Request, record: ModelRecord) -> tuple[str | None, Reason]:
    rng = Random()
    rng.setstate(node.rng.getstate())
    want = node.desk.want(request, record)
    away = {node.me: Rejected.AWAY} if node.is_runtime_away else {}
    wants = [replace(want, exclude={**away, **want.exclude})]
    wants += [replace(wants[0], size_units=0)] if want.size_units else []
    wants += [want] if away else []
    for each in wants:
        if node.outage.is_unsure:
            target, why = first(node.view, each, node.now)
        else:
            target, why = node.rules.place(node.view, each, node.now, rng)
        if target is not None:
            break
    return target, why


def _refused(error: MeshError, placement: Reason | None = None) -> Outlook:
    return Outlook(Action.REFUSED, code=error.code, text=error.text, placement=placement)
