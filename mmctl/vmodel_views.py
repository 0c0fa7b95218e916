"""How virtual models look in tables, and their names and fields in json (docs/mmctl.md, output)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmctl.output import Cell, Column, View, show_fields
from mmctl.values import VModel, VModelStatus

_STYLES = {
    VModelStatus.DEFINED: "green",
    VModelStatus.TRANSITIONING: "cyan",
    VModelStatus.TRANSITION_FAILED: "red",
    VModelStatus.UNKNOWN: "yellow",
}


def _status(vmodel: VModel) -> Cell:
    return Cell(vmodel.status.value.replace("_", " "), _STYLES[vmodel.status])


def _weights(weights: Mapping[str, int]) -> str:
    """One model by its name, several with their shares, the heaviest first."""
    if len(weights) < 2:
        return "".join(weights) or "-"
    return ",".join(f"{model}={weight}" for model, weight in _ordered(weights).items())


def _ordered(weights: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


def plain(vmodel: VModel) -> dict[str, Any]:
    """The fields of a virtual model in json and yaml."""
    return {
        "id": vmodel.name,
        "status": vmodel.status.value,
        "targets": _ordered(vmodel.targets),
        "next": _ordered(vmodel.next),
        "shadow": vmodel.shadow,
        "owner": vmodel.owner,
        "revision": vmodel.revision,
    }


VMODELS: View[VModel] = View(
    columns=(
        Column("ID", lambda vmodel: vmodel.name, flexible=True),
        Column("STATUS", _status),
        Column("TARGETS", lambda vmodel: _weights(vmodel.targets), flexible=True),
        Column("NEXT", lambda vmodel: _weights(vmodel.next), flexible=True),
        Column("SHADOW", lambda vmodel: vmodel.shadow or "-", flexible=True),
        Column("OWNER", lambda vmodel: vmodel.owner or "-", wide=True),
        Column("REVISION", lambda vmodel: str(vmodel.revision), wide=True, right=True),
    ),
    plain=plain,
    name=lambda vmodel: vmodel.name,
    nothing="no virtual models",
)


def describe(vmodel: VModel) -> None:
    """A virtual model for a person who asked for this one."""
    fields: list[tuple[str, str | Cell]] = [("id", vmodel.name), ("status", _status(vmodel))]
    fields += [("answers", f"{model}, {weight} %") for model, weight in _ordered(vmodel.targets).items()]
    fields += [("shall answer", f"{model}, {weight} %") for model, weight in _ordered(vmodel.next).items()]
    fields += [("shadow", vmodel.shadow or "-"), ("owner", vmodel.owner or "-"), ("revision", str(vmodel.revision))]
    show_fields(fields)
