"""The mesh of the demo, by way of `mmctl`: up, a file of registrations, a restart, down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from demo.client import Address
from demo.training import Model

INSTANCES = 3
DEFAULT_BYTES = 128 * 1024
"""What the runtimes have the mesh assume of a model; their capacity has to be at least ten times that."""
LOADING_CONCURRENCY = 2
LOAD_TIMEOUT_MS = 30_000
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTINGS = {"MM_MIN_CHURN_AGE_MS": "0"}
DIFFERENCES = 1
"""The exit code of a replay that finds some."""
_MMCTL = (sys.executable, "-m", "mmctl")


class FleetError(Exception):
    """mmctl could not do it; it has said why."""


@dataclass(frozen=True, slots=True)
class Process:
    """One meshd."""

    address: Address
    pid: int


class Fleet:
    """One mesh in a data directory of its own; ``tell`` gets each line that mmctl has to say."""

    def __init__(self, data_dir: Path, tell: Callable[[str], None], instances: int) -> None:
        self._data_dir, self._tell, self._instances = data_dir.absolute(), tell, instances
        self._journals = self._data_dir / "journals"

    async def up(self, models: Sequence[Model], folder: Path, capacity_bytes: int) -> list[Process]:
        """Start it with an empty registry and the files of ``models``, and register them. FleetError."""
        self.down()
        shutil.rmtree(self._data_dir, ignore_errors=True)
        settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
        arguments = {
            "--default-size": str(DEFAULT_BYTES),
            "--loading-concurrency": str(LOADING_CONCURRENCY),
            "--load-timeout-ms": str(LOAD_TIMEOUT_MS),
        }
        runtime = [f"--runtime-arg={name}={value}" for name, value in arguments.items()]
        plan = await self._mmctl(
            "up", "--detach", "--instances", str(self._instances), "--runtime", "onnx",
            "--capacity", str(capacity_bytes), *runtime, *settings,
            "--set", f"MM_JOURNAL_PATH={self._journals}/{{instance}}.jsonl", "-o", "json",
        )  # fmt: skip
        for model in models:
            place = self._data_dir / "models" / model.file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / model.file, place)
        registrations = self._data_dir / "registrations.json"
        entries = [{"name": model.name, "type": "onnx", "path": model.file} for model in models]
        registrations.write_text(json.dumps(entries), encoding="utf-8")
        await self._mmctl("register", "-f", str(registrations), "-o", "json")
        return _processes(plan)

    async def restart(self, instance: str) -> Process:
        """Bring one instance back. FleetError."""
        plan = await self._mmctl("restart", instance, "-o", "json")
        return next(process for process in _processes(plan) if process.address.name == instance)

    async def replay(self) -> list[dict[str, Any]]:
        """How the instances' journals compare with what they would decide again; after ``down``. FleetError."""
        files = sorted(str(path) for path in self._journals.iterdir())
        replayed: list[dict[str, Any]] = await self._run(
            "replay", [*_MMCTL, "replay", *files, "-o", "json"], DIFFERENCES
        )
        return replayed

    async def _mmctl(self, *arguments: str) -> Any:
        return await self._run(arguments[0], self._command(*arguments))

    async def _run(self, what: str, command: Sequence[str], *fine: int) -> Any:
        # In a session of its own, so that Ctrl-C reaches it once, by way of what follows here.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            shown, _ = await asyncio.gather(process.stdout.read(), self._pass_on(process.stderr))
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.wait()
            raise
        if await process.wait() not in (0, *fine):
            raise FleetError(f"`mmctl {what}` ended with exit code {process.returncode}")
        return json.loads(shown)

    async def _pass_on(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self._tell(line.decode().rstrip())

    def down(self) -> None:
        """Take it down, whatever state it is in; nothing for a mesh that is down. FleetError."""
        if not (self._data_dir / "state.json").exists():
            return
        # Not awaited, so that it happens whatever is cancelled, and not to be cut short by another Ctrl-C.
        with (
            _uninterrupted(),
            subprocess.Popen(
                self._command("down"), stdin=DEVNULL, stderr=PIPE, text=True, start_new_session=True
            ) as process,
        ):
            assert process.stderr is not None
            for line in process.stderr:
                self._tell(line.rstrip())
        if process.returncode:
            raise FleetError(f"the mesh in {self._data_dir} could not be taken down")

    def _command(self, *arguments: str) -> list[str]:
        return [*_MMCTL, *arguments, "--data-dir", str(self._data_dir)]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop(process: Process) -> None:
    """SIGTERM, as from whoever takes an instance out of service."""
    os.kill(process.pid, signal.SIGTERM)


def _processes(plan: Any) -> list[Process]:
    return [
        Process(
            Address(
                each["instance"],
                f"127.0.0.1:{each['ports']['grpc']}",
                f"http://127.0.0.1:{each['ports']['probe']}/ready",
                f"http://127.0.0.1:{each['ports']['metrics']}/metrics",
            ),
            each["pid"],
        )
        for each in plan["processes"]
        if each["role"] == "meshd"
    ]
