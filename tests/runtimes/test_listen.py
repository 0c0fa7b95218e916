from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from grpc import aio

from runtimes.listen import CannotListen, Listen


def listening(where: Listen) -> str:
    async def run() -> str:
        server = aio.server(options=[("grpc.so_reuseport", 0)])
        try:
            address = where.add_to(server)
            await server.start()
            async with aio.insecure_channel(address) as channel:
                await asyncio.wait_for(channel.channel_ready(), 30)
            return address
        finally:
            await server.stop(None)

    return asyncio.run(run())


def test_any_free_port_is_on_the_loopback_address() -> None:
    host, port = listening(Listen(port=0)).rsplit(":", 1)
    assert host == "127.0.0.1"
    assert int(port) > 0


def test_a_port_in_use_is_named_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"^cannot listen on 127.0.0.1:{port}: Address already in use$"):
            listening(Listen(port=port))


def test_an_address_of_another_machine_is_named_with_the_reason() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:18085: Cannot assign requested address"):
        listening(Listen(port=18085, bind="192.0.2.1"))


def test_a_socket_is_made_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runtime.sock"
    assert listening(Listen(socket_path=str(path))) == f"unix:{path}"


def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "runtime.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    listening(Listen(socket_path=str(path)))


def test_a_socket_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runtime.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(CannotListen, match=r"runtime\.sock: another process does"):
            listening(Listen(socket_path=str(path)))


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runtime.sock"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="not a socket"):
        listening(Listen(socket_path=str(path)))
    assert path.read_text() == "precious"


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match="at most 107 bytes"):
        listening(Listen(socket_path=str(tmp_path / ("x" * 120))))


def test_a_directory_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / os.devnull.strip("/") / "s"
    with pytest.raises(CannotListen, match="Not a directory"):
        listening(Listen(socket_path=str(path)))
