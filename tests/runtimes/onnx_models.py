"""Small ONNX models that tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper


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
