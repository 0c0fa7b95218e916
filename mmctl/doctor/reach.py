"""The ports of an instance, as they answer from here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mmctl.doctor.tls_shown import shown_certificate
from mmctl.doctor.web import SILENT, WAIT_S, Page, get, without_proof
from mmctl.tls import Tls
from protos import meshd_internal_pb2, meshd_internal_pb2_grpc

NO_PAGE = Page(0, "")


@dataclass(frozen=True, slots=True)
class Way:
    """Addresses of one instance as host:port; empty: it has no such port, or nobody knows it."""

    grpc: str
    mesh: str
    metrics: str
    probes: str
    tls: Tls | None


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of it. ``health`` and ``stranger`` (a call to the mesh port without its key): a gRPC status, after it
    a colon and the text; OK is one. The certificates are PEM, empty where no TLS is spoken."""

    way: Way
    ready: Page = NO_PAGE
    live: Page = NO_PAGE
    metrics: Page = NO_PAGE
    health: str = ""
    stranger: str = ""
    certificate: bytes = b""
    mesh_certificate: bytes = b""


async def reach(way: Way) -> Reached:
    """Ask all of them side by side."""
    (ready, live, metrics), (health, stranger), (certificate, mesh_certificate) = await asyncio.gather(
        asyncio.gather(_page(way.probes, "/ready"), _page(way.probes, "/live"), _metrics(way.metrics)),
        asyncio.gather(_health(way), _stranger(way.mesh)),
        asyncio.gather(_certificate(way.grpc), _certificate(way.mesh)),
    )
    return Reached(way, ready, live, metrics, health, stranger, certificate, mesh_certificate)


async def _page(address: str, path: str) -> Page:
    return await get(address, path) if address else NO_PAGE


async def _metrics(address: str) -> Page:
    page = await _page(address, "/metrics")
    if address and page.status == 0 and page.text != SILENT:
        over_tls = await get(address, "/metrics", without_proof())
        return over_tls if over_tls.status else page
    return page


async def _certificate(address: str) -> bytes:
    return await shown_certificate(address) if address else b""


async def _health(way: Way) -> str:
    if not way.grpc:
        return ""
    options = [("grpc.enable_http_proxy", 0)]
    if way.tls is not None and way.tls.server_name:
        options.append(("grpc.ssl_target_name_override", way.tls.server_name))  # type: ignore[arg-type]
    channel = (
        grpc.aio.secure_channel(way.grpc, way.tls.credentials(), options)
        if way.tls is not None
        else grpc.aio.insecure_channel(way.grpc, options)
    )
    async with channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "OK" if status == "SERVING" else status


async def _stranger(address: str) -> str:
    """How the mesh port answers somebody who has neither its key nor a certificate."""
    if not address:
        return ""
    async with grpc.aio.insecure_channel(address, (("grpc.enable_http_proxy", 0),)) as channel:
        try:
            await meshd_internal_pb2_grpc.MeshStub(channel).Hello(
                meshd_internal_pb2.HelloRequest(protocol=1), timeout=WAIT_S
            )
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "OK"
