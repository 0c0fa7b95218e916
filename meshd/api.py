"""The management API that clients of ModelMesh know: mmesh.ModelMesh, with the names it had before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc

from meshcore.asks import Asked, Done, Failed, Op, Register, Request, StatusInfo, Unregister
from meshd.codes import TO_GRPC
from meshd.management import Management, to_message
from meshd.plane.metadata import is_balanced
from meshd.vmodel_api import VModelApi
from protos import model_mesh_pb2 as mmesh

SERVICE = "/mmesh.ModelMesh/"
OLD_SERVICE = "/com.ibm.watson.tas.proto.TasRuntime/"
_OLD_METHODS = {"addModel": "registerModel", "deleteModel": "unregisterModel"}


class ModelMeshApi(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves the seven methods."""

    def __init__(self, management: Management) -> None:
        self._management = management
        vmodels = VModelApi(management)
        self._methods = {
            "registerModel": self._handler(mmesh.RegisterModelRequest, self._register),
            "unregisterModel": self._handler(mmesh.UnregisterModelRequest, self._unregister),
            "getModelStatus": self._handler(mmesh.GetStatusRequest, self._status),
            "ensureLoaded": self._handler(mmesh.EnsureLoadedRequest, self._ensure),
            "setVModel": self._handler(mmesh.SetVModelRequest, vmodels.set),
            "deleteVModel": self._handler(mmesh.DeleteVModelRequest, vmodels.delete),
            "getVModelStatus": self._handler(mmesh.GetVModelStatusRequest, vmodels.status),
        }

    @staticmethod
    def _handler(request: Any, behaviour: Callable[[Any, Any], Any]) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=request.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    def service(self, handler_call_details: Any) -> Any:
        """grpc's question which handler serves a method; None: it is not one of these."""
        path: str = handler_call_details.method
        for prefix in (SERVICE, OLD_SERVICE):
            if path.startswith(prefix):
                name = path.removeprefix(prefix)
                known = self._methods.get(_OLD_METHODS.get(name, name))
                if known is None and prefix == OLD_SERVICE:
                    return grpc.unary_unary_rpc_method_handler(_unimplemented)
                return known
        return None

    async def _register(self, request: Any, context: Any) -> Any:
        info = request.modelInfo
        asked = Register(
            request.modelId, info.type, info.path, info.key, should_load=request.loadNow, is_sync=request.sync,
            last_used=request.lastUsedTime, is_balanced=is_balanced(context.invocation_metadata() or ()),
        )  # fmt: skip
        return to_message(await self._info(asked, context))

    async def _unregister(self, request: Any, context: Any) -> Any:
        await self._info(Unregister(request.modelId), context)
        return mmesh.UnregisterModelResponse()

    async def _status(self, request: Any, context: Any) -> Any:
        return to_message(await self._info(Request(request.modelId, Op.STATUS), context))

    async def _ensure(self, request: Any, context: Any) -> Any:
        asked = Request(
            request.modelId, Op.ENSURE, is_sync=request.sync, last_used=request.lastUsedTime,
            is_balanced=is_balanced(context.invocation_metadata() or ()),
        )  # fmt: skip
        return to_message(await self._info(asked, context))

    async def _info(self, asked: Asked, context: Any) -> StatusInfo:
        end = await self._management.run(asked)
        match end:
            case Done(StatusInfo() as info):
                return info
            case Failed(error):
                await context.abort(TO_GRPC[error.code], error.text)
            case _:
                await context.abort(grpc.StatusCode.INTERNAL, f"no status came of this: {end}")
        raise AssertionError("abort returned")


async def _unimplemented(request: bytes, context: Any) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    raise AssertionError("abort returned")
