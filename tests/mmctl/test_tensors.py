"""Tensors between JSON and the messages of the V2 protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmctl.errors import Failed, Usage
from mmctl.tensors import from_response, read_request, to_request
from protos import grpc_predict_v2_pb2 as v2


def tensor(datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": "x", "shape": shape or [len(data)], "datatype": datatype, "data": data}


def echoed(request: v2.ModelInferRequest) -> dict[str, Any]:
    """What a model that returns its inputs would be shown as."""
    response = v2.ModelInferResponse(model_name=request.model_name, raw_output_contents=request.raw_input_contents)
    for given in request.inputs:
        output = response.outputs.add(name=given.name, datatype=given.datatype, shape=given.shape)
        if given.HasField("contents"):
            output.contents.CopyFrom(given.contents)
    return from_response(response)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [True, False]),
        ("INT8", [-128, 127]),
        ("INT16", [-5]),
        ("INT32", [2**31 - 1]),
        ("INT64", [-(2**63)]),
        ("UINT8", [255]),
        ("UINT16", [65535]),
        ("UINT32", [2**32 - 1]),
        ("UINT64", [2**64 - 1]),
        ("FP16", [0.5, -2.0]),
        ("FP32", [0.1, 1e-7, 16777216.0, "NaN", "Infinity", "-Infinity"]),
        ("FP64", [0.1, 1e300]),
        ("BYTES", ["", "text", "ünï"]),
    ],
)
def test_values_of_every_datatype_come_back_as_they_went(datatype: str, data: list[Any]) -> None:
    answer = echoed(to_request({"inputs": [tensor(datatype, data)]}, "m"))
    assert answer == {
        "model_name": "m",
        "outputs": [{"name": "x", "datatype": datatype, "shape": [len(data)], "data": data}],
    }


def test_raw_contents_are_for_all_tensors_or_for_none() -> None:
    half = {**tensor("FP16", [1.0]), "name": "half"}
    text = {**tensor("BYTES", ["ab", "c"]), "name": "text"}
    request = to_request({"inputs": [half, text]}, "m")
    assert list(request.raw_input_contents) == [b"\x00\x3c", b"\x02\x00\x00\x00ab\x01\x00\x00\x00c"]
    assert not any(given.HasField("contents") for given in request.inputs)
    assert [output["data"] for output in echoed(request)["outputs"]] == [[1.0], ["ab", "c"]]


def test_nested_data_is_row_major() -> None:
    request = to_request({"inputs": [tensor("FP32", [[1, 2], [3, 4]], [2, 2])]}, "m")
    assert list(request.inputs[0].contents.fp32_contents) == [1, 2, 3, 4]


def test_id_outputs_and_parameters_are_passed_on() -> None:
    body = {
        "id": "42",
        "inputs": [tensor("INT64", [1])],
        "outputs": [{"name": "y"}],
        "parameters": {"flag": True, "top": 3, "mode": "fast"},
    }
    request = to_request(body, "m")
    assert request.id == "42"
    assert [output.name for output in request.outputs] == ["y"]
    assert request.parameters["flag"].bool_param is True
    assert request.parameters["top"].int64_param == 3
    assert request.parameters["mode"].string_param == "fast"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], "a request is an object with inputs"),
        ({}, "inputs is a list of at least one tensor"),
        ({"inputs": []}, "inputs is a list of at least one tensor"),
        ({"input": [1]}, "unknown field 'input'; did you mean 'inputs'?"),
        ({"inputs": [5]}, r"inputs\[0\]: a tensor is an object"),
        ({"inputs": [{"name": "x", "dtype": "FP32"}]}, r"inputs\[0\]: unknown field 'dtype'; did you mean 'datatype'?"),
        ({"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]}, "name is missing"),
        ({"inputs": [tensor("FLOAT", [1])]}, "datatype 'FLOAT' is not one of BOOL, BYTES, FP16"),
        ({"inputs": [tensor("FP32", [1], [-1])]}, "shape is a list of sizes"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "data is missing"),
        ({"inputs": [tensor("FP32", [1, 2], [3])]}, r"shape \[3\] holds 3 values, data has 2"),
        ({"inputs": [tensor("INT8", [128])]}, "a value is beyond what INT8 holds"),
        ({"inputs": [tensor("UINT8", [-1])]}, "a value is beyond what UINT8 holds"),
        ({"inputs": [tensor("FP32", [1e300])]}, "a value is beyond what FP32 holds"),
        ({"inputs": [tensor("INT64", [1.5])]}, "1.5 is not a INT64"),
        ({"inputs": [tensor("FP32", ["1"])]}, '"1" is not a FP32'),
        ({"inputs": [tensor("FP32", [True])]}, "true is not a FP32"),
        ({"inputs": [tensor("BOOL", [1])]}, "1 is not a BOOL"),
        ({"inputs": [tensor("BYTES", [1])]}, "1 is not a text"),
        ({"inputs": [tensor("FP32", [1])], "outputs": ["y"]}, r"outputs\[0\] is an object with a name"),
        ({"inputs": [tensor("FP32", [1])], "parameters": {"x": 1.5}}, "parameter 'x' is a text"),
    ],
)
def test_mistake_in_a_request_is_named_with_its_place(body: Any, error: str) -> None:
    with pytest.raises(Usage, match=error):
        to_request(body, "m")


def test_request_is_read_from_a_file_or_from_the_argument(tmp_path: Path) -> None:
    body = json.dumps({"inputs": [tensor("FP32", [1.0])]})
    file = tmp_path / "x.json"
    file.write_text(body)
    assert read_request(f"@{file}", "m") == read_request(body, "m")
    with pytest.raises(Usage, match="a file needs @ before its name"):
        read_request(str(file), "m")
    with pytest.raises(Usage, match=r"gone\.json: No such file"):
        read_request(f"@{tmp_path}/gone.json", "m")


def test_answer_of_a_datatype_that_json_has_no_form_for_is_refused() -> None:
    response = v2.ModelInferResponse(raw_output_contents=[b"\x00\x00"])
    response.outputs.add(name="y", datatype="BF16", shape=[1])
    with pytest.raises(Failed, match="output 'y' has datatype 'BF16'"):
        from_response(response)
