"""How one model of the fake runtime behaves, read from the path or key it was registered with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import grpc

from runtimes.runtime import ModelInfo
from runtimes.sdk import size_bytes

PREFIX = "fake:"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a model does. Failures are names of gRPC status codes; empty: it does not fail."""

    size: int = 64 << 10
    load_ms: float = 0.0
    unload_ms: float = 0.0
    infer_ms: float = 0.0
    concurrency: int = 0
    """How many requests the copy says it takes at once."""
    measure: bool = False
    """Let the load answer size 0, so that the mesh asks for the size."""
    fail: str = ""
    fail_text: str = "told to fail"
    infer_fail: str = ""
    infer_text: str = "told to fail"


def behaviour(model: ModelInfo, default: Behaviour) -> Behaviour:
    """The behaviour a model was registered with; what neither its path nor its key says is as in `default`.

    Either text may be `fake:?size=50MiB&load_ms=1000` or a JSON object with the same names; the key counts more than
    the path. Other texts are ignored, and in JSON other names too, as keys of that form may be somebody else's.
    Raises ValueError for an unknown name or a value that cannot be read.
    """
    found = default
    for text in (model.path, model.key):
        for name, value in _said(text).items():
            try:
                found = replace(found, **{name: READERS[name](value)})
            except (ValueError, TypeError) as failure:
                raise ValueError(f"{name}={value} of model {model.id}: {failure}") from None
    return found


def _said(text: str) -> Mapping[str, Any]:
    if text.startswith(PREFIX):
        said: dict[str, Any] = dict(parse_qsl(text.removeprefix(PREFIX).lstrip("?"), keep_blank_values=True))
        unknown = sorted(said.keys() - READERS.keys())
        if unknown:
            raise ValueError(f"{text}: no such instruction: {', '.join(unknown)}; there are {', '.join(READERS)}")
        return said
    if text.startswith("{"):
        said = json.loads(text)
        return {name: value for name, value in said.items() if name in READERS}
    return {}


def _duration_ms(value: Any) -> float:
    duration = float(value)
    if not 0 <= duration < float("inf"):
        raise ValueError("not a duration")
    return duration


def _code(value: Any) -> str:
    if value and value not in grpc.StatusCode.__members__:
        raise ValueError(f"not a gRPC status code; there are {', '.join(grpc.StatusCode.__members__)}")
    return str(value)


def _truth(value: Any) -> bool:
    if str(value).lower() not in ("true", "false", "1", "0"):
        raise ValueError("neither true nor false")
    return str(value).lower() in ("true", "1")


def _size(value: Any) -> int:
    return size_bytes(str(value))


READERS: Mapping[str, Callable[[Any], Any]] = {
    "size": _size,
    "load_ms": _duration_ms,
    "unload_ms": _duration_ms,
    "infer_ms": _duration_ms,
    "concurrency": int,
    "measure": _truth,
    "fail": _code,
    "fail_text": str,
    "infer_fail": _code,
    "infer_text": str,
}
