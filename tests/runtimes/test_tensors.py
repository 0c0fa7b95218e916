from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protos import grpc_predict_v2_pb2 as v2
from runtimes import tensors

NUMBERS: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "INT8": [-128, 0, 127],
    "INT16": [-32768, 0, 32767],
    "INT32": [-(2**31), 0, 2**31 - 1],
    "INT64": [-(2**63), 0, 2**63 - 1],
    "UINT8": [0, 1, 255],
    "UINT16": [0, 1, 65535],
    "UINT32": [0, 1, 2**32 - 1],
    "UINT64": [0, 1, 2**64 - 1],
    "FP32": [-1.5, 0.0, float("inf")],
    "FP64": [-1.5, 0.0, 1e300],
}


def request(datatype: str, shape: list[int], field: str = "", elements: list[Any] | None = None) -> Any:
    message = v2.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype=datatype, shape=shape)
    if field:
        getattr(tensor.contents, field).extend(elements or [])
    return message


def raw_request(datatype: str, shape: list[int], *raw: bytes) -> Any:
    message = request(datatype, shape)
    message.raw_input_contents.extend(raw)
    return message


def as_request(response: Any) -> Any:
    """What a client would send to give back the outputs it got."""
    message = v2.ModelInferRequest(raw_input_contents=response.raw_output_contents)
    for tensor in response.outputs:
        contents = tensor.contents if tensor.HasField("contents") else None
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, contents=contents)
    return message


@pytest.mark.parametrize("is_raw", [False, True])
@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_go_both_ways(datatype: str, is_raw: bool) -> None:
    given = np.array([NUMBERS[datatype]], dtype=tensors.DTYPES[datatype])
    response = v2.ModelInferResponse()
    tensors.put_outputs(response, [("x", given), ("y", given[:0])], is_raw)
    assert [(output.datatype, list(output.shape)) for output in response.outputs] == [
        (datatype, [1, 3]),
        (datatype, [0, 3]),
    ]
    assert len(response.raw_output_contents) == (2 if is_raw else 0)
    got = tensors.inputs(as_request(response))
    assert got["x"].dtype == given.dtype
    assert np.array_equal(got["x"], given)
    assert got["y"].shape == (0, 3)


@pytest.mark.parametrize("is_raw", [False, True])
def test_texts_go_both_ways(is_raw: bool) -> None:
    given = np.array([["", "é"], ["a\0b", "long" * 1000]], dtype=object)
    response = v2.ModelInferResponse()
    tensors.put_outputs(response, [("x", given)], is_raw)
    assert np.array_equal(tensors.inputs(as_request(response))["x"], given)


def test_bytes_that_a_model_gives_are_passed_on() -> None:
    response = v2.ModelInferResponse()
    tensors.put_outputs(response, [("x", np.array([b"\xff", "é"], dtype=object)), ("s", np.array(["ab"]))], False)
    assert list(response.outputs[0].contents.bytes_contents) == [b"\xff", "é".encode()]
    assert list(response.outputs[1].contents.bytes_contents) == [b"ab"]


def test_half_floats_are_always_raw_and_make_everything_raw() -> None:
    given = np.array([0.5, -2], dtype=np.float16)
    response = v2.ModelInferResponse()
    tensors.put_outputs(response, [("x", given), ("n", np.array(7, dtype=np.int64))], False)
    assert [len(content) for content in response.raw_output_contents] == [4, 8]
    assert not any(output.HasField("contents") for output in response.outputs)
    got = tensors.inputs(as_request(response))
    assert np.array_equal(got["x"], given)
    assert got["n"].shape == ()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (request("FLOAT", [1]), "input x: datatype 'FLOAT' is none of BOOL, INT8"),
        (request("FP32", [-1], "fp32_contents", [1.0]), r"input x: shape \[-1\] has a negative dimension"),
        (
            request("FP32", [2, 2], "fp32_contents", [1.0]),
            r"input x: expected 4 elements in fp32_contents for shape \[2, 2\], got 1$",
        ),
        (
            request("FP32", [1], "fp64_contents", [1.0]),
            r"input x: expected 1 elements in fp32_contents for shape \[1\], got 0; fp64_contents is not for FP32",
        ),
        (request("FP32", [1]), "expected 1 elements in fp32_contents"),
        (request("FP16", [1], "fp32_contents", [1.0]), "FP16 has to come in raw_input_contents"),
        (request("INT8", [2], "int_contents", [1, 128]), "an element does not fit INT8"),
        (request("UINT16", [1], "uint_contents", [65536]), "an element does not fit UINT16"),
        (request("BYTES", [1], "bytes_contents", [b"\xff"]), "'utf-8' codec can't decode"),
        (raw_request("FP32", [2], b"\0" * 7), r"expected 8 bytes for FP32 \[2\], got 7"),
        (raw_request("FP32", [2**40, 2**40], b"\0" * 8), "expected 4835703278458516698824704 bytes"),
        (raw_request("BYTES", [2], b"\1\0\0\0a"), r"expected 2 elements for shape \[2\], got 1"),
        (raw_request("BYTES", [1], b"\1\0\0"), "ends within the length of an element"),
        (raw_request("BYTES", [1], b"\2\0\0\0a"), "ends within an element of 2 bytes"),
        (raw_request("FP32", [0], b"", b""), "1 inputs, but 2 raw_input_contents"),
    ],
)
def test_tensors_that_are_wrong_in_themselves(message: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tensors.inputs(message)


def test_contents_beside_raw_contents_are_refused() -> None:
    message = request("FP32", [1], "fp32_contents", [1.0])
    message.raw_input_contents.append(b"\0" * 4)
    with pytest.raises(ValueError, match="input x: has contents beside raw_input_contents"):
        tensors.inputs(message)


def test_an_input_given_twice_is_refused() -> None:
    message = request("FP32", [0])
    message.inputs.add(name="x", datatype="FP32", shape=[0])
    with pytest.raises(ValueError, match="input x: given twice"):
        tensors.inputs(message)
