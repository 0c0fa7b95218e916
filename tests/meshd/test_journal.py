"""The journal on disk: files of bounded size that each replay alone, and a mesh that no journal can harm."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meshcore.capacity import CacheParams
from meshcore.events import RegistrySeen, Seen, SessionRenewed, Ticked
from meshcore.image import Image
from meshcore.journal import Header, Ran, Stepped, named_rules
from meshcore.me import Me
from meshcore.node import Node
from meshcore.recorder import RecordedNode
from meshcore.replay import Replayed, replay
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshd.journal import Journal, core_version, make_node
from meshd.linefile import FILES_KEPT
from tests.builders import NOW, params
from tests.meshcore.test_cluster_machine import ClusterMachine, live_a_busy_day
from tests.meshd.mesh import MIB, mesh
from tests.omitted import omit
from tests.processes import until

ME = Me("i0", NOW, "a:1", "a:2")


class Journals:
    """Makes nodes that write journals into a directory, and closes these."""

    def __init__(self, directory: Path, **limits: int) -> None:
        self.directory, self._limits = directory, limits
        self.made: list[Journal] = []

    def make(self, me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
        header = Header("core", me, settings, params, named_rules(Rules()), seed)
        path = self.directory / f"{me.instance}-{seed}" / "journal.jsonl"
        self.made.append(Journal(path, header, **self._limits))
        self.made[-1].start()
        return RecordedNode(me, settings, params, Rules(), Random(seed), self.made[-1])

    def close(self) -> None:
        async def close() -> None:
            for made in self.made:
                await made.close()

        asyncio.run(close())

    def replayed(self) -> list[Replayed]:
        return [replay(path.read_bytes().splitlines(keepends=True)) for path in self.files()]

    def files(self) -> list[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.is_file())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, "meshd.journal"):
        yield caplog


def test_busy_nodes_write_files_of_bounded_size_that_each_replay_alone(tmp_path: Path) -> None:
    journals, machine = Journals(tmp_path, file_bytes=20_000), ClusterMachine()
    machine.make = journals.make
    live_a_busy_day(machine, 11)
    journals.close()
    found = journals.replayed()
    assert len(found) > len(journals.made), "files that were followed by others"
    assert [result.difference for result in found] == [None] * len(found)
    assert not any(result.gap or result.is_cut for result in found)
    assert sum(result.commands for result in found) > 300


def test_a_full_file_is_followed_by_one_other(tmp_path: Path) -> None:
    """The lines that were on their way when it was found to be full belong to it, and fill no other."""
    path = tmp_path / "a.jsonl"
    header = Header("1.0-abc", ME, Settings(), params(), named_rules(Rules()), 7)
    made = Journal(path, header, file_bytes=20_000)
    began: list[int] = []
    begin = made.begin

    def counted(state: Image, now: int) -> None:
        began.append(now)
        begin(state, now)

    made.begin = counted  # type: ignore[method-assign]
    made.start()
    node = RecordedNode(ME, Settings(), params(), Rules(), Random(7), made)
    value = b'{"type":"t","mPath":"%s"}' % (b"p" * 800)
    for number in range(1, 250):
        node.step(RegistrySeen(number, (Seen(f"m{number % 20}", value, number),)), NOW + number)
        until(lambda: made._queue.empty(), "it is written")
    asyncio.run(made.close())
    steps = [later - earlier for earlier, later in pairwise(began)]
    assert len(steps) > 5
    assert min(steps) > 10, "a file's worth of lines between two beginnings"


def test_only_the_latest_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.b.jsonl"
    for number in range(FILES_KEPT + 4):
        node, made = make_node(str(path), ME, Settings(), params(), Rules(), number)
        node.step(Ticked(), NOW)
        assert made is not None
        asyncio.run(made.close())
    kept = {file.name: lines(file)[0]["seed"] for file in tmp_path.iterdir()}
    newest = FILES_KEPT + 3
    assert kept == {"a.b.jsonl": newest} | {f"a.b.{n}.jsonl": n - 1 for n in range(newest - FILES_KEPT + 1, newest + 1)}


def test_a_journal_can_be_read_by_nobody_else_and_says_what_wrote_it(tmp_path: Path) -> None:
    node, made = make_node(str(tmp_path / "in" / "{instance}.jsonl"), ME, Settings(), params(), Rules(), 7)
    node.step(Ticked(), NOW)
    assert made is not None
    asyncio.run(made.close())
    path = tmp_path / "in" / "i0.jsonl"
    assert path.stat().st_mode & 0o077 == 0
    header, state, ticked = lines(path)
    assert (header["v"], header["core"], header["instance"], header["seed"]) == (1, core_version(), "i0", 7)
    assert (header["t0"], header["settings"]["max_hops"]) == (NOW, Settings().max_hops)
    assert state == {"state": None}
    assert ticked["e"] == {"@": "Ticked"}


def test_without_a_path_nothing_is_recorded() -> None:
    node, made = make_node("", ME, Settings(), params(), Rules(), 7)
    assert (type(node), made) == (Node, None)


def test_what_cannot_be_written_in_time_is_a_gap_and_a_new_file_follows(
    tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    journals = Journals(tmp_path, queued_most=0)
    node = journals.make(ME, Settings(), params(), 1)
    journals.made[0].take(Stepped(NOW + 1, Ticked(), Ran()))
    until(lambda: journals.made[0].wants_state, "the writer is done with what it had")
    node.step(SessionRenewed(), NOW + 2)
    journals.close()
    (before,) = (tmp_path / "i0-1").glob("journal.*.jsonl")
    assert lines(before)[2:] == [{"gap": "the journal did not keep up", "from": NOW + 1, "to": NOW + 2}]
    header, state = lines(tmp_path / "i0-1" / "journal.jsonl")
    assert (header["t0"], state["state"]["publisher"]["_last"]) == (NOW + 2, NOW + 2)
    assert [result.difference for result in journals.replayed()] == [None, None]
    assert [record.getMessage().partition(" does ")[2] for record in warned.records] == [
        "not keep up: what happens now is missing there"
    ]


def test_a_journal_that_cannot_be_opened_ends_with_one_warning(
    tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "i0-1").write_text("in the way")
    journals = Journals(tmp_path)
    node = journals.make(ME, Settings(), params(), 1)
    for number in range(3):
        node.step(Ticked(), NOW + number)
    journals.close()
    node.step(Ticked(), NOW + 5)
    assert [record.getMessage() for record in warned.records] == [
        f"the journal {tmp_path}/i0-1/journal.jsonl ends: File exists"
    ]


def test_what_has_no_plain_form_ends_the_journal_and_not_the_node(
    tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    journals = Journals(tmp_path)
    node = journals.make(ME, Settings(), params(), 1)
    node.step(Ticked(), NOW + 3)
    node._sink.take(object())  # type: ignore[attr-defined]
    journals.close()
    (record,) = warned.records
    assert "ends: " in record.getMessage()
    told = lines(tmp_path / "i0-1" / "journal.jsonl")
    assert (told[-1]["from"], told[-1]["to"]) == (NOW + 3, None)
    assert replay(line.encode() for line in (tmp_path / "i0-1" / "journal.jsonl").read_text().splitlines()).gap


def test_a_compressed_journal_is_the_same_in_less(tmp_path: Path) -> None:
    try:
        import zstandard
    except ImportError:
        omit("the package zstandard")
    node, made = make_node(str(tmp_path / "j.jsonl.zst"), ME, Settings(), params(), Rules(), 7)
    for number in range(100):
        node.step(Ticked(), NOW + number)
    assert made is not None
    asyncio.run(made.close())
    with (tmp_path / "j.jsonl.zst").open("rb") as file:
        found = replay(io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)))  # type: ignore[arg-type]
        assert (found.lines, found.difference, found.is_cut) == (100, None, False)
    made_again = make_node(str(tmp_path / "j.jsonl.zst"), ME, Settings(), params(), Rules(), 7)[1]
    assert made_again is not None
    asyncio.run(made_again.close())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j.1.jsonl.zst", "j.jsonl.zst"]


def test_without_the_package_a_compressed_journal_ends_with_a_sentence(
    tmp_path: Path, warned: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    made = make_node(str(tmp_path / "j.zst"), ME, Settings(), params(), Rules(), 7)[1]
    assert made is not None
    asyncio.run(made.close())
    (record,) = warned.records
    assert record.getMessage().endswith("needs the package zstandard (pip install 'meshd[traces]')")


def test_instances_that_serve_write_journals_that_replay(tmp_path: Path) -> None:
    path = str(tmp_path / "{instance}.jsonl")
    with mesh(2, capacity=10 * MIB, MM_MIN_CHURN_AGE_MS="0", MM_JOURNAL_PATH=path) as made:
        names = [f"m{number}" for number in range(12)]
        for name in names:
            made.client.register(name)
        for name in [*names, *reversed(names)]:
            for instance in made.instances:
                assert instance.client.infer(name).body == b"hello"
        made.client.instances()
    for name in ("i0", "i1"):
        with (tmp_path / f"{name}.jsonl").open("rb") as file:
            found = replay(file)
        assert (found.instance, found.difference, found.gap, found.is_cut) == (name, None, None, False)
        assert found.core == core_version()
        assert found.commands > 40
