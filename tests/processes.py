"""The processes of a mesh for tests: runtimes and instances with ports of their own, all ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests import freezing
from tests.client import Client
from tests.etcd import EtcdServer
from tests.ports import free_port as free_port

T = TypeVar("T")

GUARD_S = 60  # against hanging
POLL_S = 0.02


def until(look: Callable[[], T], what: str, guard_s: float = GUARD_S) -> T:
    """What ``look`` answers once it is true; the deadline only keeps a hang from lasting."""
    deadline = time.monotonic() + guard_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {guard_s:g} s in vain: {what}")
        time.sleep(POLL_S)


def got(url: str) -> tuple[int, str]:
    """An HTTP answer; (0, reason) where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=GUARD_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def series(port: int) -> dict[str, float]:
    """What /metrics on a port says: every series by its name with labels."""
    code, text = got(f"http://127.0.0.1:{port}/metrics")
    assert code == 200, text
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


class Server:
    """One process, started again on the same command line; what it says goes to ``log``."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self._command, self._env = command, env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment())

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def process_id(self) -> int | None:
        """None where it was never started."""
        return None if self._process is None else self._process.pid

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def freeze(self) -> None:
        """Let it stand still with all its connections open."""
        assert self._process is not None
        freezing.freeze(self._process.pid)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        assert self._process is not None
        freezing.thaw(self._process.pid)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(GUARD_S)

    def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(GUARD_S)

    def stop(self) -> int:
        """End it in good order; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def said(self) -> str:
        """All that it has said."""
        return self.log.read_text("utf-8") if self.log.exists() else ""

    def until(self, look: Callable[[], T], what: str) -> T:
        """As ``until``, given up as soon as the process is gone."""

        def look_or_fail() -> T:
            assert self.code is None, f"{self.name} ended with {self.code} before {what}:\n{self.said()[-3000:]}"
            return look()

        return until(look_or_fail, f"{self.name}: {what}")

    def _environment(self) -> Mapping[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, **(self._env or {})}


def fake_runtime(name: str, port: int, log: Path, *options: str) -> Server:
    """``runtimes.fake``, whose answers name ``name``."""
    command = ("-m", "runtimes.fake", f"--port={port}", f"--instance={name}", "--grace=0", *options)
    return Server(f"runtime of {name}", (sys.executable, *command), log)


def onnx_runtime(name: str, port: int, log: Path, root: Path, *options: str) -> Server:
    """``runtimes.onnx`` over the models in ``root``."""
    command = ("-m", "runtimes.onnx", f"--port={port}", f"--model-root={root}", "--grace=0", *options)
    return Server(f"runtime of {name}", (sys.executable, *command), log)


class Instance:
    """One meshd beside its runtime, on the same ports every time it starts."""

    def __init__(self, name: str, runtime: Server, runtime_port: int, log: Path, settings: Mapping[str, str]) -> None:
        self.name, self.runtime = name, runtime
        self.port, self.mesh_port, self.probe_port, self.metrics_port = (free_port() for _ in range(4))
        self.address = f"127.0.0.1:{self.port}"
        self.env = {
            "MM_SERVICE_NAME": "mm",
            "MM_KVSTORE_PREFIX": "mm",
            "MM_INSTANCE_ID": name,
            "MM_BIND": "127.0.0.1",
            "MM_SVC_GRPC_PORT": str(self.port),
            "MM_MESH_PORT": str(self.mesh_port),
            "MM_PROBE_PORT": str(self.probe_port),
            "MM_PRESTOP_WAIT_PORT": "NONE",
            "MM_METRICS": f"prometheus:port={self.metrics_port};scheme=http",
            "INTERNAL_GRPC_PORT": str(runtime_port),
            **settings,
        }
        self.meshd = Server(f"meshd {name}", (sys.executable, "-m", "meshd"), log, self.env)
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.address)
        return self._client

    def is_ready(self) -> bool:
        """What /ready says."""
        return got(f"http://127.0.0.1:{self.probe_port}/ready")[0] == 200

    def start(self, wait: bool = True) -> Instance:
        """Start both, or whichever of them is not running."""
        if self.runtime.code is not None or not self.runtime.said():
            self.start_runtime()
        self.meshd.start()
        if wait:
            self.wait_ready()
        return self

    def start_runtime(self) -> None:
        """Start the runtime, or start it again; returns once it is ready."""
        said = len(self.runtime.said())
        self.runtime.start()
        self.runtime.until(lambda: "ready on" in self.runtime.said()[said:], "it is ready")

    def wait_ready(self) -> None:
        self.meshd.until(self.is_ready, "/ready")

    def metrics(self) -> dict[str, float]:
        """Every series by its name with labels."""
        return series(self.metrics_port)

    def end(self) -> None:
        if self._client is not None:
            self._client.close()
        self.meshd.kill()
        self.runtime.kill()


class Mesh:
    """An etcd and instances around it; use it as a context, at whose end nothing is left running."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._settings = dict(settings or {})
        self.etcd = EtcdServer(directory)
        self.instances: dict[str, Instance] = {}

    def __enter__(self) -> Mesh:
        self.etcd.start()
        return self

    def __exit__(self, *failed: object) -> None:
        for instance in self.instances.values():
            instance.end()
        self.etcd.kill()

    def __getitem__(self, name: str) -> Instance:
        return self.instances[name]

    def fake(self, name: str, *options: str, **settings: str) -> Instance:
        """Another instance, on ``runtimes.fake``; not started yet."""
        port = free_port()
        return self._add(name, fake_runtime(name, port, self._log(name, "runtime"), *options), port, settings)

    def onnx(self, name: str, root: Path, *options: str, **settings: str) -> Instance:
        """Another instance, on ``runtimes.onnx``; not started yet."""
        port = free_port()
        return self._add(name, onnx_runtime(name, port, self._log(name, "runtime"), root, *options), port, settings)

    def _add(self, name: str, runtime: Server, port: int, settings: Mapping[str, str]) -> Instance:
        every = {"KV_STORE": f"etcd:http://{self.etcd.address}", **self._settings, **settings}
        instance = self.instances[name] = Instance(name, runtime, port, self._log(name, "meshd"), every)
        return instance

    def _log(self, name: str, what: str) -> Path:
        return self._directory / f"{what}-{name}.log"

    def start(self, *names: str) -> None:
        """Start these instances (none: all) together, until all are ready and know each other."""
        instances = [self.instances[name] for name in names] or list(self.instances.values())
        for instance in instances:
            instance.start(wait=False)
        for instance in instances:
            instance.wait_ready()
        self.settle()

    def settle(self) -> None:
        """Wait until every running instance knows every other."""
        running = {name: each for name, each in self.instances.items() if each.meshd.code is None and each.is_ready()}
        for instance in running.values():
            until(
                lambda instance=instance: running.keys() <= instance.client.instances().keys(),  # type: ignore[misc]
                f"{instance.name} knows {sorted(running)}",
            )
