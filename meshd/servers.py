"""How the two gRPC ports are opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio

from meshd.config import Config
from meshd.web import ListenError, bound

HEADERS_BYTES = 8 << 10
"""Headers that a client may send where the settings do not say."""

PEER_HEADERS_BYTES = 64 << 10
"""Instances pass on a client's headers with their own beside them."""

IDLE_PINGS_MS = 10_000
HANDSHAKE_MS = 10_000
"""A connection that has not begun as HTTP/2, or TLS, by then is closed; so is one that has not agreed to the limit on
headers, which does not hold for it until it has."""
SILENCE_MS = 60_000
"""After this long without a byte a connection is asked for a sign of life."""
SIGN_MS = 20_000
WAITING = 100_000
"""Calls that may wait for the event loop to come to them. gRPC's own limits are for servers that shed load: of more
than 1,000 it cancels some, of more than 3,000 all, and a herd of clients for cold models can be more."""
WAITING_S = 3600
"""So long each of them may wait, if the client does: by itself gRPC cancels it after 30 s, whatever its deadline."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a port takes; ``age_s``, ``grace_s`` None: connections may last."""

    message_bytes: int
    headers_bytes: int
    age_s: int | None = None
    grace_s: int | None = None


def for_clients(config: Config) -> Limits:
    """The limits of the external port."""
    headers_bytes = config.max_headers_bytes if config.max_headers_bytes > 0 else HEADERS_BYTES
    return Limits(config.max_message_bytes, headers_bytes, config.max_connection_age_s, config.max_connection_grace_s)


def for_peers(config: Config) -> Limits:
    """The limits of the mesh port: what is passed on was taken from a client."""
    return Limits(config.max_message_bytes, for_clients(config).headers_bytes + PEER_HEADERS_BYTES)


def options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """What a gRPC port is opened with; nobody shares it."""
    ages = (("grpc.max_connection_age_ms", limits.age_s), ("grpc.max_connection_age_grace_ms", limits.grace_s))
    return (
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", limits.headers_bytes),
        ("grpc.absolute_max_metadata_size", limits.headers_bytes),  # between the two it is a matter of luck
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.http2.settings_timeout", HANDSHAKE_MS),
        ("grpc.keepalive_time_ms", SILENCE_MS),
        ("grpc.keepalive_timeout_ms", SIGN_MS),
        ("grpc.http2.ping_timeout_ms", SIGN_MS),  # which keeps the one above from its effect where it is longer
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", IDLE_PINGS_MS),
        ("grpc.server.max_pending_requests", WAITING),
        ("grpc.server.max_pending_requests_hard_limit", WAITING),
        ("grpc.server_max_unrequested_time_in_server", WAITING_S),
        *((name, seconds * 1000) for name, seconds in ages if seconds is not None),
    )


def check_port(setting: str, bind: str, port: int) -> None:
    """Whether ``port`` can be opened, without keeping it. Raises ListenError, which says why not as gRPC does not."""
    bound(setting, bind, port).close()


def bound_server(setting: str, bind: str, port: int, limits: Limits, credentials: Any | None) -> tuple[Any, int]:
    """A server that holds ``port`` (0: any that is free) and is yet to be started; and the port. Raises ListenError.

    ``credentials`` None: without TLS.
    """
    check_port(setting, bind, port)
    server = grpc.aio.server(options=options(limits))
    for host in (f"[{bind}]" if ":" in bind else bind,) if bind else ("[::]", "0.0.0.0"):
        address = f"{host}:{port}"
        try:
            if credentials is None:
                held: int = server.add_insecure_port(address)
            else:
                held = server.add_secure_port(address, credentials)
        except RuntimeError:
            continue
        if held:
            return server, held
    raise ListenError(f"{setting}: port {port} on {bind or 'all addresses'} cannot be opened")
