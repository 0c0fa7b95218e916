"""Where a runtime listens: one TCP port or one unix socket, checked before gRPC binds it."""

from __future__ import annotations

import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from grpc import aio

DEFAULT_PORT = 8085
"""Where a mesh that is told nothing looks for its runtime."""
LONGEST_SOCKET_PATH = 107


class CannotListen(Exception):
    """An address that cannot be had, and why."""


@dataclass(frozen=True, slots=True)
class Listen:
    """A unix socket when `socket_path` is set, otherwise a TCP port (0: any) at an address."""

    port: int = DEFAULT_PORT
    socket_path: str = ""
    bind: str = "127.0.0.1"

    def add_to(self, server: aio.Server) -> str:
        """Have a server listen there; returns the address for humans. Raises CannotListen."""
        if self.socket_path:
            self._make_way()
            return _added(server, f"unix:{self.socket_path}")[0]
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        if self.port:
            self._try_port()
        address, port = _added(server, f"{host}:{self.port}")
        return f"{host}:{port}" if port else address

    def _try_port(self) -> None:
        """Bind the port and give it back, because gRPC does not say why it could not."""
        family = socket.AF_INET6 if ":" in self.bind else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((self.bind, self.port))
            except OSError as failure:
                raise CannotListen(f"cannot listen on {self.bind}:{self.port}: {failure.strerror}") from None

    def _make_way(self) -> None:
        """Remove a socket that a dead process left, and nothing else."""
        path = Path(self.socket_path)
        if len(str(path).encode()) > LONGEST_SOCKET_PATH:
            raise CannotListen(f"cannot listen on {path}: the path of a socket has at most {LONGEST_SOCKET_PATH} bytes")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
                raise CannotListen(f"cannot listen on {path}: there is something that is not a socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
                trial.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink()
        except OSError as failure:
            raise CannotListen(f"cannot listen on {path}: {failure.strerror}") from None
        else:
            raise CannotListen(f"cannot listen on {path}: another process does")


def _added(server: aio.Server, address: str) -> tuple[str, int]:
    try:
        return address, server.add_insecure_port(address)
    except RuntimeError:
        raise CannotListen(f"cannot listen on {address}: gRPC could not bind it") from None
