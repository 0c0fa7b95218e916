"""Watches where the runtime listens: connections that end, and what is to be seen there, without a word to it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable
from typing import Any

import grpc

from meshcore.events import Finding

CONNECT_LIMIT_S = 1.0
"""On one machine a connection takes far less; who takes longer does not answer."""

UNIX = "unix:"

Mark = tuple[int, int] | None
"""What tells a socket from one that took its place later; None: a port, or nothing is there."""


async def look(target: str, mark: Mark) -> Finding:
    """What is to be seen at a gRPC target, where ``mark`` was before; a connection that is taken is closed at once."""
    if target.startswith(UNIX) and mark is not None and (now := mark_of(target)) is not None and now != mark:
        return Finding.REPLACED
    findings = [await _connect(*address) for address in await _addresses(target)]
    if Finding.OPEN in findings:
        return Finding.OPEN
    return Finding.REFUSED if findings and set(findings) == {Finding.REFUSED} else Finding.SILENT


async def opened(target: str, poll_s: float) -> None:
    """Wait until somebody takes connections at a gRPC target."""
    while True:
        if await look(target, None) is Finding.OPEN:
            return
        await asyncio.sleep(poll_s)


def mark_of(target: str) -> Mark:
    """The mark of what is at a gRPC target now."""
    if not target.startswith(UNIX):
        return None
    try:
        seen = os.stat(target.removeprefix(UNIX))
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns  # a number is given out again as soon as its socket is gone


async def _addresses(target: str) -> Iterable[tuple[int, Any]]:
    if target.startswith(UNIX):
        return [(socket.AF_UNIX, target.removeprefix(UNIX))]
    host, _, port = target.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(family, address) for family, _, _, _, address in found]


async def _connect(family: int, address: Any) -> Finding:
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await asyncio.get_running_loop().sock_connect(tried, address)
        except (ConnectionRefusedError, FileNotFoundError):
            return Finding.REFUSED
        except OSError as error:
            # No such family on this machine: nobody can listen there.
            is_absent = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
            return Finding.REFUSED if is_absent else Finding.SILENT
        return Finding.OPEN


async def connection_lost(channel: Any, was_connected: bool) -> None:
    """Wait until the channel, connected again first unless it ``was_connected``, has lost its connection; no call is
    needed for it."""
    while True:
        state = channel.get_state(try_to_connect=True)
        is_connected = state is grpc.ChannelConnectivity.READY
        if was_connected and not is_connected:
            return
        await channel.wait_for_state_change(state)
        if is_connected:  # and not any more, though it may be again by now
            return
