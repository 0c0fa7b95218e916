"""Virtual models in the management API that clients of ModelMesh know, and as meshd.v1 has them."""

from __future__ import annotations

from typing import Any

from meshcore.asks import Done, Failed, VModelInfo
from meshcore.split import WHOLE, checked
from meshcore.vmodel_asks import AskedVModel, AskVModel, DeleteVModel, ModelInfo, SetVModel
from meshcore.vmodel_record import VModelRecord, Weights
from meshd.codes import TO_GRPC
from meshd.management import Management, to_message
from protos import meshd_pb2 as wire
from protos import model_mesh_pb2 as mmesh


class VModelApi:
    """The three methods of mmesh.ModelMesh."""

    def __init__(self, management: Management) -> None:
        self._management = management

    async def set(self, request: Any, context: Any) -> Any:
        """Create a virtual model or give it a new target."""
        return _to_message(await vmodel_info(self._management, _asked(request), context))

    async def status(self, request: Any, context: Any) -> Any:
        """Where it points; an unknown one is the empty answer."""
        return _to_message(await vmodel_info(self._management, AskVModel(request.vModelId, request.owner), context))

    async def delete(self, request: Any, context: Any) -> Any:
        """Remove it; an unknown one is fine."""
        await vmodel_info(self._management, DeleteVModel(request.vModelId, request.owner), context)
        return mmesh.DeleteVModelResponse()


def _asked(request: Any) -> SetVModel:
    info = request.modelInfo
    return SetVModel(
        request.vModelId, {request.targetModelId: WHOLE}, request.owner, request.expectedTargetModelId,
        ModelInfo(info.type, info.path, info.key, request.autoDeleteTargetModel)
        if request.HasField("modelInfo") else None,
        is_update_only=request.updateOnly, should_load=request.loadNow, is_forced=request.force,
        is_sync=request.sync,
    )  # fmt: skip


async def vmodel_info(management: Management, asked: AskedVModel, context: Any) -> VModelInfo:
    """How it came out; what went wrong ends the call."""
    match await management.run(asked):
        case Done(VModelInfo() as info):
            return info
        case Failed(error):
            await context.abort(TO_GRPC[error.code], error.text)
        case end:
            raise AssertionError(f"no virtual model came of this: {end}")
    raise AssertionError("abort returned")


def _to_message(info: VModelInfo) -> Any:
    return mmesh.VModelStatusInfo(
        status=info.status.value, activeModelId=info.active, targetModelId=info.target, owner=info.owner,
        activeModelStatus=to_message(info.active_status) if info.active_status is not None else None,
        targetModelStatus=to_message(info.target_status) if info.target_status is not None else None,
    )  # fmt: skip


# -- meshd.v1 ---------------------------------------------------------------------------------------------------


def asked_by_v1(request: Any) -> SetVModel:
    """A SetVModelRequest; raises InvalidRequest."""
    return SetVModel(
        request.name, checked(request.name, ((each.model, each.weight) for each in request.targets)), request.owner,
        request.expected_target, is_update_only=request.update_only, should_load=request.load,
        is_forced=request.force, is_sync=request.sync, shadow=request.shadow if request.HasField("shadow") else None,
        is_trial=request.dry_run,
    )  # fmt: skip


def info_message(name: str, info: VModelInfo) -> Any:
    """A VModel, with the status of its models."""
    active, target = info.active_status, info.target_status
    message = wire.VModel(
        name=name, owner=info.owner, active=info.active, target=info.target, status=info.status.value,
        active_status=active.status.value if active is not None else None,
        target_status=target.status.value if target is not None else None, shadow=info.shadow, revision=info.mod,
    )  # fmt: skip
    if len(info.shares) > 1:
        message.split.extend(_weighted(info.shares))
    if info.wanted != info.shares and max(len(info.wanted), len(info.shares)) > 1:
        message.next.extend(_weighted(info.wanted))
    return message


def _weighted(weights: Weights) -> list[Any]:
    return [wire.WeightedModel(model=model, weight=weights[model]) for model in sorted(weights)]


def record_info(record: VModelRecord, mod: int) -> VModelInfo:
    """What a record says by itself, without the status of its models."""
    return VModelInfo(
        record.status, record.active, record.target, record.owner, shares=record.shares, wanted=record.wanted,
        shadow=record.shadow, mod=mod,
    )  # fmt: skip
