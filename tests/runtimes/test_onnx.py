from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from grpc import aio

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from protos import grpc_predict_v2_pb2 as v2  # noqa: E402
from protos import grpc_predict_v2_pb2_grpc, model_runtime_pb2_grpc  # noqa: E402
from protos import model_runtime_pb2 as pb  # noqa: E402
from runtimes import sdk  # noqa: E402
from runtimes.onnx import Onnx  # noqa: E402
from runtimes.session import QUICK_US, Pace, Session, memory_bytes, model_file  # noqa: E402

T = TypeVar("T")
HANG_S = 60


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any] = []) -> Path:  # noqa: B006
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def affine(path: Path, scale: float = 2.0) -> Path:
    """y = scale * x + 1 for [N, 4] floats, and total = the sum of y."""
    return save(
        path,
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "one"], ["y"]),
            helper.make_node("ReduceSum", ["y"], ["total"], keepdims=0),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, []),
        ],
        [
            numpy_helper.from_array(np.float32(scale).reshape(1), "scale"),
            numpy_helper.from_array(np.float32(1).reshape(1), "one"),
        ],
    )


def identity(path: Path, element_type: int) -> Path:
    return save(
        path,
        [helper.make_node("Identity", ["in"], ["out"])],
        [helper.make_tensor_value_info("in", element_type, [None])],
        [helper.make_tensor_value_info("out", element_type, [None])],
    )


class Client:
    def __init__(self, channel: aio.Channel) -> None:
        self.spi = model_runtime_pb2_grpc.ModelRuntimeStub(channel)
        self.v2 = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def load(self, model_id: str, path: str) -> Any:
        return await self.spi.loadModel(pb.LoadModelRequest(modelId=model_id, modelType="onnx", modelPath=path))


def served(root: Path, test: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with (
            asyncio.timeout(HANG_S),
            sdk.serving(Onnx(root, 1 << 30), sdk.Listen(port=0)) as running,
            aio.insecure_channel(running.address) as channel,
        ):
            return await test(Client(channel))

    return asyncio.run(run())


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details()


def typed(model: str, values: list[list[float]], name: str = "x", **more: Any) -> Any:
    request = v2.ModelInferRequest(model_name=model, **more)
    tensor = request.inputs.add(name=name, datatype="FP32", shape=[len(values), len(values[0])])
    tensor.contents.fp32_contents.extend(value for row in values for value in row)
    return request


def raw(model: str, datatype: str, array: Any, name: str = "x") -> Any:
    request = v2.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()])
    request.inputs.add(name=name, datatype=datatype, shape=array.shape)
    return request


def test_typed_requests_have_typed_answers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        answer = await client.v2.ModelInfer(typed("m", [[0, 1, 2, 3], [4, 5, 6, 7]], id="42"))
        assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "42")
        y, total = answer.outputs
        assert (y.name, y.datatype, list(y.shape)) == ("y", "FP32", [2, 4])
        assert list(y.contents.fp32_contents) == [1, 3, 5, 7, 9, 11, 13, 15]
        assert (total.name, list(total.shape), list(total.contents.fp32_contents)) == ("total", [], [64])
        assert not answer.raw_output_contents

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


def test_raw_requests_have_raw_answers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        answer = await client.v2.ModelInfer(raw("m", "FP32", np.zeros((1, 4), np.float32)))
        assert not any(output.HasField("contents") for output in answer.outputs)
        y, total = (np.frombuffer(content, np.float32).tolist() for content in answer.raw_output_contents)
        assert (y, total) == ([1, 1, 1, 1], [4])

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


def test_only_outputs_that_are_asked_for_come_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        request = typed("m", [[0, 0, 0, 0]])
        request.outputs.add(name="total")
        assert [output.name for output in (await client.v2.ModelInfer(request)).outputs] == ["total"]
        request.outputs.add(name="z")
        expected = ("INVALID_ARGUMENT", "output z: the model has no such output; it gives y, total")
        assert await refused(client.v2.ModelInfer(request)) == expected

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


TYPES = {
    "BOOL": (TensorProto.BOOL, np.array([True, False])),
    "INT8": (TensorProto.INT8, np.array([-1, 2], np.int8)),
    "INT16": (TensorProto.INT16, np.array([-1, 2], np.int16)),
    "INT32": (TensorProto.INT32, np.array([-1, 2], np.int32)),
    "INT64": (TensorProto.INT64, np.array([-1, 2], np.int64)),
    "UINT8": (TensorProto.UINT8, np.array([1, 2], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([1, 2], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([1, 2], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([1, 2], np.uint64)),
    "FP16": (TensorProto.FLOAT16, np.array([0.5, 2], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([0.5, 2], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([0.5, 2], np.float64)),
}


@pytest.mark.parametrize("datatype", TYPES)
def test_every_numeric_type_goes_through_a_model(tmp_path: Path, datatype: str) -> None:
    element_type, array = TYPES[datatype]

    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        answer = await client.v2.ModelInfer(raw("m", datatype, array, "in"))
        assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == (datatype, [2])
        assert answer.raw_output_contents[0] == array.tobytes()

    identity(tmp_path / "m.onnx", element_type)
    served(tmp_path, test)


def test_texts_go_through_a_model(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        request = v2.ModelInferRequest(model_name="m")
        request.inputs.add(name="in", datatype="BYTES", shape=[2]).contents.bytes_contents.extend(["é".encode(), b""])
        answer = await client.v2.ModelInfer(request)
        assert answer.outputs[0].datatype == "BYTES"
        assert list(answer.outputs[0].contents.bytes_contents) == ["é".encode(), b""]

    identity(tmp_path / "m.onnx", TensorProto.STRING)
    served(tmp_path, test)


def test_the_mesh_says_which_model_is_meant(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("two", "two.onnx")
        await client.load("drei/é", "three.onnx")
        request = typed("somebody's name", [[1, 1, 1, 1]])
        answer = await client.v2.ModelInfer(request, metadata=(("mm-model-id", "two"),))
        assert (answer.model_name, answer.outputs[0].contents.fp32_contents[0]) == ("two", 3)
        answer = await client.v2.ModelInfer(request, metadata=(("mm-model-id-bin", "drei/é".encode()),))
        assert (answer.model_name, answer.outputs[0].contents.fp32_contents[0]) == ("drei/é", 4)

    affine(tmp_path / "two.onnx", 2)
    affine(tmp_path / "three.onnx", 3)
    served(tmp_path, test)


def test_a_model_that_is_not_loaded_is_not_found(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        expected = ("NOT_FOUND", "model m is not loaded")
        assert await refused(client.v2.ModelInfer(typed("m", [[0, 0, 0, 0]]))) == expected
        assert await refused(client.v2.ModelMetadata(v2.ModelMetadataRequest(name="m"))) == expected
        assert await refused(client.v2.ModelReady(v2.ModelReadyRequest(name="m"))) == expected
        await client.load("m", "m.onnx")
        assert (await client.v2.ModelReady(v2.ModelReadyRequest(name="m"))).ready
        await client.spi.unloadModel(pb.UnloadModelRequest(modelId="m"))
        assert await refused(client.v2.ModelReady(v2.ModelReadyRequest(name="m"))) == expected

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


def test_metadata_names_inputs_and_outputs(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        answer = await client.v2.ModelMetadata(v2.ModelMetadataRequest(name="m"))
        assert (answer.name, list(answer.versions), answer.platform) == ("m", ["1"], "onnxruntime_onnx")
        assert [(port.name, port.datatype, list(port.shape)) for port in (*answer.inputs, *answer.outputs)] == [
            ("x", "FP32", [-1, 4]),
            ("y", "FP32", [-1, 4]),
            ("total", "FP32", []),
        ]
        assert (await client.v2.ServerLive(v2.ServerLiveRequest())).live
        assert (await client.v2.ServerReady(v2.ServerReadyRequest())).ready
        assert (await client.v2.ServerMetadata(v2.ServerMetadataRequest())).name == "onnxruntime"

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (typed("m", [[0, 0, 0]]), "input x: expected FP32 [-1, 4], got FP32 [1, 3]"),
        (raw("m", "FP32", np.zeros(4, np.float32)), "input x: expected FP32 [-1, 4], got FP32 [4]"),
        (raw("m", "FP64", np.zeros((1, 4))), "input x: expected FP32 [-1, 4], got FP64 [1, 4]"),
        (raw("m", "FP32", np.zeros((1, 4))), "input x: expected 16 bytes for FP32 [1, 4], got 32"),
        (typed("m", [[0]], "z"), "input z: the model has no such input; it takes x FP32 [-1, 4]"),
        (v2.ModelInferRequest(model_name="m"), "input x: expected FP32 [-1, 4], got nothing"),
    ],
)
def test_wrong_inputs_are_named_with_what_is_expected(tmp_path: Path, request_: Any, said: str) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        assert await refused(client.v2.ModelInfer(request_)) == ("INVALID_ARGUMENT", said)

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


def test_a_run_that_fails_within_the_model_is_internal(tmp_path: Path) -> None:
    save(
        tmp_path / "m.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
    )

    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        request = typed("m", [[0, 0, 0, 0]])
        request.inputs.add(name="shape", datatype="INT64", shape=[1]).contents.int64_contents.append(3)
        code, text = await refused(client.v2.ModelInfer(request))
        assert code == "INTERNAL"
        assert "Reshape" in text

    served(tmp_path, test)


def test_load_and_prediction_answer_the_same_size(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        loaded = await client.load("m", "m.onnx")
        predicted = await client.spi.predictModelSize(pb.PredictModelSizeRequest(modelId="m", modelPath="m.onnx"))
        assert loaded.sizeInBytes == predicted.sizeInBytes == 128 * 1024 + int(2.25 * size)
        missing = client.spi.predictModelSize(pb.PredictModelSizeRequest(modelId="m", modelPath="n.onnx"))
        assert (await refused(missing))[0] == "NOT_FOUND"

    size = affine(tmp_path / "m.onnx").stat().st_size
    served(tmp_path, test)


def test_trees_and_external_data_count_with_the_size(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x" * 1000)
    plain = memory_bytes(tmp_path / "m.onnx")
    (tmp_path / "m.onnx.data").write_bytes(b"x" * 3000)
    (tmp_path / "other.onnx").write_bytes(b"x" * 5000)
    assert memory_bytes(tmp_path / "m.onnx") - plain == 3000 * 2.25
    (tmp_path / "t.onnx").write_bytes(b"TreeEnsembleClassifier".ljust(1000))
    assert memory_bytes(tmp_path / "t.onnx") - plain == 1000 * (6 - 2.25)


def test_loads_that_cannot_be(tmp_path: Path) -> None:
    root = tmp_path / "models"
    affine(tmp_path / "outside.onnx")
    affine(root / "one" / "1" / "model.onnx")
    affine(root / "two" / "a.onnx")
    affine(root / "two" / "b.onnx")
    (root / "none").mkdir()
    (root / "broken.onnx").write_bytes(b"\x08\x09garbage")
    (root / "empty.onnx").touch()
    (root / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    (root / "inner.onnx").symlink_to(root / "two" / "a.onnx")
    (root / "trap").mkdir()
    (root / "trap" / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    outside = "outside of .*, where all models have to be"
    table = {
        "": ("INVALID_ARGUMENT", "registered without a path"),
        "missing.onnx": ("NOT_FOUND", f"missing.onnx: no such file under {root}"),
        "none": ("NOT_FOUND", "none: no .onnx file in this directory"),
        "two": ("INVALID_ARGUMENT", "two: 2 .onnx files in this directory"),
        "broken.onnx": ("INVALID_ARGUMENT", "broken.onnx: .*INVALID_PROTOBUF"),
        "empty.onnx": ("INVALID_ARGUMENT", "empty.onnx: "),
        "../outside.onnx": ("PERMISSION_DENIED", outside),
        "../nowhere.onnx": ("PERMISSION_DENIED", outside),
        str(tmp_path / "outside.onnx"): ("PERMISSION_DENIED", outside),
        "/etc/passwd": ("PERMISSION_DENIED", outside),
        "link.onnx": ("PERMISSION_DENIED", outside),
        "trap": ("PERMISSION_DENIED", outside),
        "a\0b": ("INVALID_ARGUMENT", "null"),
    }

    async def test(client: Client) -> None:
        for path, (code, said) in table.items():
            got, text = await refused(client.load("m", path))
            assert got == code, path
            assert re.search(said, text), text
        for number, path in enumerate(("one", str(root / "two" / "a.onnx"), "inner.onnx", "two/../two/b.onnx")):
            await client.load(f"good-{number}", path)

    served(root, test)


def test_a_model_root_that_is_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    file = affine(tmp_path / "real" / "m.onnx")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    root = Path(os.path.realpath(tmp_path / "root"))
    assert model_file(root, str(tmp_path / "root" / "m.onnx")) == model_file(root, "m.onnx") == file


def test_outputs_that_are_no_tensors_are_left_out(tmp_path: Path) -> None:
    """A classifier that was converted as it is gives its probabilities as a list of dictionaries."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    to_onnx = pytest.importorskip("skl2onnx").to_onnx
    inputs = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    classifier = linear_model.LogisticRegression().fit(inputs, [0, 0, 1, 1])
    (tmp_path / "m.onnx").write_bytes(to_onnx(classifier, inputs[:1], target_opset=17).SerializeToString())

    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        answer = await client.v2.ModelInfer(raw("m", "FP32", np.array([[-5], [5]], np.float32), "X"))
        assert [output.name for output in answer.outputs] == ["output_label"]
        assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [0, 1]

    served(tmp_path, test)


def test_models_without_tensors_are_refused(tmp_path: Path) -> None:
    floats = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    index = numpy_helper.from_array(np.array(0, np.int64), "index")
    made = save(tmp_path / "gives.onnx", [helper.make_node("SequenceConstruct", ["x"], ["s"])], [tensor], [floats])
    with pytest.raises(ValueError, match="no output of this model is a tensor"):
        Session(made, 1)
    taken = save(
        tmp_path / "takes.onnx", [helper.make_node("SequenceAt", ["s", "index"], ["x"])], [floats], [tensor], [index]
    )
    with pytest.raises(ValueError, match="an input of this model is not a tensor"):
        Session(taken, 1)


def test_requests_are_quick_up_to_the_size_that_was() -> None:
    pace = Pace()
    assert not pace.is_quick(0)
    pace.learn(100, QUICK_US)
    assert pace.is_quick(100)
    assert not pace.is_quick(101)
    pace.learn(50, QUICK_US)
    assert pace.is_quick(100)
    pace.learn(80, QUICK_US + 1)
    assert pace.is_quick(79)
    assert not pace.is_quick(80)


def test_many_requests_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.load("m", "m.onnx")
        calls = [client.v2.ModelInfer(typed("m", [[float(number)] * 4] * (number + 1))) for number in range(50)]
        for number, answer in enumerate(await asyncio.gather(*calls)):
            assert list(answer.outputs[0].contents.fp32_contents) == [2 * number + 1] * 4 * (number + 1)

    affine(tmp_path / "m.onnx")
    served(tmp_path, test)


@pytest.mark.e2e
def test_the_process_serves_what_its_flags_say(tmp_path: Path) -> None:
    affine(tmp_path / "models" / "m.onnx")
    socket = tmp_path / "runtime.sock"
    flags = ["--socket", str(socket), "--model-root", str(tmp_path / "models"), "--capacity", "64MiB"]
    flags += ["--default-size", "2MiB", "--loading-concurrency", "3", "--threads", "2", "--load-timeout-ms", "5000"]
    process = subprocess.Popen([sys.executable, "-m", "runtimes.onnx", *flags], stderr=subprocess.PIPE, text=True)

    async def run() -> None:
        async with asyncio.timeout(HANG_S), aio.insecure_channel(f"unix:{socket}") as channel:
            client = Client(channel)
            status = await client.spi.runtimeStatus(pb.RuntimeStatusRequest())
            assert (status.capacityInBytes, status.defaultModelSizeInBytes) == (64 << 20, 2 << 20)
            assert (status.maxLoadingConcurrency, status.modelLoadingTimeoutMs) == (3, 5000)
            assert sorted(status.methodInfos) == [
                f"inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelMetadata", "ModelReady")
            ]
            assert status.runtimeVersion.startswith("onnxruntime ")
            await client.load("m", "m.onnx")
            await client.v2.ModelInfer(typed("m", [[0, 0, 0, 0]]))

    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"ready on unix:{socket}\n"
        asyncio.run(run())
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model-root", "/nowhere", "--capacity", "64MiB"], "--model-root: /nowhere is not a directory"),
        (["--model-root", "/", "--capacity", "lots"], "--capacity: 'lots' is not a size such as 512MiB"),
        (["--model-root", "/"], "required: --capacity"),
    ],
)
def test_wrong_flags_are_named(flags: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtimes.onnx", *flags], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
