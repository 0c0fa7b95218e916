"""Requests of the V2 protocol, and whether what comes back is what scikit-learn says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from protos import grpc_predict_v2_pb2 as v2

INPUT = "x"
TOLERANCE = 1e-4
"""How far a number may be from scikit-learn's own; labels have to be equal."""

Array = np.ndarray[Any, Any]

_TYPES: Mapping[str, Any] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


def question(rows: Array) -> v2.ModelInferRequest:
    """A request with ``rows`` as its input. The model is named in the metadata of the call."""
    request = v2.ModelInferRequest(raw_input_contents=[rows.astype("<f4").tobytes()])
    request.inputs.add(name=INPUT, datatype="FP32", shape=rows.shape)
    return request


def outputs(response: v2.ModelInferResponse) -> dict[str, Array]:
    """The arrays of a response by their names. Raises ValueError for one that cannot be read."""
    arrays = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.datatype not in _TYPES:
            raise ValueError(f"output {tensor.name} is {tensor.datatype}")
        arrays[tensor.name] = np.frombuffer(raw, _TYPES[tensor.datatype]).reshape(tuple(tensor.shape))
    return arrays


def wrong(response: v2.ModelInferResponse, expected: Mapping[str, Array]) -> str:
    """What is wrong with a response; empty: nothing."""
    try:
        return difference(outputs(response), expected)
    except ValueError as error:
        return str(error)


def difference(given: Mapping[str, Array], expected: Mapping[str, Array]) -> str:
    """Where outputs are not what they should be; empty: nowhere."""
    if given.keys() != expected.keys():
        return f"outputs are {', '.join(sorted(given))} and not {', '.join(sorted(expected))}"
    for name, right in expected.items():
        found = given[name]
        if found.shape != right.shape:
            return f"{name} has the shape {found.shape} and not {right.shape}"
        if right.dtype.kind == "i":
            if not np.array_equal(found, right):
                return f"{name} is {found.tolist()} and not {right.tolist()}"
        else:
            apart = float(np.max(np.abs(found.astype(np.float64) - right), initial=0.0))
            if not apart <= TOLERANCE:  # so that NaN is wrong too
                return f"{name} is off by {apart:.3g}"
    return ""
