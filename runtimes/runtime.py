"""What the author of a model server writes: a Runtime, and the words it speaks in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as it was registered; every text but the id may be empty."""

    id: str
    type: str = ""
    path: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to.

    `size_bytes` 0 has the mesh ask `model_size` afterwards. `max_concurrency` is how many requests the copy takes at
    once, where the runtime has `limit_model_concurrency`; 0 is 1 there.
    """

    size_bytes: int = 0
    max_concurrency: int = 0


class LoadError(Exception):
    """A failure with a gRPC status code of its own and a text for whoever registered the model."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Runtime:
    """A model server: subclass it, and give it to `runtimes.sdk.main`.

    `load`, `unload`, `model_size` and `predict_size` are plain functions, which run in threads, or coroutines, which
    run in the event loop. Apart from `predict_size` they are never called at the same time for
    one model; for several models they are. A plain
    `load` cannot be interrupted: a cancelled one runs to its end and is unloaded then. A coroutine is cancelled, and
    unloaded should it return a model all the same.
    """

    capacity_bytes: int
    """Memory for models. At least twice the default size, and at least 512 MiB or ten times the default size,
    whichever is less: the mesh refuses to start with less."""
    default_model_size_bytes: int = MIB
    """What the mesh assumes of a model before it is loaded, when `predict_size` does not say."""
    max_loading_concurrency: int = 1
    load_timeout_ms: int = 60_000
    """The mesh cancels a load after that time."""
    limit_model_concurrency: bool = False
    """Let at most `Loaded.max_concurrency` requests of one copy through at once; the others wait in the mesh."""
    methods: Mapping[str, Sequence[int]] = {}
    """Full names of the methods that clients may call, such as `words.Counter/Count`, each with the field numbers that
    lead to the field of the request where the mesh writes the model id; none: the request stays as it is. Empty:
    clients may call every method."""
    allow_any_method: bool = False
    """Let methods through that `methods` does not name."""
    version: str = ""

    def load(self, model: ModelInfo) -> Any:
        """Load a model and return `Loaded`.

        Raise to refuse: FileNotFoundError, ValueError (the model or its registration is at fault), PermissionError,
        MemoryError, TimeoutError, or LoadError with another code; anything else counts as a fault of the server. The
        text reaches the user. Whoever raises leaves nothing behind: no unload follows.
        """
        raise NotImplementedError

    def unload(self, model_id: str) -> Any:
        """Give back what `load` took. Called for loaded models only; one that raises is called again."""
        raise NotImplementedError

    def model_size(self, model_id: str) -> Any:
        """Bytes a loaded model takes; needed when `load` returns the size 0."""
        raise NotImplementedError

    def predict_size(self, model: ModelInfo) -> Any:
        """Bytes a model will take, rather too many than too few, within half a second."""
        raise NotImplementedError

    def is_loaded(self, model_id: str) -> bool:
        """False for a model that was loaded and has been lost since; the next `load` of it is a real one then."""
        return True

    def register(self, server: aio.Server) -> None:
        """Add the services that clients call to the server."""


def model_id(context: aio.ServicerContext) -> str:
    """The id of the model a request is for, from the metadata that the mesh sends along; empty when there is none."""
    plain = ""
    for key, value in context.invocation_metadata() or ():
        if key == "mm-model-id-bin":
            return value.decode() if isinstance(value, bytes) else value
        if key == "mm-model-id" and isinstance(value, str):
            plain = value
    return plain


def check(runtime: Runtime) -> None:
    """Raise ValueError for figures the mesh would refuse at its start, naming what is wrong."""
    name, default = type(runtime).__name__, runtime.default_model_size_bytes
    if default < 1:
        raise ValueError(f"{name}.default_model_size_bytes is {default}; has to be at least 1")
    if runtime.max_loading_concurrency < 1:
        raise ValueError(f"{name}.max_loading_concurrency is {runtime.max_loading_concurrency}; has to be at least 1")
    if runtime.load_timeout_ms < 100:
        raise ValueError(f"{name}.load_timeout_ms is {runtime.load_timeout_ms}; has to be at least 100")
    least = max(2 * default, min(512 * MIB, 10 * default))
    if runtime.capacity_bytes < least:
        raise ValueError(
            f"{name}.capacity_bytes is {runtime.capacity_bytes}; with a default model size of {default} bytes the mesh "
            f"asks for at least {least}: raise the capacity or lower the default size"
        )
