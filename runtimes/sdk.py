"""A small SDK for model servers: write a Runtime, and `main` puts it behind the mesh.

The author says what loading and unloading is and which services clients call; the SDK keeps the contract with the
mesh: who may load at the same time, what a cancelled load leaves behind, what is dropped when the mesh starts again,
which status a failure becomes, and a stop that lets running calls end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from grpc import aio

from protos import model_runtime_pb2_grpc
from runtimes.held import Held
from runtimes.listen import DEFAULT_PORT, CannotListen, Listen
from runtimes.prestop import check_url, may_go
from runtimes.runtime import Loaded, LoadError, ModelInfo, Runtime, check, model_id
from runtimes.spi import Spi, abort, refuse, status_of

__all__ = [
    "CannotListen",
    "Listen",
    "LoadError",
    "Loaded",
    "ModelInfo",
    "Running",
    "Runtime",
    "abort",
    "check",
    "flags",
    "main",
    "model_id",
    "refuse",
    "run",
    "serving",
    "size_bytes",
    "size_flag",
    "status_of",
]

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),  # the mesh limits what comes through
    ("grpc.max_send_message_length", -1),
    ("grpc.server.max_pending_requests", 100_000),  # gRPC cancels calls beyond 1,000 that wait for the event loop,
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.server_max_unrequested_time_in_server", 3600),  # and each that waits for 30 s, whatever its deadline
)
PRESTOP_S = 180.0
"""The mesh answers within twice its SHUTDOWN_TIMEOUT_MS; longer than this nobody is waited for."""
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True, slots=True)
class Running:
    """A runtime that listens."""

    address: str
    held: Held


@contextlib.asynccontextmanager
async def serving(runtime: Runtime, listen: Listen, grace_s: float = 30.0) -> AsyncIterator[Running]:
    """Serve a runtime while the context lasts.

    Leaving it lets running calls end for up to `grace_s`, cancels the rest and unloads everything. Raises ValueError
    for figures the mesh would refuse, and CannotListen.
    """
    check(runtime)
    held = Held(runtime)
    server = aio.server(options=OPTIONS)
    model_runtime_pb2_grpc.add_ModelRuntimeServicer_to_server(Spi(runtime, held), server)
    runtime.register(server)
    try:
        address = listen.add_to(server)
        await server.start()
        yield Running(address, held)
    finally:
        await server.stop(grace_s)
        await held.close()


def main(runtime: Runtime, arguments: Sequence[str] | None = None) -> int:
    """Serve a runtime where the command line says, until SIGTERM or SIGINT; returns the exit code."""
    return run(runtime, flags(type(runtime).__name__).parse_args(arguments))


def flags(prog: str, description: str | None = None) -> argparse.ArgumentParser:
    """A parser with the flags that every runtime has."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"TCP port, 0 for any free one (default {DEFAULT_PORT})"
    )
    where.add_argument("--socket", default="", metavar="PATH", help="unix socket instead of a port")
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="address of the port (127.0.0.1)")
    parser.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="how long running calls may take to end (30)"
    )
    parser.add_argument(
        "--prestop", default="", metavar="URL", help="/prestop of the meshd beside it: asked before the end (not asked)"
    )
    return parser


def run(runtime: Runtime, options: argparse.Namespace) -> int:
    """Serve a runtime with what `flags` parsed, until SIGTERM or SIGINT; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listen = Listen(options.port, options.socket, options.bind)
    try:
        asyncio.run(_until_told(runtime, listen, options.grace, options.prestop))
    except (CannotListen, ValueError) as failure:
        print(f"{type(runtime).__name__}: {failure}", file=sys.stderr)
        return 1
    return 0


async def _until_told(runtime: Runtime, listen: Listen, grace_s: float, prestop_url: str) -> None:
    told, told_again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        (told_again if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    if prestop_url:
        check_url(prestop_url)
    async with serving(runtime, listen, grace_s) as running:
        print(f"ready on {running.address}", file=sys.stderr, flush=True)
        await told.wait()
        if prestop_url:
            await _until_not_needed(prestop_url, told_again)
        loop.call_later(2 * grace_s + 1, _give_up, type(runtime).__name__)


async def _until_not_needed(url: str, told_again: asyncio.Event) -> None:
    """Serve until the mesh has the models elsewhere, or somebody cannot wait."""
    waits = [asyncio.ensure_future(may_go(url, PRESTOP_S)), asyncio.ensure_future(told_again.wait())]
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if waits[0] in done and (why := waits[0].result()):
        print(f"{url}: {why}; ends without it", file=sys.stderr, flush=True)
    for wait in waits:
        wait.cancel()


def _give_up(name: str) -> None:
    """Leave although a thread still loads or unloads: it cannot be stopped, and would be waited for for ever."""
    print(f"{name}: a load or unload does not end; leaving it", file=sys.stderr, flush=True)
    os._exit(1)


def size_bytes(text: str) -> int:
    """Bytes of a size such as 512MiB, 2GB, 64k or 1048576; for command lines. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    if match is None or match[2] not in UNITS:
        raise ValueError(f"{text!r} is not a size such as 512MiB")
    return int(float(match[1]) * UNITS[match[2]])


def size_flag(text: str) -> int:
    """`size_bytes` as the type of a command-line flag."""
    try:
        return size_bytes(text)
    except ValueError as failure:
        raise argparse.ArgumentTypeError(str(failure)) from None
