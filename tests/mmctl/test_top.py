"""``mmctl top`` in a real terminal: a pseudo terminal, a mesh of three instances, keys as a person types them."""

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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.client import GUARD_S
from tests.meshd.mesh import Mesh, mesh
from tests.mmctl.meshes import mmctl
from tests.mmctl.terminal import OWN

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_HOME = "\x1b[H"
_ALTERNATE, _BACK = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A pseudo terminal with a program in it."""

    def __init__(self, *arguments: str, width: int = 80, height: int = 24, **env: str) -> None:
        self._fd, self.inner = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.inner)
        command = [sys.executable, "-c", OWN, "top", *arguments]
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            command, stdin=self.inner, stdout=self.inner, stderr=self.inner, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", **env},
        )  # fmt: skip
        self.said, self._decoder = "", codecs.getincrementaldecoder("utf-8")()

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, *keys: str) -> None:
        for key in keys:
            os.write(self._fd, key.encode())

    def read(self) -> None:
        """Take in what there is to read, waiting for a moment at most."""
        if select.select([self._fd], [], [], 0.05)[0]:
            with suppress(OSError):  # nobody has the other side any more
                self.said += self._decoder.decode(os.read(self._fd, 65_536))

    @property
    def lines(self) -> list[str]:
        """The last screen that was drawn to its end, which the next one tells: they come five times a second."""
        drawn = self.said.rpartition(_HOME)[0].rpartition(_HOME)[2]
        return [_CONTROL.sub("", line).rstrip() for line in drawn.splitlines()]

    def until(self, is_wanted: Callable[[list[str]], bool], what: str) -> list[str]:
        deadline = time.monotonic() + GUARD_S
        while not is_wanted(self.lines):
            assert self.process.poll() is None, f"it ended before {what}: {self.said[-2000:]}"
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.lines}"
            self.read()
        return self.lines

    def shows(self, text: str) -> list[str]:
        """The screen, once it has this text."""
        return self.until(lambda lines: any(text in line for line in lines), repr(text))

    def ended(self) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + GUARD_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self.read()
        self.read()
        return int(self.process.returncode)

    def hang_up(self) -> None:
        """As when the connection to a remote machine breaks."""
        for end in (self._fd, self.inner):
            os.close(end)
        self._fd = self.inner = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._fd >= 0:
            self.hang_up()


@pytest.fixture(scope="module")
def three() -> Iterator[Mesh]:
    with mesh(3, MM_ZONE="z1") as made:
        for number in range(4):
            made.client.register(f"model-{number}", f"fake:?size={number + 1}MiB")
            made.copy(f"model-{number}", 1)
        yield made


@contextmanager
def top(made: Mesh, *arguments: str, **env: str) -> Iterator[Terminal]:
    endpoints = ",".join(f"127.0.0.1:{instance.port}" for instance in made.instances)
    terminal = Terminal("--endpoint", endpoints, "--every", "0.2", *arguments, **env)
    try:
        yield terminal
    finally:
        terminal.close()


def names(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()[:1] if re.fullmatch(r"i\d|model-\d", word)]


def test_it_is_live_looks_into_things_and_leaves_the_terminal_as_it_was(three: Mesh) -> None:
    with top(three) as terminal:
        terminal.shows("models  4 registered, 4 loaded")
        first = terminal.shows("memory  10 MiB of ")
        assert (len(first), max(map(len, first)) <= 80) == (24, True)
        assert first[0].startswith("test ")
        assert first[1].startswith("models  4 registered, 4 loaded")
        assert first[2].startswith("memory  10 MiB of ")
        assert names(first) == ["i0", "i1", "i2"]
        assert _ALTERNATE in terminal.said

        terminal.press("\x1b[C", "\x1b[D", "r")  # to the next column and back
        terminal.until(lambda lines: names(lines) == ["i2", "i1", "i0"], "the other order")
        terminal.press("/", "i1", "\r")
        terminal.until(lambda lines: names(lines) == ["i1"], "what passes the filter")
        terminal.press("\r")
        held = terminal.shows("model-3")
        assert held[0].startswith("test > i1")
        assert sorted(names(held)) == [f"model-{number}" for number in range(4)]
        three.client.register("late", "fake:?size=9MiB")
        three.copy("late", 1)
        terminal.shows("late")

        terminal.press("/", "model-2", "\r", "\r")
        model = terminal.shows("last decisions")
        assert model[0].startswith("test > i1 > model-2")
        assert any(line.startswith("copy on i1: loaded") for line in model)
        terminal.press("\x1b")
        terminal.shows("/ model-2")
        terminal.press("\x1b", "\x1b")
        terminal.until(lambda lines: names(lines) == ["i1"], "back where it was")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.said.rstrip().endswith("\x1b[?25h") or _BACK in terminal.said[-40:]
        assert termios.tcgetattr(terminal.inner) == terminal.before
    three.client.unregister("late")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_what_ends_it_restores_the_terminal(three: Mesh, how: str) -> None:
    with top(three) as terminal:
        terminal.shows("i2")
        if how == "Ctrl-C":
            terminal.press("\x03")
        else:
            terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 0
        assert _BACK in terminal.said
        assert "Traceback" not in terminal.said
        assert termios.tcgetattr(terminal.inner) == terminal.before


def test_keys_that_would_leave_the_terminal_to_a_shell_as_it_is_do_nothing(three: Mesh) -> None:
    with top(three) as terminal:
        terminal.shows("i2")
        terminal.press("\x1c", "\x1a", "r")  # Ctrl-\ and Ctrl-Z
        terminal.until(lambda lines: names(lines) == ["i2", "i1", "i0"], "the other order")
        terminal.press("q")
        assert terminal.ended() == 0


def test_it_ends_when_the_terminal_goes(three: Mesh) -> None:
    with top(three) as terminal:
        terminal.shows("i2")
        terminal.hang_up()
        assert terminal.process.wait(GUARD_S) >= 0


def test_it_follows_the_size_of_the_terminal_and_does_without_colour(three: Mesh) -> None:
    with top(three, NO_COLOR="1") as terminal:
        terminal.shows("i2")
        terminal.resize(50, 10)
        small = terminal.until(lambda lines: len(lines) == 10, "a small screen")
        assert max(map(len, small)) <= 50
        terminal.resize(150, 30)
        terminal.until(lambda lines: len(lines) == 30 and "ZONE" in lines[4] and "z1" in lines[5], "a large one")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.said), "no colour"


def test_what_goes_while_it_is_looked_at_is_said_to_be_gone_and_a_mesh_that_is_silent_to_be_old() -> None:
    with mesh(2) as made, top(made) as terminal:
        made.client.register("m", "fake:?size=1MiB")
        made.copy("m", 1)
        terminal.shows("i1")
        terminal.press("\x1b[B", "\r")
        terminal.until(lambda lines: any(line.startswith("m ") for line in lines), "it shows what i1 holds")
        made.stop(1)
        terminal.shows("i1 is not there any more")
        terminal.press("\x1b")
        terminal.until(lambda lines: names(lines) == ["i0"], "the other one is there")
        made.stop(0)
        found = terminal.shows("no answer:")
        assert re.search(r"\d s old$", found[0])
        assert names(found) == ["i0"], "what is known stays"
        terminal.press("q")
        assert terminal.ended() == 0


def test_where_there_is_no_terminal_it_prints_once(three: Mesh) -> None:
    shown = mmctl("top", "--endpoint", f"127.0.0.1:{three[0].port}", "-o", "json", "--sort", "models", "--reverse")
    assert (shown.code, shown.err) == (0, "")
    assert [each["id"] for each in shown.json["instances"]] == ["i0", "i2", "i1"]


def test_a_terminal_that_can_do_nothing_gets_it_once(three: Mesh) -> None:
    with top(three, TERM="dumb") as terminal:
        assert terminal.ended() == 0
        assert "\x1b" not in terminal.said
        assert "3 instances" in terminal.said
        assert names(terminal.said.splitlines()) == ["i0", "i1", "i2"]


def test_nobody_there_is_said_before_the_screen_is_taken() -> None:
    terminal = Terminal("--endpoint", "127.0.0.1:1")
    try:
        assert terminal.ended() == 4
        assert _ALTERNATE not in terminal.said
        assert "no connection" in terminal.said
    finally:
        terminal.close()
