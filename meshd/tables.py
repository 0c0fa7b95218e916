"""What of a node can be listed: its models and its virtual models, as clients see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcore.asks import Status
from meshcore.errors import BadRecord
from meshcore.node import Node
from meshcore.records import ModelRecord
from meshcore.vmodel_record import VModelRecord
from meshd.messages import model_message
from meshd.vmodel_api import info_message, record_info
from protos import meshd_pb2 as wire

Records = tuple[int, list[tuple[str, bytes, int]]]


class Models:
    """The registry."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def records(self) -> Records:
        """All of it as it is known now."""
        return self._node.view.revision, self._node.view.models()

    def message(self, name: str, value: bytes, mod: int) -> Any:
        """A Model."""
        try:
            record = ModelRecord.decode(value, f"registry/{name}")
        except BadRecord as unreadable:
            return model_message(name, None, mod, None, unreadable.text)
        return model_message(name, record, mod, self._node.desk.status(name, record), "")

    def passes(self, wanted: Any) -> Callable[[Any], bool]:
        """By a ModelFilter."""
        statuses, labels = set(wanted.status), dict(wanted.labels)

        def passes(model: Any) -> bool:
            return (
                (not wanted.type or model.spec.type == wanted.type)
                and (not statuses or model.status in statuses)
                and (not wanted.instance or any(copy.instance == wanted.instance for copy in model.copies))
                and all(model.spec.labels.get(name) == value for name, value in labels.items())
            )

        return passes


class VModels:
    """The virtual models."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def records(self) -> Records:
        """All of them as they are known now."""
        return self._node.vmodels.revision, self._node.vmodels.items()

    def message(self, name: str, value: bytes, mod: int) -> Any:
        """A VModel."""
        try:
            record = VModelRecord.decode(value, f"vmodels/{name}")
        except BadRecord:
            return wire.VModel(name=name, status=wire.VModel.Status.UNKNOWN, revision=mod)
        message = info_message(name, record_info(record, mod))
        message.active_status = self._status(record.active)
        if record.is_in_transition:
            message.target_status = self._status(record.target)
        return message

    def _status(self, model: str) -> Any:
        record = self._node.record_or_none(model)
        return (self._node.desk.status(model, record).status if record is not None else Status.NOT_FOUND).value

    def passes(self, wanted: Any) -> Callable[[Any], bool]:
        """By a VModelFilter."""
        statuses = set(wanted.status)

        def passes(vmodel: Any) -> bool:
            models = {vmodel.active, vmodel.target, vmodel.shadow}
            models |= {each.model for each in (*vmodel.split, *vmodel.next)}
            return (
                (not wanted.owner or vmodel.owner == wanted.owner)
                and (not statuses or vmodel.status in statuses)
                and (not wanted.model or wanted.model in models)
            )

        return passes
