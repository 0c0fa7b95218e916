"""Calls to a model runtime as the mesh makes them, each with a deadline, and whether somebody else uses it."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from mmctl.errors import Usage
from protos import model_runtime_pb2 as spi

SERVICES = ("mmesh.ModelRuntime", "com.ibm.watson.tas.internal.proto.ModelServer")
"""The runtime's service, and the name it had before."""

ESTABLISHED = "01"
_CONNECTED = "03"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each kind of call may take, in seconds; a load no longer than the runtime itself says either."""

    call_s: float = 30.0
    ready_s: float = 30.0
    """So long a runtime may go on to say STARTING."""
    predict_s: float = 0.5
    load_s: float = 180.0
    unload_s: float = 30.0
    linger_s: float = 10.0
    """So long at most it is watched whether a load that was cancelled leaves something."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model to try the runtime with, and one that cannot be loaded (its path empty: one that is made up)."""

    type: str
    path: str
    key: str = ""
    bad_path: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: ``code`` is a gRPC status or LATE, ``message`` the reply where that is OK."""

    code: str
    text: str = ""
    message: Any = None
    took_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether there is a reply."""
        return self.code == "OK"

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" if self.text else self.code


LATE = "no answer"


class Runtime:
    """One runtime at ``target`` (host:port or unix:PATH); close it at the end."""

    def __init__(self, target: str, patience: Patience) -> None:
        self.target = parse_target(target)
        self.patience = patience
        self.service = SERVICES[0]
        self._channel = grpc.aio.insecure_channel(self.target, (("grpc.enable_http_proxy", 0),))

    async def status(self) -> Answer:
        """runtimeStatus, by either name of the service. A runtime that is ready drops its models on it."""
        for self.service in SERVICES:
            answer = await self._call("runtimeStatus", spi.RuntimeStatusRequest(), self.patience.call_s)
            if answer.code != "UNIMPLEMENTED":
                break
        return answer

    async def predict(self, model: str, wanted: Wanted) -> Answer:
        """predictModelSize."""
        return await self._call("predictModelSize", _of(spi.PredictModelSizeRequest, model, wanted),
                                self.patience.predict_s)  # fmt: skip

    def start_load(self, model: str, wanted: Wanted) -> Any:
        """loadModel as a call that is under way, to be cancelled."""
        return self._method("loadModel")(_of(spi.LoadModelRequest, model, wanted))

    async def load(self, model: str, wanted: Wanted) -> Answer:
        """loadModel; like the mesh it cancels the call when the time is over, and sends no deadline."""
        return await self._call("loadModel", _of(spi.LoadModelRequest, model, wanted), self.patience.load_s)

    async def size(self, model: str) -> Answer:
        """modelSize."""
        return await self._call("modelSize", spi.ModelSizeRequest(modelId=model), self.patience.call_s)

    async def unload(self, model: str) -> Answer:
        """unloadModel."""
        return await self._call("unloadModel", spi.UnloadModelRequest(modelId=model), self.patience.unload_s)

    async def infer(self, method: str, model: str, request: Any, reply: Any) -> Answer:
        """A call of what the runtime serves, for one model."""
        call = self._channel.unary_unary(
            f"/{method}", request_serializer=lambda each: each.SerializeToString(), response_deserializer=reply
        )
        return await self._answer(call(request, metadata=(("mm-model-id", model),)), self.patience.call_s)

    async def close(self) -> None:
        """Give up the connection."""
        await self._channel.close()

    async def _call(self, name: str, request: Any, within_s: float) -> Answer:
        return await self._answer(self._method(name)(request), within_s)

    async def _answer(self, call: Any, within_s: float) -> Answer:
        began = time.monotonic()
        try:
            async with asyncio.timeout(within_s):
                message = await call
        except TimeoutError:
            return Answer(LATE, f"within {within_s:g} s", took_s=within_s)
        except grpc.aio.AioRpcError as error:
            return Answer(error.code().name, error.details() or "", took_s=time.monotonic() - began)
        finally:
            call.cancel()
        if message is None:
            return Answer("UNREADABLE", "the answer is not the message that the call answers")
        return Answer("OK", "", message, time.monotonic() - began)

    def _method(self, name: str) -> Any:
        title = name[0].upper() + name[1:]
        return self._channel.unary_unary(
            f"/{self.service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(spi, f"{title}Response").FromString,
        )


def parse_target(text: str) -> str:
    """``text`` as gRPC takes it; Usage for what is neither host:port nor unix:PATH."""
    host, colon, port = text.rpartition(":")
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text
    if colon and host and port.isdigit() and 0 < int(port) < 65536 and "/" not in host:
        return text
    raise Usage(f"--runtime {text!r}: write HOST:PORT or unix:PATH, as localhost:8085 or unix:/tmp/mmesh/grpc.sock")


def users_of(target: str) -> int | None:
    """How many connections somebody of this host has to the runtime at ``target``; None: that cannot be told."""
    try:
        if target.startswith("unix:"):
            path = target.removeprefix("unix:").removeprefix("//")
            return connections_to_socket(Path("/proc/net/unix").read_text(), path)
        host, _, port = target.rpartition(":")
        if host.strip("[]") not in LOOPBACK:
            return None
        tables = [table for name in ("tcp", "tcp6") if (table := Path(f"/proc/net/{name}")).exists()]
        return sum(connections_to_port(table.read_text(), int(port)) for table in tables) if tables else None
    except OSError:
        return None


def connections_to_port(table: str, port: int) -> int:
    """Connections that stand to ``port`` on this host, by the table of /proc/net/tcp.

    Most have both ends in it; that of another host has one, and so has one into a container.
    """
    rows = [row for line in table.splitlines()[1:] if (row := line.split())[3] == ESTABLISHED]
    # Read in several parts while connections come and go, the table may have one twice.
    pairs = {(row[1], row[2]) for row in rows}
    here = sum(int(local.rpartition(":")[2], 16) == port for local, _ in pairs)
    return max(here, sum(int(other.rpartition(":")[2], 16) == port and _is_loopback(other) for _, other in pairs))


def connections_to_socket(table: str, path: str) -> int:
    """Connections that stand to the unix socket at ``path``, by the table of /proc/net/unix."""
    rows = [line.split(maxsplit=7) for line in table.splitlines()[1:]]
    return sum(len(row) == 8 and row[5] == _CONNECTED and row[7] == path for row in rows)


def _is_loopback(address: str) -> bool:
    """The kernel writes addresses as hexadecimal words of this machine's order."""
    digits = address.rpartition(":")[0]
    words = bytes.fromhex(digits)
    turned = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    found = ipaddress.ip_address(turned)
    inner = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (inner or found).is_loopback


def _of(kind: Any, model: str, wanted: Wanted) -> Any:
    return kind(modelId=model, modelType=wanted.type, modelPath=wanted.path, modelKey=wanted.key)


def names(prefix: str, number: int) -> Sequence[str]:
    """Ids that no mesh uses."""
    return [f"mmctl-doctor-{prefix}-{at}" for at in range(number)]
