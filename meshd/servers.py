"""How the two gRPC ports are opened."""

from __future__ import annotations

from typing import Any

import grpc.aio

from meshd.web import ListenError, bound

METADATA_SLACK_BYTES = 64 << 10
"""Instances pass on a client's metadata with their own beside it."""

IDLE_PINGS_MS = 10_000


def options(max_message_bytes: int) -> tuple[tuple[str, int], ...]:
    """What every gRPC port is opened with; nobody shares it."""
    return (
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA_SLACK_BYTES),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", IDLE_PINGS_MS),
    )


def check_port(setting: str, bind: str, port: int) -> None:
    """Whether ``port`` can be opened, without keeping it. Raises ListenError, which says why not as gRPC does not."""
    bound(setting, bind, port).close()


def bound_server(setting: str, bind: str, port: int, max_message_bytes: int) -> tuple[Any, int]:
    """A server that holds ``port`` (0: any that is free) and is yet to be started; and the port. Raises ListenError."""
    check_port(setting, bind, port)
    server = grpc.aio.server(options=options(max_message_bytes))
    for host in (f"[{bind}]" if ":" in bind else bind,) if bind else ("[::]", "0.0.0.0"):
        try:
            held: int = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            continue
        if held:
            return server, held
    raise ListenError(f"{setting}: port {port} on {bind or 'all addresses'} cannot be opened")
