"""The protocols that others implement, field by field: a changed number or name here breaks them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import protos
from protos import (
    etcd_pb2,
    generate,
    grpc_predict_v2_pb2,
    meshd_internal_pb2,
    meshd_pb2,
    model_mesh_pb2,
    model_runtime_pb2,
)

FIELDS = {
    "mmesh.RegisterModelRequest": (
        "modelId=1:string modelInfo=2:mmesh.ModelInfo loadNow=3:bool sync=4:bool lastUsedTime=5:uint64"
    ),
    "mmesh.ModelInfo": "type=1:string path=2:string key=3:string",
    "mmesh.ModelStatusInfo": (
        "status=1:mmesh.ModelStatusInfo.ModelStatus errors=2:string* "
        "modelCopyInfos=3:mmesh.ModelStatusInfo.ModelCopyInfo*"
    ),
    "mmesh.ModelStatusInfo.ModelCopyInfo": (
        "location=1:string copyStatus=2:mmesh.ModelStatusInfo.ModelStatus time=3:uint64"
    ),
    "mmesh.UnregisterModelRequest": "modelId=1:string",
    "mmesh.UnregisterModelResponse": "",
    "mmesh.GetStatusRequest": "modelId=1:string",
    "mmesh.EnsureLoadedRequest": "modelId=1:string lastUsedTime=2:uint64 sync=4:bool",
    "mmesh.SetVModelRequest": (
        "vModelId=1:string targetModelId=2:string updateOnly=3:bool modelInfo=4:mmesh.ModelInfo "
        "autoDeleteTargetModel=5:bool loadNow=6:bool force=7:bool sync=8:bool expectedTargetModelId=9:string "
        "owner=10:string"
    ),
    "mmesh.DeleteVModelRequest": "vModelId=1:string owner=2:string",
    "mmesh.DeleteVModelResponse": "",
    "mmesh.GetVModelStatusRequest": "vModelId=1:string owner=2:string",
    "mmesh.VModelStatusInfo": (
        "status=1:mmesh.VModelStatusInfo.VModelStatus activeModelId=2:string targetModelId=3:string "
        "activeModelStatus=4:mmesh.ModelStatusInfo targetModelStatus=5:mmesh.ModelStatusInfo owner=6:string"
    ),
    "mmesh.LoadModelRequest": "modelId=1:string modelType=2:string modelPath=3:string modelKey=4:string",
    "mmesh.LoadModelResponse": "sizeInBytes=1:uint64 maxConcurrency=2:uint32",
    "mmesh.UnloadModelRequest": "modelId=1:string",
    "mmesh.UnloadModelResponse": "",
    "mmesh.PredictModelSizeRequest": "modelId=1:string modelType=2:string modelPath=3:string modelKey=4:string",
    "mmesh.PredictModelSizeResponse": "sizeInBytes=1:uint64",
    "mmesh.ModelSizeRequest": "modelId=1:string",
    "mmesh.ModelSizeResponse": "sizeInBytes=1:uint64",
    "mmesh.RuntimeStatusRequest": "",
    "mmesh.RuntimeStatusResponse": (
        "status=1:mmesh.RuntimeStatusResponse.Status capacityInBytes=2:uint64 maxLoadingConcurrency=3:uint32 "
        "modelLoadingTimeoutMs=4:uint32 defaultModelSizeInBytes=5:uint64 runtimeVersion=6:string "
        "numericRuntimeVersion=7:uint64 methodInfos=8:mmesh.RuntimeStatusResponse.MethodInfosEntry* "
        "limitModelConcurrency=9:bool allowAnyMethod=10:bool"
    ),
    "mmesh.RuntimeStatusResponse.MethodInfo": "idInjectionPath=1:uint32*",
    "mmesh.RuntimeStatusResponse.MethodInfosEntry": "key=1:string value=2:mmesh.RuntimeStatusResponse.MethodInfo",
}

ENUMS = {
    "mmesh.ModelStatusInfo.ModelStatus": "NOT_FOUND=0 NOT_LOADED=1 LOADING=2 LOADED=3 LOADING_FAILED=4 UNKNOWN=5",
    "mmesh.VModelStatusInfo.VModelStatus": "NOT_FOUND=0 DEFINED=1 TRANSITIONING=2 TRANSITION_FAILED=3 UNKNOWN=5",
    "mmesh.RuntimeStatusResponse.Status": "STARTING=0 READY=1 FAILING=2",
}

METHODS = {
    "mmesh.ModelMesh": (
        "registerModel(RegisterModelRequest)ModelStatusInfo unregisterModel(UnregisterModelRequest)"
        "UnregisterModelResponse getModelStatus(GetStatusRequest)ModelStatusInfo "
        "ensureLoaded(EnsureLoadedRequest)ModelStatusInfo setVModel(SetVModelRequest)VModelStatusInfo "
        "deleteVModel(DeleteVModelRequest)DeleteVModelResponse getVModelStatus(GetVModelStatusRequest)VModelStatusInfo"
    ),
    "mmesh.ModelRuntime": (
        "loadModel(LoadModelRequest)LoadModelResponse unloadModel(UnloadModelRequest)UnloadModelResponse "
        "predictModelSize(PredictModelSizeRequest)PredictModelSizeResponse modelSize(ModelSizeRequest)"
        "ModelSizeResponse runtimeStatus(RuntimeStatusRequest)RuntimeStatusResponse"
    ),
}


def field_type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        name = field.message_type.full_name
    elif field.enum_type is not None:
        name = field.enum_type.full_name
    else:
        name = next(kind for kind in ("string", "bool", "uint32", "uint64") if field.type == SCALARS[kind])
    return name + ("*" if field.label == FieldDescriptor.LABEL_REPEATED else "")


SCALARS = {
    "string": FieldDescriptor.TYPE_STRING,
    "bool": FieldDescriptor.TYPE_BOOL,
    "uint32": FieldDescriptor.TYPE_UINT32,
    "uint64": FieldDescriptor.TYPE_UINT64,
}


def messages(module: ModuleType) -> list[Descriptor]:
    """Every message of a module, nested ones included."""
    waiting = list(module.DESCRIPTOR.message_types_by_name.values())
    found = []
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].nested_types
    return found


@pytest.mark.parametrize("full_name", FIELDS)
def test_fields_of_the_management_api_and_the_runtime_spi(full_name: str) -> None:
    message = protos.POOL.FindMessageTypeByName(full_name)
    fields = sorted(message.fields, key=lambda field: field.number)
    assert " ".join(f"{field.name}={field.number}:{field_type(field)}" for field in fields) == FIELDS[full_name]


def test_no_message_of_these_protocols_is_left_out_here() -> None:
    there = {message.full_name for module in (model_mesh_pb2, model_runtime_pb2) for message in messages(module)}
    assert there == set(FIELDS)


@pytest.mark.parametrize("full_name", ENUMS)
def test_enumerations_of_the_management_api_and_the_runtime_spi(full_name: str) -> None:
    values = protos.POOL.FindEnumTypeByName(full_name).values
    assert " ".join(f"{value.name}={value.number}" for value in values) == ENUMS[full_name]


@pytest.mark.parametrize("full_name", METHODS)
def test_methods_of_the_management_api_and_the_runtime_spi(full_name: str) -> None:
    methods = protos.POOL.FindServiceByName(full_name).methods
    said = " ".join(f"{method.name}({method.input_type.name}){method.output_type.name}" for method in methods)
    assert said == METHODS[full_name]
    assert not any(method.client_streaming or method.server_streaming for method in methods)


def test_id_injection_paths_are_packed_on_the_wire() -> None:
    method = model_runtime_pb2.RuntimeStatusResponse.MethodInfo(idInjectionPath=[1, 300])
    assert method.SerializeToString() == b"\x0a\x03\x01\xac\x02"


def test_the_field_number_that_old_clients_may_send_stays_reserved() -> None:
    file = FileDescriptorProto.FromString(model_mesh_pb2.DESCRIPTOR.serialized_pb)
    [request] = [message for message in file.message_type if message.name == "EnsureLoadedRequest"]
    assert [(span.start, span.end) for span in request.reserved_range] == [(3, 4)]


def test_generated_modules_register_under_the_names_their_users_know() -> None:
    modules = {
        "model-mesh.proto": model_mesh_pb2,
        "model-runtime.proto": model_runtime_pb2,
        "grpc_predict_v2.proto": grpc_predict_v2_pb2,
        "etcd.proto": etcd_pb2,
        "meshd.proto": meshd_pb2,
        "meshd_internal.proto": meshd_internal_pb2,
    }
    for name, module in modules.items():
        assert protos.POOL.FindFileByName(name) is module.DESCRIPTOR


def test_stubs_from_a_users_own_copy_load_beside_ours(tmp_path: Path) -> None:
    """Whether their copy says the same as ours, is an older one, or has another path."""
    from grpc_tools import protoc

    here = Path(generate.__file__).parent
    shutil.copy(here / "model-mesh.proto", tmp_path)
    older = (here / "model-runtime.proto").read_text().replace("bool allowAnyMethod = 10;", "")
    (tmp_path / "model-runtime.proto").write_text(older)
    (tmp_path / "kserve").mkdir()
    shutil.copy(here / "grpc_predict_v2.proto", tmp_path / "kserve")
    sources = ["model-mesh.proto", "model-runtime.proto", "kserve/grpc_predict_v2.proto"]
    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    assert protoc.main(["protoc", f"-I{tmp_path}", *outputs, *sources]) == 0
    theirs = ["model_mesh_pb2_grpc", "model_runtime_pb2_grpc", "kserve.grpc_predict_v2_pb2_grpc"]
    ours = [f"protos.{name.split('.')[-1]}" for name in theirs]
    for order in (theirs + ours, ours + theirs):
        program = "import " + ", ".join(order)
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=60)
