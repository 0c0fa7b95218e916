"""Bytes that no gRPC client sends, on both ports of a real instance: refused or closed, at a bounded cost."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from meshd import servers
from tests.certificates import Authority
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.secure import as_client, settings
from tests.omitted import omit
from tests.processes import GUARD_S, until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CHUNK = b"\0" * 65536
AT_ONCE = 10
"""Connections of each kind."""
FLOOD_BYTES = 8 << 20
MOST_BYTES = 128 << 20
"""An eighth of what all of them would send, were they let."""
LIMITS = {"HANDSHAKE_MS": 4000, "SILENCE_MS": 300, "SIGN_MS": 4000}
"""Soon enough for a test, and late enough for clients that do answer, however busy the machine is."""
STATM = Path("/proc/self/statm")
DATA, HEADERS, SETTINGS, CONTINUATION = 0, 1, 4, 9
ACK, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """One header, literally."""
    assert len(name) < 127
    assert len(value) < 127
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(path: bytes = b"/some.Service/Method", more: bytes = b"") -> bytes:
    """The block of headers of a call."""
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
              (b"te", b"trailers"), (b"content-type", b"application/grpc"))  # fmt: skip
    return b"".join(field(*each) for each in fields) + more


def block(payload: bytes, stream: int = 1) -> bytes:
    """Headers in as many frames as they need."""
    parts = [payload[at : at + 16000] for at in range(0, len(payload), 16000)]
    first, *rest = parts
    sent = frame(HEADERS, 0 if rest else END_HEADERS, stream, first)
    for number, part in enumerate(rest, 1):
        sent += frame(CONTINUATION, END_HEADERS if number == len(rest) else 0, stream, part)
    return sent


HELLO = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)
NAMED = field(b"mm-model-id", b"m")
HUGE = struct.pack(">BI", 0, 2**31 - 1)

DENIED, EXHAUSTED = b"grpc-status\x017", b"grpc-status\x018"

SAID: dict[str, bytes] = {
    "nothing": b"",
    "no agreement to limits": PREFACE + frame(SETTINGS, 0, 0),
    "half a preface": PREFACE[:10],
    "half a frame": HELLO + frame(HEADERS, END_HEADERS, 1, request())[:20],
    "garbage": bytes(range(256)) * 64,
    "HTTP/1": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100050100000100") + CHUNK,
    "a frame longer than agreed": HELLO + struct.pack(">I", 2**24 - 1)[1:] + bytes([DATA, 0]) + b"\0\0\0\1" + CHUNK,
    "headers that are none": HELLO + frame(HEADERS, END_HEADERS, 1, b"\xff" * 1000),
    "data of no call": HELLO + frame(DATA, 0, 7, b"x"),
    "headers without end": HELLO + frame(HEADERS, 0, 1, request()) + frame(CONTINUATION, 0, 1, field(b"x", b"y")) * 50,
    "10,000 headers": HELLO + block(request(more=NAMED + b"".join(field(b"x-%d" % n, b"y") for n in range(10_000)))),
    "2 GB announced": HELLO + block(request(more=NAMED)) + frame(DATA, 0, 1, HUGE + b"x" * 1000),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> Iterator[Mesh]:
    """An instance that loses patience with connections soon."""
    with impatient() as made:
        yield made


@pytest.fixture(scope="module")
def patient() -> Iterator[Mesh]:
    """An instance with the limits that it has."""
    with mesh(1) as made:
        made.client.register("m", load=True)
        yield made


@pytest.fixture(scope="module")
def made_secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The same with TLS."""
    authority = Authority()
    pair = authority.issue()
    given = settings(tmp_path_factory.mktemp("tls"), pair, authority.pem)
    with impatient(secure=as_client(authority, pair), **given) as made:
        yield made


@contextmanager
def impatient(**options: Any) -> Iterator[Mesh]:
    with ExitStack() as ending:
        with pytest.MonkeyPatch.context() as patch:
            for name, limit in LIMITS.items():
                patch.setattr(servers, name, limit)
            made = ending.enter_context(mesh(1, **options))
        made.client.register("m", load=True)
        yield made


def begun(made: Mesh, port: str, said: bytes) -> socket.socket:
    """A connection on which that was said, after the other side's greeting."""
    connection = socket.create_connection(("127.0.0.1", getattr(made[0], port)), timeout=GUARD_S)
    greeting = connection.recv(9, socket.MSG_WAITALL)
    connection.recv(int.from_bytes(greeting[:3]), socket.MSG_WAITALL)
    with suppress(ConnectionError):
        connection.sendall(said)
    return connection


def ended(connection: socket.socket) -> bytes:
    """What came until the other side ended the connection."""
    heard = b""
    with connection, suppress(ConnectionError):
        while part := connection.recv(65536):
            heard += part
    return heard


@pytest.mark.parametrize("port", ["port", "mesh_port"])
def test_connections_that_make_no_sense_are_ended_and_no_other_is(made: Mesh, port: str) -> None:
    answers = made[0].fake.counts["m"].infers
    files, held = open_files(), memory()
    connections = [(case, begun(made, port, said)) for case, said in SAID.items() for _ in range(AT_ONCE)]
    for _, connection in connections:
        flood(connection)
        assert made.client.infer("m").body == b"hello"
    assert memory() - held < MOST_BYTES
    for case, connection in connections:
        assert b"grpc-status\x010" not in ended(connection), case
    until(lambda: open_files() <= files, "their connections are closed")
    assert made[0].fake.counts["m"].infers == answers + len(connections)


@pytest.mark.parametrize("port", ["port", "mesh_port"])
@pytest.mark.parametrize("case", ["10,000 headers", "2 GB announced"])
def test_what_is_too_large_is_refused_and_the_connection_goes_on(patient: Mesh, port: str, case: str) -> None:
    """A message that has no end is not waited for where whoever sends it has no key."""
    answers = patient[0].fake.counts["m"].infers
    refusal = DENIED if (port, case) == ("mesh_port", "2 GB announced") else EXHAUSTED
    with begun(patient, port, SAID[case]) as connection:
        heard = b""
        while refusal not in heard:
            part = connection.recv(65536)
            assert part, heard
            heard += part
        assert patient.client.infer("m").body == b"hello"
    assert patient[0].fake.counts["m"].infers == answers + 1


@pytest.mark.parametrize("port", ["port", "mesh_port"])
def test_what_is_no_tls_is_ended_on_a_port_with_tls(made_secure: Mesh, port: str) -> None:
    files = open_files()
    texts = (b"", SAID["half a frame"], SAID["garbage"], SAID["HTTP/1"], SAID["a TLS hello"], SAID["a TLS hello"][:8])
    connections = []
    for said in texts * AT_ONCE:
        connections.append(socket.create_connection(("127.0.0.1", getattr(made_secure[0], port)), GUARD_S))
        with suppress(ConnectionError):
            connections[-1].sendall(said)
    assert made_secure.client.infer("m").body == b"hello"
    for connection in connections:
        assert b"grpc-status" not in ended(connection)
    until(lambda: open_files() <= files, "their connections are closed")


def flood(connection: socket.socket) -> None:
    """Send as much more as the other side takes at once, up to FLOOD_BYTES in all."""
    connection.setblocking(False)
    more = frame(DATA, 0, 1, b"x" * 16384)
    with suppress(BlockingIOError, ConnectionError):
        for _ in range(FLOOD_BYTES // len(more)):
            connection.sendall(more)
    connection.settimeout(GUARD_S)


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def memory() -> int:
    """What this process, and the instance in it, holds."""
    if not STATM.exists():
        omit("/proc, which tells the memory of a process")
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
