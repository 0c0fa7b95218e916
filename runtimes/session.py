"""One ONNX model in memory: where its file may be, what it takes and gives, how large it is, how it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from runtimes.runtime import KIB, MIB
from runtimes.tensors import Array, datatype_of

SESSION_BYTES = 128 * KIB
"""What a session takes whatever the model: 74 to 120 KiB measured (onnxruntime 1.32)."""
FILE_FACTOR = 2.25
"""Memory per byte of the file: the weights, and again rearranged for multiplication; 2.0 to 2.15 measured."""
TREES_FACTOR = 6.0
"""The same where the file is mostly decision trees, which are unfolded in memory; 5.75 measured."""
HEAD_BYTES = MIB
"""How much of a file is searched for decision trees: a graph names its operators before their data."""
QUICK_US = 1000
"""How long an answer may keep the event loop waiting. The way to a thread and back costs 50 to 250 us of processor time
on top of the 500 that any call costs, so a small model answers a quarter more requests without it."""

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model; -1 in its shape is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.shape)}"

    def fits(self, array: Array) -> bool:
        return (
            datatype_of(array) == self.datatype
            and len(self.shape) == array.ndim
            and all(want in (-1, got) for want, got in zip(self.shape, array.shape, strict=True))
        )


def model_file(root: Path, path: str) -> Path:
    """The file that a registered path means, symbolic links resolved.

    The path is relative to the root or absolute within it, and names an ONNX file or a directory with exactly one.
    Raises PermissionError for what leads out of the root, whether it exists or not; FileNotFoundError; ValueError.
    """
    if not path:
        raise ValueError("the model was registered without a path")
    found = _within(root, path, root / path)
    if found.is_dir():
        inside = sorted(found.rglob("*.onnx"))
        if not inside:
            raise FileNotFoundError(f"{path}: no .onnx file in this directory under {root}")
        if len(inside) > 1:
            raise ValueError(f"{path}: {len(inside)} .onnx files in this directory; the path has to name one of them")
        found = _within(root, path, inside[0])
    if not found.is_file():
        raise FileNotFoundError(f"{path}: no such file under {root}")
    return found


def _within(root: Path, said: str, path: Path) -> Path:
    resolved = Path(os.path.realpath(path))
    if not resolved.is_relative_to(os.path.realpath(root)):
        raise PermissionError(f"{said}: outside of {root}, where all models have to be")
    return resolved


def memory_bytes(file: Path) -> int:
    """The memory that a model takes: its file and external data, times what sessions were measured to make of them.

    The same file has the same size on every instance, before it is loaded and after. External data are the files
    beside it whose names begin with the whole name of the model's.
    """
    stored = sum(part.stat().st_size for part in file.parent.iterdir() if part.name.startswith(file.name))
    with file.open("rb") as opened:
        has_trees = b"TreeEnsemble" in opened.read(HEAD_BYTES)
    return SESSION_BYTES + int(stored * (TREES_FACTOR if has_trees else FILE_FACTOR))


class Session:
    """A loaded model. Runs may overlap.

    Raises ValueError for a file that is no model or one with inputs or outputs that are not tensors, and MemoryError.
    """

    def __init__(self, file: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the memory of the largest request
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as failure:
            if "allocat" in str(failure):
                raise MemoryError(f"{file}: {failure}") from None
            raise ValueError(f"{file}: {failure}") from None
        self.inputs = _ports(self._session.get_inputs())
        self.outputs = _ports(self._session.get_outputs())
        if len(self.inputs) < len(self._session.get_inputs()):
            raise ValueError(f"{file}: an input of this model is not a tensor of a type that the V2 protocol has")
        if not self.outputs:
            raise ValueError(f"{file}: no output of this model is a tensor of a type that the V2 protocol has")
        self.pace = Pace()

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Raise ValueError unless these are inputs that the model takes."""
        for name, array in arrays.items():
            port = self.inputs.get(name)
            if port is None:
                takes = ", ".join(f"{port.name} {port}" for port in self.inputs.values())
                raise ValueError(f"input {name}: the model has no such input; it takes {takes}")
            if not port.fits(array):
                raise ValueError(f"input {name}: expected {port}, got {datatype_of(array)} {list(array.shape)}")
        for name, port in self.inputs.items():
            if name not in arrays:
                raise ValueError(f"input {name}: expected {port}, got nothing")

    def asked(self, names: Sequence[str]) -> list[str]:
        """The outputs to compute: the named ones, or all. Raises ValueError for one that does not exist."""
        for name in names:
            if name not in self.outputs:
                raise ValueError(f"output {name}: the model has no such output; it gives {', '.join(self.outputs)}")
        return list(names) or list(self.outputs)

    def run(self, arrays: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Compute outputs. Raises ValueError for inputs the model does not take; the rest are its faults."""
        try:
            results: list[Array] = self._session.run(outputs, dict(arrays))
        except InvalidArgument as failure:
            raise ValueError(str(failure)) from None
        return results


class Pace:
    """Up to what size requests to one model are quick, learned from those that were answered."""

    def __init__(self) -> None:
        self._quick_up_to = -1

    def is_quick(self, elements: int) -> bool:
        """Whether a request of so many elements may be expected to be over at once."""
        return elements <= self._quick_up_to

    def learn(self, elements: int, took_us: int) -> None:
        """Take in how much processor time a request took; waiting for other threads is no part of it."""
        if took_us > QUICK_US:
            self._quick_up_to = min(self._quick_up_to, elements - 1)
        else:
            self._quick_up_to = max(self._quick_up_to, elements)


def _ports(nodes: Sequence[Any]) -> dict[str, Port]:
    return {
        node.name: Port(
            node.name, DATATYPES[node.type], tuple(size if isinstance(size, int) else -1 for size in node.shape)
        )
        for node in nodes
        if node.type in DATATYPES
    }
