"""Inference with ONNX models: every type, the answer in the form of the request, and what is wrong by its name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from onnx import TensorProto, helper

from protos import grpc_predict_v2_pb2 as v2
from protos import model_runtime_pb2 as pb
from runtimes.session import QUICK_US, Pace
from tests.runtimes.onnx_models import affine, identity, save
from tests.runtimes.onnx_served import Client, raw, refused, served, typed


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
