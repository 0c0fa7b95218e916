"""What ends a process from outside: its anchor file, under virtual time, and the line `stop` on its input."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from meshd.stopping import CHUNK_BYTES, LOOK_S, on_anchor, on_line
from tests import virtual_loop

GUARD_S = 30  # against hanging


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    path = tmp_path / "model-mesh.anchor"
    path.write_text("4711\n")
    return path


@pytest.mark.parametrize(
    "change",
    [Path.unlink, lambda path: path.write_text("4712\n")],
    ids=["it is deleted", "another process has put its own there"],
)
def test_an_instance_ends_when_its_anchor_is_gone(anchor: Path, change: Callable[[Path], object]) -> None:
    async def main() -> list[float]:
        now, stopped = asyncio.get_running_loop().time, []
        asyncio.get_running_loop().call_later(9.5 * LOOK_S, change, anchor)
        await on_anchor(str(anchor), lambda: stopped.append(now()))
        return stopped

    assert virtual_loop.run(main()) == [10 * LOOK_S]


def test_an_anchor_that_was_never_there_ends_it_at_once(tmp_path: Path) -> None:
    """It was deleted between the start of start.sh and the first look."""
    stopped: list[bool] = []
    virtual_loop.run(on_anchor(str(tmp_path / "none" / "anchor"), lambda: stopped.append(True)))
    assert stopped == [True]


def test_an_anchor_that_cannot_be_read_ends_nothing(anchor: Path) -> None:
    def hide() -> None:
        anchor.unlink()
        anchor.mkdir()

    def show() -> None:
        anchor.rmdir()
        anchor.write_text("4711\n")

    async def main() -> list[float]:
        loop, stopped = asyncio.get_running_loop(), list[float]()
        for after, change in ((2.5, hide), (5.5, show), (8.5, anchor.unlink)):
            loop.call_later(after * LOOK_S, change)
        await on_anchor(str(anchor), lambda: stopped.append(loop.time()))
        return stopped

    assert virtual_loop.run(main()) == [9 * LOOK_S]


def test_an_anchor_that_cannot_be_read_at_first_is_looked_at_when_it_can(tmp_path: Path) -> None:
    anchor = tmp_path / "model-mesh.anchor"
    anchor.mkdir()

    def show() -> None:
        anchor.rmdir()
        anchor.write_text("4711\n")

    async def main() -> list[float]:
        loop, stopped = asyncio.get_running_loop(), list[float]()
        for after, change in ((2.5, show), (5.5, lambda: anchor.write_text("4712\n"))):
            loop.call_later(after * LOOK_S, change)
        await on_anchor(str(anchor), lambda: stopped.append(loop.time()))
        return stopped

    assert virtual_loop.run(main()) == [6 * LOOK_S]


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (b"stop\n", True),
        (b" stop \r\n", True),
        (b"start\nstop\n", True),
        (b"x" * 3 * CHUNK_BYTES + b"\nstop\n", True),
        (b"", False),
        (b"stop", False),
        (b"stopped\n", False),
        (b"stop it\n", False),
    ],
)
def test_the_line_stop_ends_an_instance_and_the_end_of_its_input_does_not(text: bytes, is_told: bool) -> None:
    async def main() -> bool:
        reading, writing = os.pipe()
        stopped = asyncio.Event()
        ended = asyncio.ensure_future(on_line(stopped.set, reading))
        await asyncio.to_thread(os.write, writing, text)
        os.close(writing)
        await asyncio.wait_for(ended, GUARD_S)
        os.close(reading)
        return stopped.is_set()

    assert asyncio.run(main()) is is_told


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_an_input_that_cannot_be_waited_for_is_left_alone(path: str) -> None:
    async def main() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        await asyncio.wait_for(on_line(lambda: pytest.fail("told to stop"), descriptor), GUARD_S)
        os.close(descriptor)

    asyncio.run(main())


def test_a_process_that_ends_otherwise_waits_for_no_line() -> None:
    async def main() -> None:
        reading, writing = os.pipe()
        waiting = asyncio.ensure_future(on_line(lambda: pytest.fail("told to stop"), reading))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,), timeout=GUARD_S)
        assert not asyncio.get_running_loop().remove_reader(reading)
        os.close(writing)
        os.close(reading)

    asyncio.run(main())
