"""Bad input to a mesh on real models: each fails with its own reason and harms no other."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, Status, refused
from tests.processes import Mesh, free_port, got, until
from tests.runtimes.onnx_models import affine

pytestmark = pytest.mark.e2e

OUTSIDE = ("../secret.onnx", "/etc/passwd", "escape/secret.onnx")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two instances of ONNX Runtime over one directory of models, good and bad."""
    directory = tmp_path_factory.mktemp("bad")
    root = directory / "models"
    for number in range(4):
        affine(root / f"good-{number}.onnx", float(number))
    affine(directory / "secret.onnx")
    (root / "escape").symlink_to(directory)
    (root / "directory.onnx").mkdir()
    (root / "broken.onnx").write_bytes(b"this is no model")
    (root / "empty.onnx").touch()
    with (root / "huge.onnx").open("wb") as huge:
        huge.truncate(64 << 20)
    with Mesh(directory) as made:
        for name in ("a", "b"):
            made.onnx(name, root, "--capacity=32MiB", "--default-size=1MiB")
        made.start()
        for number in range(4):
            made["a"].client.register(f"good-{number}", f"good-{number}.onnx", kind="onnx", load=True)
        yield made


def infer(client: Client, model: str, name: str = "x") -> float:
    """What the model makes of 1, 1, 1, 1."""
    request = v2.ModelInferRequest()
    tensor = request.inputs.add(name=name, datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([1.0] * 4)
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(client.channel)
    answer = stub.ModelInfer(request, metadata=(("mm-model-id", model),), timeout=GUARD_S)
    return float(answer.outputs[0].contents.fp32_contents[0])


def is_unharmed(mesh: Mesh) -> bool:
    """Whether every good model answers right through every instance."""
    return all(infer(mesh[name].client, f"good-{number}") == number + 1 for name in ("a", "b") for number in range(4))


@pytest.mark.parametrize(
    ("model", "path", "reason"),
    [
        ("missing", "missing.onnx", "NOT_FOUND: missing.onnx: no such file under "),
        ("broken", "broken.onnx", "models/broken.onnx failed:Protobuf parsing failed."),
        ("empty", "empty.onnx", "models/empty.onnx failed:No graph was found in the protobuf."),
        ("no-path", "", "INVALID_ARGUMENT: "),
        ("directory", "directory.onnx", "NOT_FOUND: directory.onnx: no .onnx file in this directory"),
        *((f"outside-{number}", path, "PERMISSION_DENIED: ") for number, path in enumerate(OUTSIDE)),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why_wherever_one_looks(
    mesh: Mesh, model: str, path: str, reason: str
) -> None:
    client = mesh["a"].client
    told = client.register(model, path, kind="onnx", load=True)
    assert told.status == Status.LOADING_FAILED
    text = told.errors[0]
    assert reason in text
    until(lambda: len(client.status(model).errors) == 2, "both instances tried")
    for name in ("a", "b"):
        there = mesh[name].client
        until(lambda there=there: len(there.status(model).errors) == 2, "known there")  # type: ignore[misc]
        assert set(there.status(model).errors) == {text}
        assert there.state(model) == "LOADING_FAILED"
        shown = there.model(model)
        assert shown.status == wire.Model.Status.LOADING_FAILED
        assert {(failure.instance, failure.text) for failure in shown.failures} == {("a", text), ("b", text)}
        assert refused(lambda there=there: infer(there, model)) == ("INTERNAL", text)  # type: ignore[misc]
    assert is_unharmed(mesh)


def test_what_is_larger_than_any_instance_fails_at_once(mesh: Mesh) -> None:
    client = mesh["a"].client
    told = client.register("huge", "huge.onnx", kind="onnx", load=True)
    assert told.status == Status.LOADING_FAILED
    assert told.errors[0].startswith("Predicted size of ")
    assert refused(lambda: infer(mesh["b"].client, "huge")) == ("INTERNAL", told.errors[0])
    request = wire.RegisterRequest(model=wire.ModelSpec(name="vast", type="onnx", path="good-0.onnx", size_bytes=2**40))
    assert client.register_all([request])[0].code == 0
    code, text = refused(lambda: infer(client, "vast"))
    assert (code, text.partition(" (")[0]) == ("INTERNAL", f"Predicted size of {2**40} bytes")
    told = client.ensure("vast")
    assert (told.status, set(told.errors)) == (Status.LOADING_FAILED, {text}), "an error for each that tried"
    assert is_unharmed(mesh)


def test_what_is_not_registered_or_not_named_is_refused(mesh: Mesh) -> None:
    for name in ("a", "b"):
        client = mesh[name].client
        assert refused(lambda client=client: infer(client, "nobody")) == ("NOT_FOUND", "model not found")  # type: ignore[misc]
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(client.channel)
        call = lambda stub=stub: stub.ModelInfer(v2.ModelInferRequest(model_name="good-0"))  # noqa: E731
        assert refused(call) == ("INVALID_ARGUMENT", "must include mm-model-id header")
    different = ("ALREADY_EXISTS", "Model already exists with different attribute values")
    assert refused(lambda: mesh["b"].client.register("good-0", "good-1.onnx", kind="onnx")) == different


def test_a_request_that_the_model_cannot_take_is_the_runtimes_own_error(mesh: Mesh) -> None:
    for name in ("a", "b"):
        code, text = refused(lambda name=name: infer(mesh[name].client, "good-0", "wrong"))  # type: ignore[misc]
        assert code == "INVALID_ARGUMENT"
        assert text.startswith("inference.GRPCInferenceService/ModelInfer: INVALID_ARGUMENT: ")
    assert is_unharmed(mesh)


def test_a_method_that_the_runtime_does_not_list_is_not_permitted(mesh: Mesh) -> None:
    """ONNX Runtime lists its methods; even where the runtime would answer, nothing else passes."""
    name = "inference.GRPCInferenceService/ServerLive"
    call = lambda: mesh["a"].client.call(f"/{name}", b"", (("mm-model-id", "good-0"),))  # noqa: E731
    text = f"{name}: UNIMPLEMENTED: Method not found or not permitted: {name}"
    assert refused(call) == ("UNIMPLEMENTED", text)


def test_requests_are_answered_while_a_runtime_is_down_and_after_it_came_back(mesh: Mesh) -> None:
    assert is_unharmed(mesh)
    mesh["a"].runtime.kill()
    for _ in range(3):
        assert is_unharmed(mesh), "through the instance whose runtime is down too"
    mesh["a"].start_runtime()
    for _ in range(3):
        assert is_unharmed(mesh), "it has none of the models that its instance had"
    mesh["a"].wait_ready()
    assert is_unharmed(mesh)


def test_an_instance_without_a_runtime_lives_and_is_not_ready(mesh: Mesh) -> None:
    lone = mesh.fake("lone", INTERNAL_GRPC_PORT=str(free_port()))
    lone.meshd.start()
    try:
        until(lambda: got(f"http://127.0.0.1:{lone.probe_port}/live")[0] == 200, "it lives")
        assert got(f"http://127.0.0.1:{lone.probe_port}/ready") == (503, "not ready: startup\n")
        assert "lone" not in mesh["a"].client.instances()
    finally:
        assert lone.meshd.stop() == 1
    assert lone.meshd.said().rstrip().endswith("stopped before it was ready")


def test_a_second_process_under_the_same_id_does_not_start(mesh: Mesh) -> None:
    twin = mesh.fake("twin", MM_INSTANCE_ID="a")
    twin.runtime.start()
    twin.meshd.start()
    assert twin.meshd.wait() == 1
    address = f"127.0.0.1:{mesh['a'].mesh_port}"
    assert f"another process answers as instance a at {address}; stop it, or set MM_INSTANCE_ID" in twin.meshd.said()
    assert is_unharmed(mesh)


def test_a_runtime_that_cannot_be_worked_with_ends_the_start(mesh: Mesh) -> None:
    small = mesh.fake("small", "--capacity=100MiB", "--default-size=60MiB")
    small.runtime.start()
    until(lambda: small.runtime.code is not None, "the runtime itself says so")
    assert "capacity" in small.runtime.said()


def test_log_lines_can_be_read_by_machines(mesh: Mesh) -> None:
    told = mesh.fake("json", "--capacity=512MiB", MM_LOG_FORMAT="json")
    told.start()
    lines = [json.loads(line) for line in told.meshd.said().splitlines()]
    ready: Any = next(line for line in lines if "is ready on port" in line["text"])
    assert (ready["level"], ready["logger"]) == ("info", "meshd.app")


def test_garbage_on_the_ports_harms_nobody(mesh: Mesh) -> None:
    for port in (mesh["a"].port, mesh["a"].mesh_port, mesh["a"].probe_port):
        for garbage in (b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64):
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(garbage)
    assert is_unharmed(mesh)
    with pytest.raises(grpc.RpcError):
        mesh["a"].client.call("/mmesh.ModelMesh/registerModel", b"\xff\xff\xff")
    assert is_unharmed(mesh)
