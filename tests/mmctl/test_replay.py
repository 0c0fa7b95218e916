"""Journals from the command line: what is the same, what is not and where, and what cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshcore.journal import gap_line
from mmctl.__main__ import run
from mmctl.journals import core_version
from tests.meshcore import journals as recorded
from tests.meshcore.test_cluster_machine import ClusterMachine, live_a_busy_day
from tests.omitted import omit


@pytest.fixture(scope="module")
def day() -> list[bytes]:
    """One node's whole journal."""
    journals, machine = recorded.Journals(), ClusterMachine()
    machine.make = journals.make
    live_a_busy_day(machine, 11)
    return max(journals.files, key=len)


@pytest.fixture
def journal(day: list[bytes], tmp_path: Path) -> Path:
    """The same as a file, written by the rules that are installed."""
    file = tmp_path / "c.jsonl"
    file.write_bytes(b"".join([day[0].replace(recorded.CORE.encode(), core_version().encode()), *day[1:]]))
    return file


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """Exit code, the value on stdout, words on stderr."""
    code = run(["replay", *arguments, "-o", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_a_journal_that_comes_out_the_same(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (told,), words = shown(capsys, str(journal))
    assert (code, words) == (0, "")
    assert (told["file"], told["is_same"]) == (str(journal), True)
    assert told["instance"] == json.loads(journal.read_text("utf-8").splitlines()[0])["instance"]
    assert (told["difference"], told["gap"], told["is_cut"]) == (None, None, False)
    assert told["from_ms"] < told["until_ms"]
    assert told["lines"] > 100 < told["commands"]
    assert run(["replay", str(journal)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["FILE", "INSTANCE", "LINES", "COMMANDS", "RESULT"]
    assert table[1].endswith("the same")


def test_the_first_difference_is_shown_with_its_reasons(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (told,), words = shown(capsys, str(journal), "--set", "publish_gap_ms=60000")
    assert code == 1
    assert "1 of 1 come out otherwise" in words
    line = journal.read_bytes().splitlines()[told["difference"]["line"] - 1]
    assert told["difference"]["recorded"] in json.loads(line)["c"]
    assert told["difference"]["now"] is None
    assert run(["replay", str(journal), "--set", "publish_gap_ms=60000"]) == 1
    text = capsys.readouterr().out
    assert f"differs in line {told['difference']['line']}" in text
    assert "recorded  Publish seq=" in text
    assert "because   publish (reason " in text
    assert "now       nothing" in text


def test_a_request_that_was_under_way_is_shown_by_what_it_did(
    day: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "heard.jsonl"
    did = b'{"t":5,"f":7,"h":[["await_load",[{"copy":["m",3]},true],{}]],"c":[]}\n'
    file.write_bytes(b"".join([*day[:2], did]))
    assert run(["replay", str(file)]) == 1
    text = capsys.readouterr().out
    assert "after     a request that was under way: await_load" in text
    assert "which is not here" in text


def test_rules_of_another_version_a_cut_and_a_gap_are_told(
    day: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, gap = tmp_path / "cut.jsonl", tmp_path / "gap.jsonl"
    cut.write_bytes(b"".join(day)[:-10])
    gap.write_bytes(b"".join([*day, gap_line("the disk is full", 1_767_600_000_000, None).encode()]))
    code, told, words = shown(capsys, str(cut), str(gap))
    assert code == 0
    assert [each["is_cut"] for each in told] == [True, False]
    assert told[1]["gap"] == {"why": "the disk is full", "from_ms": 1_767_600_000_000, "until_ms": None}
    assert words.splitlines() == [
        f"{cut} was written by version {recorded.CORE} of the rules; this is {core_version()}",
        f"{cut} ends within a line, as when its process is killed; the rest was replayed",
        f"{gap} was written by version {recorded.CORE} of the rules; this is {core_version()}",
        f"{gap} has a gap from 2026-01-05T08:00:00.000Z on: the disk is full; it was replayed as far as that",
    ]


def test_what_cannot_be_replayed_is_named_and_the_rest_is_replayed(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, packed = tmp_path / "damaged.jsonl", tmp_path / "packed.jsonl.zst"
    damaged.write_bytes(b"".join([*journal.read_bytes().splitlines(keepends=True)[:2], b"\xff\n"]))
    packed.write_bytes(b"not packed")
    code, told, words = shown(capsys, str(damaged), str(tmp_path / "none"), str(packed), str(journal))
    assert code == 2
    assert [each["file"] for each in told] == [str(journal)]
    problems = words.splitlines()
    assert problems[0] == f"error: {damaged}: line 3: this is no JSON: the file is damaged"
    assert problems[1] == f"{tmp_path / 'none'}: No such file or directory"
    assert problems[2].startswith(f"{packed}: ")


def test_a_compressed_journal_is_read_as_far_as_it_was_written(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        import zstandard
    except ImportError:
        omit("the package zstandard")
    packed, cut = tmp_path / "c.jsonl.zst", tmp_path / "cut.jsonl.zst"
    text, writer = journal.read_bytes(), zstandard.ZstdCompressor().compressobj()
    half = writer.compress(text[: len(text) // 2]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    rest = writer.compress(text[len(text) // 2 :]) + writer.flush()
    packed.write_bytes(half + rest)
    cut.write_bytes(half + rest[:100])
    code, told, _ = shown(capsys, str(packed), str(journal), str(cut))
    assert code == 0
    assert [each["is_cut"] for each in told] == [False, False, True]
    assert told[0] | {"file": ""} == told[1] | {"file": ""}
    assert 0 < told[2]["lines"] < told[0]["lines"]


def test_what_reading_takes_is_named_where_it_is_not_there(
    journal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    packed = journal.rename(journal.with_suffix(".zst"))
    assert run(["replay", str(packed)]) == 2
    assert f"{packed}: reading it takes the package zstandard; pip install 'meshd[traces]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("publish_gap=3", "the rules have no setting 'publish_gap'; did you mean 'publish_gap_ms'?"),
        ("max_hops=many", "'many' is no whole number"),
        ("max_hops", "'' is no whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    journal: Path, capsys: pytest.CaptureFixture[str], given: str, text: str
) -> None:
    assert run(["replay", str(journal), "--set", given]) == 2
    assert text in capsys.readouterr().err


def test_a_journal_replays_whatever_the_hash_seed(journal: Path) -> None:
    outs = [
        subprocess.run(
            [sys.executable, "-m", "mmctl", "replay", str(journal), "-o", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert outs[0] == outs[1]
