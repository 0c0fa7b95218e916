"""Virtual models as instances tell of them, and as their records do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from meshcore.errors import BadRecord
from meshcore.split import WHOLE
from meshcore.vmodel_record import VModelRecord
from mmctl.endpoints import CALL_S, Endpoints, translated
from mmctl.errors import Failed
from mmctl.values import VModel, VModelChange, VModelStatus
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc
from protos import model_mesh_pb2 as mmesh
from protos import model_mesh_pb2_grpc as mmesh_grpc

_PAGE = 1_000


async def set_vmodel(endpoints: Endpoints, wanted: VModelChange, dry_run: bool, timeout_s: float) -> VModel:
    """SetVModel of meshd.v1."""
    request = pb.SetVModelRequest(
        name=wanted.name, shadow=wanted.shadow, owner=wanted.owner, update_only=wanted.update_only,
        targets=[pb.WeightedModel(model=model, weight=weight) for model, weight in wanted.targets.items()],
        expected_target=wanted.expected, force=wanted.force, load=wanted.load, sync=wanted.wait, dry_run=dry_run,
    )  # fmt: skip
    try:
        return _vmodel(
            await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).SetVModel(request, timeout=timeout_s))
        )
    except grpc.aio.AioRpcError as error:
        if wanted.wait and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise Failed(f"{wanted.name}: not over within {timeout_s:.0f} s; it goes on") from None
        raise translated(error) from None


async def delete_vmodel(endpoints: Endpoints, name: str) -> None:
    """deleteVModel of the management API."""
    request = mmesh.DeleteVModelRequest(vModelId=name)
    try:
        await endpoints.call(lambda channel: mmesh_grpc.ModelMeshStub(channel).deleteVModel(request, timeout=CALL_S))
    except grpc.aio.AioRpcError as error:
        raise translated(error) from None


async def list_vmodels(endpoints: Endpoints, prefix: str = "") -> AsyncIterator[VModel]:
    """ListVModels of meshd.v1: those whose name begins so."""
    token = last = ""
    while True:
        request = pb.ListVModelsRequest(filter=pb.VModelFilter(name_prefix=prefix), page_size=_PAGE, page_token=token)
        try:
            page = await _page(endpoints, request)
        except grpc.aio.AioRpcError as error:
            if not token or error.code() is not grpc.StatusCode.OUT_OF_RANGE:
                raise translated(error) from None
            token = ""  # that list is not kept any more: on from the last name
            continue
        for vmodel in page.vmodels:
            if not last or vmodel.name > last:
                yield _vmodel(vmodel)
                last = vmodel.name
        token = page.next_page_token
        if not token:
            return


async def _page(endpoints: Endpoints, request: Any) -> Any:
    return await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).ListVModels(request, timeout=CALL_S))


def from_record(name: str, value: bytes, mod: int) -> VModel:
    """What stands in the store."""
    try:
        record = VModelRecord.decode(value, f"vmodels/{name}")
    except BadRecord:
        return VModel(name, VModelStatus.UNKNOWN, revision=mod)
    wanted = dict(record.wanted) if record.is_in_transition else {}
    return VModel(
        name, VModelStatus(record.status.lower()), dict(record.shares), wanted, record.shadow, record.owner, mod
    )


def _vmodel(message: Any) -> VModel:
    name = pb.VModel.Status.Name(message.status).lower()
    status = VModelStatus(name) if name in VModelStatus.__members__.values() else VModelStatus.UNKNOWN
    targets = _weights(message.split) or _whole(message.active)
    wanted = _weights(message.next) or (_whole(message.target) if status is not VModelStatus.DEFINED else {})
    return VModel(
        message.name, status, targets, wanted, shadow=message.shadow, owner=message.owner, revision=message.revision
    )


def _weights(weighted: Any) -> dict[str, int]:
    return {one.model: one.weight for one in weighted}


def _whole(model: str) -> dict[str, int]:
    return {model: WHOLE} if model else {}
