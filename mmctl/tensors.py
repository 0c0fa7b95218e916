"""Tensors as JSON on the command line and as messages of the V2 inference protocol on the wire."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmctl.errors import Failed, Usage, nearest
from protos import grpc_predict_v2_pb2 as v2

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_PACKED = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
DATATYPES = sorted({*_CONTENTS, *_PACKED})
_REQUEST_FIELDS = ("id", "inputs", "outputs", "parameters")
_INPUT_FIELDS = ("name", "shape", "datatype", "data", "parameters")


def read_request(argument: str, model: str) -> v2.ModelInferRequest:
    """The request in ``argument``: JSON, or ``@`` and the file that holds it (``@-``: stdin)."""
    source = "--json"
    text = argument
    if argument.startswith("@"):
        source = argument[1:]
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        except OSError as error:
            raise Usage(f"{source}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise Usage(f"{source}: not UTF-8 text") from None
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; a file needs @ before its name" if Path(argument).is_file() else ""
        raise Usage(f"{source}: not JSON at line {error.lineno} column {error.colno}: {error.msg}{hint}") from None
    return to_request(body, model, source)


def to_request(body: Any, model: str, source: str = "--json") -> v2.ModelInferRequest:
    """A V2 request from its JSON form ``{inputs: [{name, shape, datatype, data}]}``; Usage names what is wrong."""
    if not isinstance(body, dict):
        raise Usage(f"{source}: a request is an object with inputs")
    _check_fields(body, _REQUEST_FIELDS, source)
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Usage(f"{source}: inputs is a list of at least one tensor")
    request = v2.ModelInferRequest(model_name=model, id=str(body.get("id", "")))
    _set_parameters(request.parameters, body.get("parameters"), source)
    flat = [_add_input(request, tensor, f"{source}: inputs[{at}]") for at, tensor in enumerate(inputs)]
    if any(tensor.datatype not in _CONTENTS for tensor in request.inputs):
        # The protocol has no typed field for these, and raw contents are for all tensors or for none.
        request.raw_input_contents.extend(
            _raw(tensor.datatype, values, f"{source}: {tensor.name}")
            for tensor, values in zip(request.inputs, flat, strict=True)
        )
    else:
        for tensor, values in zip(request.inputs, flat, strict=True):
            _set_contents(tensor, values, f"{source}: {tensor.name}")
    for at, output in enumerate(body.get("outputs") or ()):
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise Usage(f"{source}: outputs[{at}] is an object with a name")
        request.outputs.add(name=output["name"])
    return request


def from_response(response: v2.ModelInferResponse) -> dict[str, Any]:
    """The JSON form of an answer: flat data in row-major order, as the protocol's REST form has it."""
    outputs = []
    for at, tensor in enumerate(response.outputs):
        if tensor.datatype not in DATATYPES:
            raise Failed(f"output {tensor.name!r} has datatype {tensor.datatype!r}, which has no form in JSON")
        if response.raw_output_contents:
            values = _from_raw(tensor.datatype, response.raw_output_contents[at])
        else:
            values = list(getattr(tensor.contents, _CONTENTS[tensor.datatype])) if tensor.datatype in _CONTENTS else []
        data = [_short(value) if tensor.datatype == "FP32" else _to_json(value) for value in values]
        outputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": data})
    answer: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        answer["id"] = response.id
    return {name: value for name, value in answer.items() if value} | {"outputs": outputs}


def _check_fields(value: dict[str, Any], known: Sequence[str], where: str) -> None:
    for field in value:
        if field not in known:
            raise Usage(f"{where}: unknown field {field!r}; {nearest(field, known)}")


def _add_input(request: v2.ModelInferRequest, tensor: Any, where: str) -> list[Any]:
    if not isinstance(tensor, dict):
        raise Usage(f"{where}: a tensor is an object with name, shape, datatype and data")
    _check_fields(tensor, _INPUT_FIELDS, where)
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(name, str) or not name:
        raise Usage(f"{where}: name is missing")
    if datatype not in DATATYPES:
        raise Usage(f"{where}: datatype {datatype!r} is not one of {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Usage(f"{where}: shape is a list of sizes, as [1, 4]")
    if "data" not in tensor:
        raise Usage(f"{where}: data is missing")
    values = list(_flat(tensor["data"]))
    if len(values) != math.prod(shape):
        raise Usage(f"{where}: shape {shape} holds {math.prod(shape)} values, data has {len(values)}")
    added = request.inputs.add(name=name, datatype=datatype, shape=shape)
    _set_parameters(added.parameters, tensor.get("parameters"), where)
    return values


def _flat(data: Any) -> Iterator[Any]:
    if isinstance(data, list):
        for item in data:
            yield from _flat(item)
    else:
        yield data


def _number(datatype: str, value: Any, where: str) -> bool | int | float:
    match value:
        case bool() if datatype == "BOOL":
            return value
        case "NaN" | "Infinity" | "-Infinity" if datatype.startswith("FP"):
            return float(value)
        case bool():
            pass
        case int() | float() if datatype.startswith("FP"):
            return float(value)
        case int() if datatype != "BOOL":
            return value
    raise Usage(f"{where}: {json.dumps(value)} is not a {datatype}")


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise Usage(f"{where}: {json.dumps(value)} is not a text, which BYTES takes")
    return value.encode("utf-8", "surrogatepass")


def _set_contents(tensor: v2.ModelInferRequest.InferInputTensor, values: list[Any], where: str) -> None:
    contents = getattr(tensor.contents, _CONTENTS[tensor.datatype])
    if tensor.datatype == "BYTES":
        contents.extend(_bytes(value, where) for value in values)
        return
    numbers = [_number(tensor.datatype, value, where) for value in values]
    _packed(tensor.datatype, numbers, where)  # whether each is within its type: the field on the wire is wider
    contents.extend(numbers)


def _raw(datatype: str, values: list[Any], where: str) -> bytes:
    if datatype == "BYTES":
        texts = [_bytes(value, where) for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return _packed(datatype, [_number(datatype, value, where) for value in values], where)


def _packed(datatype: str, numbers: list[Any], where: str) -> bytes:
    try:
        return struct.pack(f"<{len(numbers)}{_PACKED[datatype]}", *numbers)
    except (struct.error, OverflowError):
        raise Usage(f"{where}: a value is beyond what {datatype} holds") from None


def _from_raw(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "BYTES":
        texts = []
        at = 0
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at)
            texts.append(raw[at + 4 : at + 4 + length])
            at += 4 + length
        return texts
    return [value for (value,) in struct.iter_unpack(f"<{_PACKED[datatype]}", raw)]


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _short(value: float) -> Any:
    """The shortest decimal number that is this single precision one: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return _to_json(value)
    single = struct.pack("<f", value)
    for digits in (6, 7, 8):
        candidate = float(f"{value:.{digits}g}")
        if struct.pack("<f", candidate) == single:
            return candidate
    return value


def _set_parameters(target: Any, parameters: Any, where: str) -> None:
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise Usage(f"{where}: parameters is an object")
    for name, value in parameters.items():
        match value:
            case bool():
                target[name].bool_param = value
            case int():
                target[name].int64_param = value
            case str():
                target[name].string_param = value
            case _:
                raise Usage(f"{where}: parameter {name!r} is a text, a whole number, true or false")
