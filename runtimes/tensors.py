"""Tensors of the V2 protocol and numpy arrays, in both directions and both representations."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protos import grpc_predict_v2_pb2 as v2

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
FIELDS = {
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
"""Where typed elements are. FP16 has no such place and is always raw."""
WIDE = {"int_contents": np.dtype("i4"), "uint_contents": np.dtype("u4")}


def inputs(request: v2.ModelInferRequest) -> dict[str, Array]:
    """The input tensors of a request by name; BYTES become text. Raises ValueError that names the input at fault."""
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise ValueError(f"{len(request.inputs)} inputs, but {len(raw)} raw_input_contents")
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise ValueError(f"input {tensor.name}: given twice")
        try:
            if tensor.datatype not in DTYPES:
                raise ValueError(f"datatype {tensor.datatype!r} is none of {', '.join(DTYPES)}")
            if any(size < 0 for size in tensor.shape):
                raise ValueError(f"shape {list(tensor.shape)} has a negative dimension")
            if not raw:
                array = _from_contents(tensor)
            elif tensor.HasField("contents"):
                raise ValueError("has contents beside raw_input_contents")
            else:
                array = _from_raw(tensor, raw[index])
        except ValueError as failure:
            raise ValueError(f"input {tensor.name}: {failure}") from None
        arrays[tensor.name] = array.reshape(tuple(tensor.shape))
    return arrays


def put_outputs(response: v2.ModelInferResponse, outputs: Iterable[tuple[str, Array]], is_raw: bool) -> None:
    """Add output tensors to a response, all of them raw if asked for or if one cannot be said otherwise."""
    named = [(name, np.asarray(array)) for name, array in outputs]
    is_raw = is_raw or any(array.dtype == DTYPES["FP16"] for _, array in named)
    for name, array in named:
        datatype = datatype_of(array)
        tensor = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        elements = array.ravel()
        if datatype == "BYTES":
            encoded = [_bytes_of(element) for element in elements]
            if is_raw:
                response.raw_output_contents.append(b"".join(struct.pack("<I", len(one)) + one for one in encoded))
            else:
                tensor.contents.bytes_contents.extend(encoded)
        elif is_raw:
            response.raw_output_contents.append(elements.astype(DTYPES[datatype], copy=False).tobytes())
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(elements.tolist())


def datatype_of(array: Array) -> str:
    """The V2 name of an array's type."""
    return "BYTES" if array.dtype.kind in "OSU" else DATATYPES[array.dtype.newbyteorder("<")]


def _from_contents(tensor: v2.ModelInferRequest.InferInputTensor) -> Array:
    field = FIELDS.get(tensor.datatype)
    if field is None:
        raise ValueError(f"{tensor.datatype} has to come in raw_input_contents")
    elements = getattr(tensor.contents, field)
    expected = math.prod(tensor.shape)
    if len(elements) != expected:
        others = [other.name for other, _ in tensor.contents.ListFields() if other.name != field]
        hint = f"; {', '.join(others)} is not for {tensor.datatype}" if others else ""
        raise ValueError(
            f"expected {expected} elements in {field} for shape {list(tensor.shape)}, got {len(elements)}{hint}"
        )
    if tensor.datatype == "BYTES":
        return _texts(elements)
    dtype = DTYPES[tensor.datatype]
    wide = np.fromiter(elements, WIDE.get(field, dtype), expected)
    narrow = wide.astype(dtype, copy=False)
    if narrow is not wide and not np.array_equal(narrow, wide):
        raise ValueError(f"an element does not fit {tensor.datatype}")
    return narrow


def _from_raw(tensor: v2.ModelInferRequest.InferInputTensor, content: bytes) -> Array:
    expected = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        elements = list(_lengths_and_bytes(content))
        if len(elements) != expected:
            raise ValueError(f"expected {expected} elements for shape {list(tensor.shape)}, got {len(elements)}")
        return _texts(elements)
    dtype = DTYPES[tensor.datatype]
    if len(content) != expected * dtype.itemsize:
        raise ValueError(
            f"expected {expected * dtype.itemsize} bytes for {tensor.datatype} {list(tensor.shape)}, got {len(content)}"
        )
    return np.frombuffer(content, dtype)


def _lengths_and_bytes(content: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(content):
        if at + 4 > len(content):
            raise ValueError("ends within the length of an element")
        (length,) = struct.unpack_from("<I", content, at)
        at += 4 + length
        if at > len(content):
            raise ValueError(f"ends within an element of {length} bytes")
        yield content[at - length : at]


def _texts(elements: Sequence[bytes]) -> Array:
    array = np.empty(len(elements), dtype=object)
    array[:] = [element.decode() for element in elements]
    return array


def _bytes_of(element: Any) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()
