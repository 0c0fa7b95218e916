"""Five questions about a history that is known, put to a mesh of which one of three instances does not answer.

The answers are compared with files under golden/ (UPDATE_GOLDEN=1 writes them anew), as text and as JSON; instants and
sequence numbers are masked.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd import fanout
from mmctl import endpoints as endpoint_turns
from mmctl.__main__ import run
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

GOLDEN = Path(__file__).parent / "golden"
QUESTIONS = {
    "a": ("Why is a on i0 and not elsewhere?", ("copies",), "copy on"),
    "b": ("Why was b evicted?", ("last_eviction",), "last eviction"),
    "c": ("Why did a request for c wait?", ("last_wait",), "last wait"),
    "d": ("Why does d fail to load, where, and until when?", ("failures",), "failed on"),
    "e": ("What would a request for e meet now, and who is rejected and why?", ("now",), "a request now"),
}
WHEN = re.compile(r"(in )?(now|\d+[smhd])( ago)? \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\)")


@pytest.fixture(scope="module")
def told() -> Iterator[Mesh]:
    """a fits only on i0; b went from i1 for f; c was loaded for a request; d fails there, and is too large for i1; e
    was never loaded. Then comes a third
    whose port takes connections and never answers."""
    with pytest.MonkeyPatch.context() as patch, mesh(0) as made, socket.create_server(("127.0.0.1", 0)) as silent:
        patch.setattr(fanout, "DEADLINE_S", 0.3)  # so that the questions are cheap
        for capacity in (256 * MIB, 16 * MIB):
            made.add(capacity=capacity, MM_MIN_CHURN_AGE_MS="0")
        register(made, a=40, b=9, c=40, d=40, e=40, f=9)
        made.client.infer("a")
        for name in ("b", "f"):
            made.copy(name, 1)
        until(lambda: not (made.record("b") or {}).get("instanceIds"), "b is gone from the record")
        made.client.infer("c")
        assert refused(lambda: made.client.infer("d"))[0] == "INTERNAL"
        until(lambda: len(made.client.model("d").failures) == 2, "d failed on both")
        record = json.loads(made.value("instances/i1") or b"{}")
        record["meshd"]["addr"] = f"127.0.0.1:{silent.getsockname()[1]}"
        made.put("instances/silent", json.dumps(record).encode())
        until(lambda: "silent" in made.client.instances(), "the third is known")
        yield made


def register(made: Mesh, **sizes: int) -> None:
    """Models of so many MiB each; d cannot be loaded."""
    requests = []
    for name, size in sizes.items():
        path = f"fake:?size={size}MiB" + ("&fail=INTERNAL&fail_text=no disk" if name == "d" else "")
        spec = wire.ModelSpec(name=name, type="fake", path=path, size_bytes=size * MIB)
        requests.append(wire.RegisterRequest(model=spec))
    assert not any(result.code for result in made.client.register_all(requests))


def asked(made: Mesh, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What mmctl prints once the other one answers in time; it names who did not answer."""

    def ask() -> str:
        assert run(["explain", *arguments, "--endpoint", f"127.0.0.1:{made[0].port}"]) == 0
        shown = capsys.readouterr()
        who, colon, missing = shown.err.removeprefix("did not answer: ").partition("; ")
        assert (colon, missing) == ("; ", "what they decided is missing here\n")
        assert set(who.split(", ")) in ({"silent"}, {"i1", "silent"})
        return shown.out if who == "silent" else ""

    return until(ask, "i1 answers in time")


def masked(value: Any, key: str = "") -> Any:
    """Without what differs from run to run: instants, sequence numbers, what is counted or weighed, and any order."""
    match value:
        case dict():
            return {name: masked(part, name) for name, part in value.items() if name not in ("seq", "inputs", "score")}
        case list():
            return sorted((masked(part) for part in value), key=str)
        case int() if key.endswith("_ms"):
            return "*"
        case _:
            return value


def in_order(block: str) -> str:
    """With its rows, which are indented, in the order of their texts: among equals it is that of the moment."""
    lines = block.splitlines()
    rows = iter(sorted(line for line in lines if line.startswith("  ") and not line.startswith("  INSTANCE")))
    return "\n".join(
        next(rows) if line.startswith("  ") and not line.startswith("  INSTANCE") else line for line in lines
    )


def section(text: str, begins: str) -> str:
    """The part of an explanation under a heading, or its one field, with what is said of who would load it."""
    blocks = [in_order(block) for block in WHEN.sub("*", text).rstrip("\n").split("\n\n")]
    if begins == "a request now":
        return "\n\n".join([*(line for line in blocks[0].splitlines() if begins in line), *blocks[1:]]) + "\n"
    found = sorted(block for block in blocks if block.startswith(begins))
    return "\n\n".join(found or [line for line in blocks[0].splitlines() if line.startswith(begins)]) + "\n"


def compare(name: str, shown: str) -> None:
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", QUESTIONS)
def test_a_question_about_the_history_is_answered(told: Mesh, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    question, fields, begins = QUESTIONS[model]
    text = asked(told, capsys, model)
    compare(f"explain-{model}.table", f"{question}\n\n{section(text, begins)}")
    plain = json.loads(asked(told, capsys, model, "-o", "json"))
    answer = {"question": question, **{field: masked(plain[field]) for field in fields}}
    compare(f"explain-{model}.json", json.dumps(answer, indent=2) + "\n")


def test_a_failure_says_until_when_its_instance_gets_no_load(told: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    failures = json.loads(asked(told, capsys, "d", "-o", "json"))["failures"]
    assert [failure["until_ms"] - failure["at_ms"] for failure in failures] == [900_000 // 2] * 2


def test_a_model_that_is_not_registered_is_not_found(told: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "nobody", "--endpoint", f"127.0.0.1:{told[0].port}"]) == 3
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "nobody" in shown.err


def test_events_that_are_followed_end_with_the_interrupt_and_without_an_error(
    told: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "DEADLINE_S", 5.0)  # what i1 has decided is told once: in time
    command = [sys.executable, "-m", "mmctl", "events", "-f", "--model", "b", "--rule", "evict", "-o", "json"]
    address = f"127.0.0.1:{told[0].port}"
    with subprocess.Popen(
        [*command, "--endpoint", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["cause"] == "room for f"
        following.send_signal(signal.SIGINT)
        out, err = following.communicate(timeout=GUARD_S)
    assert (following.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_an_endpoint_that_says_nothing_is_passed_over(told: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = f"127.0.0.1:{silent.getsockname()[1]}"
        endpoints = ["--endpoint", first, "--endpoint", f"127.0.0.1:{told[0].port}"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(endpoint_turns, "CONNECT_S", 3_600.0)  # nobody waits that long for the first
            patch.setattr(endpoint_turns, "HASTE_S", 5.0)  # and the second takes no longer than that
            assert run(["get", "a", "-o", "name", *endpoints]) == 0
    assert capsys.readouterr().out == "a\n"
