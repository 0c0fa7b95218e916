"""A data directory: whose it is, what is in it, and one command at a time that changes it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmctl.errors import Failed
from mmctl.local.state import State, load, store
from mmctl.places import absolute, place

_LOCK_WAIT_S = 3.0


def default_data_dir() -> Path:
    """Where a mesh is kept that nobody gave a place. Raises NoHome."""
    return place("XDG_DATA_HOME", ".local/share") / "default"


class Home:
    """The files under one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = absolute(path)
        self.state_file = self.path / "state.json"
        self.logs = self.path / "logs"
        self.etcd = self.path / "etcd"
        self.models = self.path / "models"

    def log(self, name: str) -> Path:
        """Where the service called ``name`` writes."""
        return self.logs / f"{name}.log"

    def read(self) -> State | None:
        """What is remembered; None in a place that holds nothing. Failed when it is not ours, or newer than we are."""
        try:
            state = load(self.state_file)
        except ValueError as error:
            raise Failed(str(error)) from None
        if state is None and self.path.exists() and not self._is_empty():
            raise Failed(f"{self.path} holds other things and no mesh of mmctl; choose another --data-dir")
        return state

    def _is_empty(self) -> bool:
        if not self.path.is_dir():
            return False
        return all(entry.name == "lock" for entry in self.path.iterdir())

    def write(self, state: State) -> None:
        """Remember ``state``."""
        try:
            store(self.state_file, state)
        except OSError as error:
            raise Failed(f"{self.state_file} cannot be written: {error.strerror}") from None

    def change(self, edit: Callable[[State], State]) -> State:
        """Remember what ``edit`` makes of what is remembered now; the lock has to be held."""
        state = self.read()
        if state is None:
            raise Failed(f"{self.path} holds no mesh any more")
        changed = edit(state)
        self.write(changed)
        return changed

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes this mesh meanwhile. Failed when somebody already does."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Failed(f"{self.path} cannot be used: {error.strerror}") from None
        try:
            until = time.monotonic() + _LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise Failed(f"another mmctl is at work on {self.path}; try again when it is done") from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)
