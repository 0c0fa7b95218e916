"""A client of one instance as a user's program is one: blocking gRPC, no retries of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from protos import meshd_pb2, meshd_pb2_grpc, model_mesh_pb2, model_mesh_pb2_grpc

GUARD_S = 60  # against hanging
ECHO = "/some.Service/Method"
"""A method of the fake runtime that sends the request back."""

Metadata = Sequence[tuple[str, str | bytes]]
Status = model_mesh_pb2.ModelStatusInfo.ModelStatus


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to."""

    body: bytes
    initial: dict[str, str | bytes]
    trailing: dict[str, str | bytes]


@dataclass(frozen=True, slots=True)
class Secure:
    """How a port with TLS is spoken to: as whoever the credentials show, with the server known by ``name``."""

    credentials: grpc.ChannelCredentials
    name: str


def connect(address: str, secure: Secure | None = None) -> grpc.Channel:
    """A connection to a gRPC port; ``secure`` None: without TLS."""
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    options.append(("grpc.use_local_subchannel_pool", 1))  # nobody else's connection is taken up
    if secure is None:
        return grpc.insecure_channel(address, options=options)
    options.append(("grpc.ssl_target_name_override", secure.name))
    return grpc.secure_channel(address, secure.credentials, options=options)


class Client:
    """Everything a test asks of one instance. ``mm`` and ``v1`` are the stubs of its two APIs."""

    def __init__(self, address: str, secure: Secure | None = None) -> None:
        self.channel = connect(address, secure)
        self.mm = model_mesh_pb2_grpc.ModelMeshStub(self.channel)
        self.v1 = meshd_pb2_grpc.MeshStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *failed: object) -> None:
        self.close()

    def call(self, method: str, body: bytes = b"", metadata: Metadata = (), timeout_s: float = GUARD_S) -> Answer:
        """Any unary method with bytes."""
        reply, call = self.channel.unary_unary(method).with_call(body, metadata=metadata, timeout=timeout_s)
        return Answer(reply, dict(call.initial_metadata()), dict(call.trailing_metadata()))

    def begin(self, method: str, body: bytes = b"", metadata: Metadata = (), timeout_s: float = GUARD_S) -> Any:
        """The same without waiting for it: a future that can be cancelled."""
        return self.channel.unary_unary(method).future(body, metadata=metadata, timeout=timeout_s)

    def infer(self, model: str, body: bytes = b"hello", metadata: Metadata = ()) -> Answer:
        """One request to a model of the fake runtime; ``instance_of`` tells where it was answered."""
        return self.call(ECHO, body, (("mm-model-id-bin", model.encode()), *metadata))

    def register(self, model: str, path: str = "", *, load: bool = False, sync: bool = True, kind: str = "fake") -> Any:
        """registerModel; with ``load`` the status once it is loaded."""
        info = model_mesh_pb2.ModelInfo(type=kind, path=path)
        return self.mm.registerModel(
            model_mesh_pb2.RegisterModelRequest(modelId=model, modelInfo=info, loadNow=load, sync=load and sync),
            timeout=GUARD_S,
        )

    def unregister(self, model: str) -> None:
        self.mm.unregisterModel(model_mesh_pb2.UnregisterModelRequest(modelId=model), timeout=GUARD_S)

    def ensure(self, model: str, *, sync: bool = True) -> Any:
        return self.mm.ensureLoaded(model_mesh_pb2.EnsureLoadedRequest(modelId=model, sync=sync), timeout=GUARD_S)

    def status(self, model: str) -> Any:
        return self.mm.getModelStatus(model_mesh_pb2.GetStatusRequest(modelId=model), timeout=GUARD_S)

    def state(self, model: str) -> str:
        """The name of the model's status."""
        return str(Status.Name(self.status(model).status))

    def holders(self, model: str) -> list[str]:
        """The instances that have a copy, loading or loaded."""
        return sorted(copy.location for copy in self.status(model).modelCopyInfos if copy.copyStatus == Status.UNKNOWN)

    def register_all(self, requests: Iterable[Any]) -> list[Any]:
        """meshd.v1 Register of many models; a result each."""
        return list(self.v1.Register(iter(requests), timeout=GUARD_S))

    def model(self, name: str) -> Any:
        """GetModel."""
        return self.v1.GetModel(meshd_pb2.GetModelRequest(name=name), timeout=GUARD_S)

    def models(self, page_size: int = 0, **wanted: Any) -> list[Any]:
        """All pages of ListModels."""
        models, token = [], ""
        while True:
            request = meshd_pb2.ListModelsRequest(
                filter=meshd_pb2.ModelFilter(**wanted), page_size=page_size, page_token=token
            )
            page = self.v1.ListModels(request, timeout=GUARD_S)
            models += page.models
            token = page.next_page_token
            if not token:
                return models

    def instances(self) -> dict[str, Any]:
        """ListInstances by id."""
        reply = self.v1.ListInstances(meshd_pb2.ListInstancesRequest(), timeout=GUARD_S)
        return {instance.id: instance for instance in reply.instances}


def instance_of(answer: Answer) -> str:
    """The instance whose fake runtime answered."""
    return str(answer.initial["fake-instance"])


def spec(name: str, path: str = "", *, kind: str = "fake", load: bool = False, **kept: Any) -> Any:
    """A request of the Register stream."""
    return meshd_pb2.RegisterRequest(model=meshd_pb2.ModelSpec(name=name, type=kind, path=path, **kept), load=load)


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The status that a call ends with: code and text."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()
