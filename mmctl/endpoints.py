"""Calls to whichever instance answers: one endpoint after the other, and errors in the words of mmctl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import grpc

from mmctl.errors import CommandError, Failed, NotFound, Unavailable, Usage
from mmctl.tls import HTTPS, Tls, why_not
from mmctl.values import Drained, Loaded, Status, Taking
from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc as v2_grpc
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc
from protos import model_mesh_pb2 as mmesh
from protos import model_mesh_pb2_grpc as mmesh_grpc

T = TypeVar("T")

CONNECT_S = 3.0
HASTE_S = 0.3
"""So long an endpoint that says nothing holds up the attempt at the next; who is passed over gets a second one."""
CALL_S = 10.0
SILENCE_MS = 12_000
"""An instance that says nothing for so long while a call is open is asked for a sign of life: some calls, as of many
registrations, have no deadline."""
SIGN_MS = 5_000
"""It has so long to give one; it is taken for gone else."""
MOST_LEFT = 32
"""Connections to instances that are gone, which are kept for calls that may be under way there."""
_LOOPBACK = ("127.", "localhost:", "[::1]:", "unix:")


def parse_endpoints(texts: Sequence[str]) -> tuple[str, ...]:
    """``host:port`` items, with ``https://`` before them for TLS, also several in one text with commas.

    Raises Usage for what is neither that nor ``unix:``.
    """
    endpoints = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    for endpoint in endpoints:
        host, colon, port = endpoint.removeprefix(HTTPS).rpartition(":")
        if not endpoint.startswith("unix:") and not (colon and host and port.isdigit() and "/" not in host):
            raise Usage(f"endpoint {endpoint!r}: write host:port, as 127.0.0.1:8033, or https://host:port")
    return tuple(dict.fromkeys(endpoints))


class Endpoints:
    """Instances of one mesh that can stand in for each other; the one that answered last is asked first."""

    def __init__(self, addresses: Sequence[str], tls: Tls, now: Callable[[], Sequence[str]] | None = None) -> None:
        """``now`` tells the addresses as of now, before each call; none of them, and those before stay."""
        if not addresses:
            raise Unavailable("the mesh has no instance that could be asked")
        self._addresses, self._tls, self._now = list(addresses), tls, now
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._left: list[grpc.aio.Channel] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, that which answered last first."""
        return tuple(self._addresses)

    async def renew(self, addresses: Sequence[str]) -> None:
        """These are the instances now: others are asked no more."""
        kept = [address for address in self._addresses if address in addresses]
        self._addresses = [*kept, *(address for address in addresses if address not in kept)]
        # Calls of others may be under way there, which an end of the connection would cancel.
        self._left += [self._channels.pop(address) for address in self._channels.keys() - set(addresses)]
        while len(self._left) > MOST_LEFT:
            await self._left.pop(0).close()

    async def call(self, call: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        """What ``call`` makes of the first endpoint that is there.

        Raises:
            grpc.aio.AioRpcError: any status but UNAVAILABLE.
            Unavailable: no endpoint is there.
        """
        reasons: list[str] = []
        async for address, channel in self._there(reasons):
            try:
                answer = await call(channel)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self._prefer(address)
                    raise
                reasons.append(f"{address}: {error.details() or 'unavailable'}")
                continue
            self._prefer(address)
            return answer
        raise Unavailable("; ".join(reasons))

    async def each(self) -> AsyncIterator[tuple[str, grpc.aio.Channel]]:
        """The endpoints that are there, one after the other; Unavailable when it is none."""
        reasons: list[str] = []
        found = False
        async for address, channel in self._there(reasons):
            found = True
            yield address, channel
        if not found:
            raise Unavailable("; ".join(reasons))

    async def _there(self, reasons: list[str]) -> AsyncIterator[tuple[str, grpc.aio.Channel]]:
        """Connections one after the other, slow ones last; why others are none goes to ``reasons``.

        However many say nothing, after twice CONNECT_S that is known: all of them go on connecting meanwhile.
        """
        if self._now is not None and (addresses := self._now()):
            await self.renew(addresses)
        left = list(self._addresses)
        haste_s = min(HASTE_S, CONNECT_S / len(left))
        clock = asyncio.get_running_loop().time
        for is_last in (False, True) if len(left) > 1 else (True,):
            ends_s = clock() + CONNECT_S
            slow = []
            for address in left:
                connect_s = max(0.0, ends_s - clock()) if is_last else haste_s
                try:
                    channel = await self._connected(address, connect_s)
                except Unavailable as error:
                    reasons.append(str(error))
                    continue
                if channel is None:
                    slow.append(address)
                else:
                    yield address, channel
            left = slow
        reasons += [f"{address}: no connection within {CONNECT_S:.0f} s" for address in left]

    async def load(self, name: str, wait: bool, timeout_s: float) -> Loaded:
        """ensureLoaded of the management API."""
        request = mmesh.EnsureLoadedRequest(modelId=name, sync=wait)
        try:
            info = await self.call(
                lambda channel: mmesh_grpc.ModelMeshStub(channel).ensureLoaded(request, timeout=timeout_s)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Failed(f"{name}: not loaded within {timeout_s:.0f} s; the load goes on") from None
            raise translated(error, name) from None
        status = mmesh.ModelStatusInfo.ModelStatus.Name(info.status).lower()
        if status == "not_found":
            raise NotFound(f"model {name!r} is not registered")
        copies = tuple(
            copy.location for copy in info.modelCopyInfos if copy.copyStatus != mmesh.ModelStatusInfo.LOADING_FAILED
        )
        code = "INTERNAL" if Status(status) is Status.LOADING_FAILED else "OK"
        return Loaded(name, Status(status), copies, tuple(info.errors), code)

    async def take(self, instance: str, what: Taking, budget_ms: int) -> AsyncIterator[Drained]:
        """Drain of meshd.v1, through the first endpoint that is there."""
        request = pb.DrainRequest(instance=instance, budget_ms=budget_ms, action=what.name)
        async for _, channel in self.each():
            try:
                async for told in pb_grpc.MeshStub(channel).Drain(request):
                    yield Drained(instance, told.phase, told.models, told.settled, told.in_flight, told.text, told.done)
            except grpc.aio.AioRpcError as error:
                raise translated(error) from None
            return

    async def infer(self, name: str, request: v2.ModelInferRequest, timeout_s: float) -> v2.ModelInferResponse:
        """ModelInfer of the V2 protocol, addressed by header."""
        metadata = model_header(name)
        try:
            response: v2.ModelInferResponse = await self.call(
                lambda channel: v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
                    request, timeout=timeout_s, metadata=metadata
                )
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Failed(f"{name}: no answer within {timeout_s:.0f} s") from None
            raise translated(error, name) from None
        return response

    async def close(self) -> None:
        """Give up all connections."""
        for channel in (*self._channels.values(), *self._left):
            await channel.close()
        self._channels.clear()
        self._left.clear()

    def _prefer(self, address: str) -> None:
        if address in self._addresses[1:]:  # it may not be one of them any more
            self._addresses.remove(address)
            self._addresses.insert(0, address)

    async def _connected(self, address: str, connect_s: float) -> grpc.aio.Channel | None:
        """The connection; None: not within ``connect_s``. Raises Unavailable: it is refused."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._opened(address)
        refused = False
        with suppress(TimeoutError):
            async with asyncio.timeout(connect_s):
                state = channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        refused = True
                        break
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
                else:
                    return channel
        if not refused:
            return None
        tls = self._tls if self._tls.is_for(address) else None
        why = "" if address.startswith("unix:") else await why_not(address.removeprefix(HTTPS), tls)
        raise Unavailable(f"{address}: no connection" + (f": {why}" if why else ""))

    def _opened(self, address: str) -> grpc.aio.Channel:
        target = address.removeprefix(HTTPS)
        options = _options(target)
        if not self._tls.is_for(address):
            return grpc.aio.insecure_channel(target, options=options)
        if self._tls.server_name:
            options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        return grpc.aio.secure_channel(target, self._tls.credentials(), options=options)


def model_header(name: str) -> tuple[tuple[str, str | bytes], ...]:
    """The header that names the model a call is for: the binary one where the id is not plain ASCII."""
    if name.isascii() and name.isprintable():
        return (("mm-model-id", name),)
    return (("mm-model-id-bin", name.encode()),)


def has_gone(error: grpc.aio.AioRpcError) -> bool:
    """Whether a stream ended because the other side is gone.

    Where a message was just being sent grpc.aio says so in words of its own, in place of the status.
    """
    if error.code() is grpc.StatusCode.INTERNAL:
        return (error.details() or "") == "Internal error from Core"
    return error.code() is grpc.StatusCode.UNAVAILABLE


def translated(error: grpc.aio.AioRpcError, name: str = "") -> CommandError:
    """The error of mmctl for a status; ``name`` is the model it is about."""
    code, details = error.code(), error.details() or ""
    about = f"{name}: " if name else ""
    match code:
        case grpc.StatusCode.NOT_FOUND:
            return NotFound(f"{about}{details or 'not found'}")
        case grpc.StatusCode.UNAVAILABLE:
            return Unavailable(f"{about}{details or 'nobody answers'}")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unavailable(f"{about}no answer in time")
        case _:
            return Failed(f"{about}{code.name}: {details}" if details else f"{about}{code.name}")


def _options(address: str) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", SILENCE_MS),
        ("grpc.keepalive_timeout_ms", SIGN_MS),
        ("grpc.http2.ping_timeout_ms", SIGN_MS),  # which keeps the one above from its effect where it is longer
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if address.startswith(_LOOPBACK):
        options.append(("grpc.enable_http_proxy", 0))
    return options
