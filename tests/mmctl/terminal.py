"""Commands in a real terminal, and into pipes: in this process, or in one of their own that a person types to."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from mmctl.__main__ import run

COLUMNS, LINES = 80, 24
GUARD_S = 60
OWN = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from mmctl.__main__ import main
main()
"""
"""mmctl as the program that has the terminal: Ctrl-C and a new size reach it."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command came to; in a terminal all that it shows is in ``out``."""

    code: int
    out: str
    err: str = ""

    @property
    def plain(self) -> str:
        """``out`` as a person reads it, without colours."""
        return _ESCAPES.sub("", self.out).replace("\r\n", "\n").replace("\r", "")


def in_terminal(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, typed: str = "") -> Shown:
    """A command in a terminal of 80 columns, at which somebody has typed ``typed``."""
    screen, ours = _terminal()
    os.write(screen, typed.encode())
    with _ends(monkeypatch, stdin=ours, stdout=ours, stderr=ours):
        code, shown = _run(arguments, [screen])
    return Shown(code, shown[0])


def in_pipes(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    """A command whose streams are pipes; stdin has nothing in it."""
    (inn, feed), (out, out_end), (err, err_end) = os.pipe(), os.pipe(), os.pipe()
    os.close(feed)
    with _ends(monkeypatch, stdin=inn, stdout=out_end, stderr=err_end):
        code, shown = _run(arguments, [out, err])
    return Shown(code, shown[0], shown[1])


@contextmanager
def _ends(monkeypatch: pytest.MonkeyPatch, **descriptors: int) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    for name, descriptor in descriptors.items():
        mode = "r" if name == "stdin" else "w"
        monkeypatch.setattr(sys, name, open(os.dup(descriptor), mode, encoding="utf-8", newline=""))  # noqa: SIM115
    for descriptor in set(descriptors.values()):
        os.close(descriptor)
    yield


def _run(arguments: Sequence[str], sources: Sequence[int]) -> tuple[int, list[str]]:
    shown: dict[int, bytes] = {}

    def read(source: int) -> None:
        parts = []
        try:
            while part := os.read(source, 65_536):
                parts.append(part)
        except OSError:  # a terminal whose other end is closed
            pass
        os.close(source)
        shown[source] = b"".join(parts)

    readers = [threading.Thread(target=read, args=(source,)) for source in sources]
    for reader in readers:
        reader.start()
    try:
        code = run(arguments)
    finally:
        for stream in (sys.stdout, sys.stderr, sys.stdin):
            stream.close()
        for reader in readers:
            reader.join(GUARD_S)
    return code, [shown[source].decode() for source in sources]


def _terminal() -> tuple[int, int]:
    screen, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    modes = termios.tcgetattr(ours)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(ours, termios.TCSANOW, modes)
    return screen, ours


class Terminal:
    """One command as a process of its own in a terminal; use it as a context."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._screen, ours = _terminal()
        env = {**os.environ, "TERM": "xterm", **environment}
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN, *arguments], stdin=ours, stdout=ours, stderr=ours, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(ours)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a part may end within a character
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *failed: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(GUARD_S)
        os.close(self._screen)

    def type(self, text: str) -> None:
        """As from the keyboard; ``\\x03`` is Ctrl-C."""
        os.write(self._screen, text.encode())

    def until(self, text: str) -> str:
        """All that is shown, once ``text`` is."""
        deadline = time.monotonic() + GUARD_S
        while text not in self.plain:
            assert time.monotonic() < deadline, f"waited for {text!r} in vain; shown: {self.plain!r}"
            if not self._read():
                break
        assert text in self.plain, self.plain
        return self.plain

    def end(self) -> int:
        """Its exit code, when it has ended by itself."""
        while self._read():
            pass
        return self._process.wait(GUARD_S)

    @property
    def plain(self) -> str:
        """All that was shown until now, without colours."""
        return Shown(0, self.shown).plain

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], GUARD_S)[0]:
            raise AssertionError(f"nothing more is shown, and it does not end; shown: {self.plain!r}")
        try:
            part = os.read(self._screen, 65_536)
        except OSError:
            return False
        self.shown += self._decoder.decode(part)
        return bool(part)
