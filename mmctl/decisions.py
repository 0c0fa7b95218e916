"""Decisions and explanations as mmctl knows them: plain values with stable names, made of meshd.v1's messages."""

from __future__ import annotations

from typing import Any

from protos import meshd_pb2 as pb


def plain_reason(reason: Any) -> dict[str, Any]:
    """One decision."""
    return {
        "at_ms": reason.at_ms,
        "instance": reason.instance,
        "seq": reason.seq,
        "rule": reason.rule,
        "model": reason.model,
        "chosen": reason.chosen,
        "cause": reason.cause,
        "inputs": {name: _value(value) for name, value in sorted(reason.inputs.items())},
        "candidates": [
            {"id": each.id, "score": list(each.score), "rejected": each.rejected or None} for each in reason.candidates
        ],
        "more": reason.more,
    }


def plain_explanation(told: Any) -> dict[str, Any]:
    """All that an ExplainResponse says, without the bare list of decisions, which ``events`` gives."""
    now = told.now
    return {
        "model": told.model.spec.name,
        "status": pb.Model.Status.Name(told.model.status).lower(),
        "now": {
            "instance": now.instance,
            "action": pb.Outlook.Action.Name(now.action).lower(),
            "instances": list(now.instances),
            "since_ms": now.since_ms or None,
            "code": now.code or None,
            "text": now.text or None,
            "placement": _maybe(now, "placement"),
            "evicts": list(now.evicts),
        },
        "copies": [
            {
                "instance": copy.instance,
                "load_ts_ms": copy.load_ts_ms,
                "ready": copy.ready,
                "why": _maybe(copy, "why"),
                "unknown": copy.unknown or None,
            }
            for copy in told.copies
        ],
        "failures": [
            {"instance": each.instance, "at_ms": each.at_ms, "text": each.text, "until_ms": each.until_ms}
            for each in told.failures
        ],
        "last_eviction": _maybe(told, "last_eviction"),
        "last_wait": _maybe(told, "last_wait"),
        "unsatisfied": list(told.model.unsatisfied),
        "references": told.model.references,
        "vmodels": list(told.vmodels),
        "vmodel": _vmodel(told.vmodel) if told.HasField("vmodel") else None,
        "next": plain_explanation(told.next) if told.HasField("next") else None,
        "unreachable": list(told.unreachable),
        "java": list(told.java),
    }


def _vmodel(vmodel: Any) -> dict[str, Any]:
    return {
        "name": vmodel.name,
        "status": pb.VModel.Status.Name(vmodel.status).lower(),
        "active": vmodel.active,
        "target": vmodel.target,
        "shadow": vmodel.shadow or None,
    }


def _maybe(message: Any, field: str) -> dict[str, Any] | None:
    return plain_reason(getattr(message, field)) if message.HasField(field) else None


def _value(value: Any) -> int | float | str:
    found: int | float | str = getattr(value, value.WhichOneof("kind") or "whole")
    return found
