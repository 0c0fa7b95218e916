"""Names that the management API had before still work; what it does not have is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from protos import model_mesh_pb2 as mm
from tests.client import Client, Status, instance_of, refused


@pytest.mark.parametrize("service", ["mmesh.ModelMesh", "com.ibm.watson.tas.proto.TasRuntime"])
def test_old_names_of_methods_work(client: Client, model: str, service: str) -> None:
    def call(method: str, request: Any) -> bytes:
        return client.call(f"/{service}/{method}", request.SerializeToString()).body

    register_it = mm.RegisterModelRequest(modelId=model, modelInfo=mm.ModelInfo(type="fake"))
    assert mm.ModelStatusInfo.FromString(call("addModel", register_it)).status == Status.NOT_LOADED
    assert client.state(model) == "NOT_LOADED"
    assert call("deleteModel", mm.UnregisterModelRequest(modelId=model)) == b""
    assert client.state(model) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("registerModel", lambda model: mm.RegisterModelRequest(modelId=model, modelInfo=mm.ModelInfo(type="fake"))),
        ("getModelStatus", lambda model: mm.GetStatusRequest(modelId=model)),
        ("unregisterModel", lambda model: mm.UnregisterModelRequest(modelId=model)),
    ],
)
def test_the_old_service_has_the_methods_of_the_new(
    client: Client, model: str, method: str, request_of: Callable[[str], Any]
) -> None:
    client.call(f"/com.ibm.watson.tas.proto.TasRuntime/{method}", request_of(model).SerializeToString())


def test_an_unknown_method_of_the_old_service_is_unimplemented(client: Client) -> None:
    assert refused(lambda: client.call("/com.ibm.watson.tas.proto.TasRuntime/fly"))[0] == "UNIMPLEMENTED"


def test_an_unknown_method_of_the_service_is_an_inference_call(client: Client, model: str) -> None:
    expected = ("INVALID_ARGUMENT", "must include mm-model-id header")
    assert refused(lambda: client.call("/mmesh.ModelMesh/fly")) == expected
    client.register(model)
    assert client.call("/mmesh.ModelMesh/fly", b"x", (("mm-model-id", model),)).body == b"x"


def test_virtual_models_are_set_under_the_old_name_too(client: Client, model: str) -> None:
    client.register(model)
    request = mm.SetVModelRequest(vModelId=f"v-{model}", targetModelId=model)
    answer = client.call("/com.ibm.watson.tas.proto.TasRuntime/setVModel", request.SerializeToString())
    told = mm.VModelStatusInfo.FromString(answer.body)
    assert (told.status, told.activeModelId) == (mm.VModelStatusInfo.DEFINED, model)


def test_a_request_that_cannot_be_read_is_an_error_of_that_call_alone(client: Client, model: str) -> None:
    with pytest.raises(grpc.RpcError):
        client.call("/mmesh.ModelMesh/registerModel", b"\xff")
    client.register(model, load=True)
    assert instance_of(client.infer(model)) in ("i0", "i1")
