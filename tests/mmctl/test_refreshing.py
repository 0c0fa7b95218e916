"""Asking again and again, and what is printed of it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys

import pytest

from mmctl.errors import CommandError, Unavailable
from mmctl.refreshing import Answer, refreshing
from tests.client import GUARD_S
from tests.meshd.mesh import mesh
from tests.virtual_loop import run


async def asked(answers: list[str | CommandError], period_s: float, took_s: float = 0.0) -> list[Answer[str]]:
    """What comes of these answers, each of which takes so long."""
    left = list(answers)

    async def ask() -> str:
        await asyncio.sleep(took_s)
        answer = left.pop(0)
        if isinstance(answer, CommandError):
            raise answer
        return answer

    found = []
    async for answer in refreshing(ask, period_s):
        found.append(answer)
        if not left:
            return found
    raise AssertionError("it goes on for ever")


def test_questions_are_a_period_apart_and_never_two_at_once() -> None:
    assert run(asked(["a", "b", "c"], 2.0, 0.5)) == [Answer("a", 0.5), Answer("b", 2.5), Answer("c", 4.5)]
    assert run(asked(["a", "b"], 2.0, 3.0)) == [Answer("a", 3.0), Answer("b", 6.0)], "slower than the period"


def test_an_answer_that_fails_leaves_the_last_one_with_its_age() -> None:
    found = run(asked(["a", Unavailable("nobody"), "b"], 1.0))
    assert found == [Answer("a", 0.0), Answer("a", 0.0, "nobody"), Answer("b", 2.0)]


def test_the_first_has_to_come() -> None:
    with pytest.raises(Unavailable, match="nobody"):
        run(asked([Unavailable("nobody")], 1.0))


def test_what_is_watched_is_one_value_on_a_line_until_ctrl_c() -> None:
    with mesh(1) as made:
        arguments = ["--watch", "--every", "0.2", "-o", "json", "--endpoint", f"127.0.0.1:{made[0].port}"]
        watching = subprocess.Popen(
            [sys.executable, "-m", "mmctl", "instances", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert watching.stdout is not None
            told = [json.loads(watching.stdout.readline()) for _ in range(3)]
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=GUARD_S)
        finally:
            watching.kill()
        assert [[instance["id"] for instance in instances] for instances in told] == [["i0"]] * 3
        assert (watching.returncode, err) == (0, "")
