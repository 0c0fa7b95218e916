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


def ends(anchor: Path, *changes: tuple[float, Callable[[Path], object]]) -> list[float]:
    """After how many looks the process is ended; each change of the anchor comes after so many."""

    async def main() -> list[float]:
        loop, stopped = asyncio.get_running_loop(), list[float]()
        for after, change in changes:
            loop.call_later(after * LOOK_S, change, anchor)
        await on_anchor(str(anchor), lambda: stopped.append(loop.time() / LOOK_S))
        return stopped

    return virtual_loop.run(main())


def hide(anchor: Path) -> None:
    """It cannot be read any more."""
    anchor.unlink(missing_ok=True)
    anchor.mkdir()


def show(anchor: Path) -> None:
    """It can be read again."""
    anchor.rmdir()
    anchor.write_text("4711\n")


def replaced(anchor: Path) -> None:
    """Another process has put its own there."""
    anchor.write_text("4712\n")


@pytest.mark.parametrize("change", [Path.unlink, replaced], ids=["it is deleted", "it is another's"])
def test_an_instance_ends_when_its_anchor_is_gone(anchor: Path, change: Callable[[Path], object]) -> None:
    assert ends(anchor, (9.5, change)) == [10]


def test_an_anchor_that_was_never_there_ends_it_at_once(tmp_path: Path) -> None:
    """It was deleted between the start of start.sh and the first look."""
    assert ends(tmp_path / "none" / "anchor") == [0]


def test_an_anchor_that_cannot_be_read_ends_nothing(anchor: Path) -> None:
    assert ends(anchor, (2.5, hide), (5.5, show), (8.5, Path.unlink)) == [9]


def test_an_anchor_that_cannot_be_read_at_first_is_looked_at_when_it_can(anchor: Path) -> None:
    hide(anchor)
    assert ends(anchor, (2.5, show), (5.5, replaced)) == [6]


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
