"""Ports on this machine: those that nobody uses, and what answers on those in use."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Sequence
from random import SystemRandom

from mmctl.errors import Failed

HOST = "127.0.0.1"
RANGE = range(20_000, 32_000)
"""Where systems take no ports for outgoing connections from: what is free now is free when a server comes back."""


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Whether a server listens on ``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        return trial.connect_ex((HOST, port)) == 0


def probe(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of an HTTP GET; status 0 when nobody answers. No proxy has a part in it."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def assign(names: Sequence[str], before: dict[str, int], base: int | None) -> dict[str, int]:
    """A free port for each name: from ``base`` up, else the one it had ``before``, else any.

    Raises:
        Failed: a port counted from ``base`` is in use.
    """
    if base is not None:
        ports = {name: base + at for at, name in enumerate(names)}
        for name, port in ports.items():
            if port > 65_535 or not is_free(port):
                why = "in use" if port <= 65_535 else "beyond 65535"
                raise Failed(f"port {port} ({name}) is {why}; choose another --base-port, or none for any free ports")
        return ports
    ports = {name: before[name] for name in names if name in before and is_free(before[name])}
    fresh = _fresh(len(names) - len(ports), set(ports.values()))
    return {name: ports[name] if name in ports else next(fresh) for name in names}


def _fresh(number: int, taken: set[int]) -> Iterator[int]:
    found: list[int] = []
    for port in SystemRandom().sample(RANGE, len(RANGE)):
        if len(found) == number:
            break
        if port not in taken and is_free(port):
            found.append(port)
    if len(found) < number:
        raise Failed(f"no {number} free ports from {RANGE[0]} to {RANGE[-1]}; --base-port chooses others")
    return iter(found)
