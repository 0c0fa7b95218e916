"""Traces as files: compressed or not, whole or refused, and written whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshcore.trace import End, Event, Header, Model
from sim.problems import TraceError, TraceFailed
from sim.traces.files import Writer, read_trace
from tests.omitted import omit
from tests.sim.trace_files import write


@pytest.fixture
def zstandard() -> ModuleType:
    try:
        import zstandard as found
    except ImportError:
        omit("the package zstandard")
    return found


def written(path: Path, count: int = 3) -> list[Any]:
    lines = [Header(5, "me"), Model("a", size_bytes=9), *(Event(float(at), "a") for at in range(count))]
    with Writer(path, lines[0]) as writer:
        writer.model(lines[1])
        for event in lines[2:]:
            writer.event(event)
        writer.end(50.0)
    return [*lines, End(count, max(50.0, count - 1))]


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.zst"])
def test_what_is_written_is_what_is_read(tmp_path: Path, name: str, zstandard: ModuleType) -> None:
    lines = written(tmp_path / name, 5000)
    assert list(read_trace(tmp_path / name)) == lines
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_compressed_file_is_known_by_how_it_begins(tmp_path: Path, zstandard: ModuleType) -> None:
    lines = written(tmp_path / "t.zst")
    (tmp_path / "t.zst").rename(tmp_path / "t")
    assert list(read_trace(tmp_path / "t")) == lines


def test_a_compressed_file_may_have_several_frames(tmp_path: Path, zstandard: ModuleType) -> None:
    lines = written(tmp_path / "t", 300)
    whole = (tmp_path / "t").read_bytes()
    compress = zstandard.ZstdCompressor().compress
    (tmp_path / "f.zst").write_bytes(compress(whole[:100]) + compress(whole[100:]))
    assert list(read_trace(tmp_path / "f.zst")) == lines


def test_a_compressed_file_that_is_cut_anywhere_is_refused(tmp_path: Path, zstandard: ModuleType) -> None:
    written(tmp_path / "t.zst")
    whole = (tmp_path / "t.zst").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.zst").write_bytes(whole[:length])
        with pytest.raises(TraceError, match=rf"cut\.zst: byte {length}: the compressed file is cut$"):
            list(read_trace(tmp_path / "cut.zst"))


def test_of_a_compressed_file_that_is_cut_there_is_a_part(tmp_path: Path, zstandard: ModuleType) -> None:
    lines = written(tmp_path / "t", 20_000)
    compressed = zstandard.ZstdCompressor().compress((tmp_path / "t").read_bytes())
    (tmp_path / "cut.zst").write_bytes(compressed[: len(compressed) // 2 + 100])
    *part, end = read_trace(tmp_path / "cut.zst", is_part_enough=True)
    assert part == lines[: len(part)]
    assert isinstance(end, End)
    assert end.early == "the file is cut"


def test_what_is_not_compressed_though_its_name_says_so_is_refused(tmp_path: Path, zstandard: ModuleType) -> None:
    write(tmp_path / "t.zst", [], [])
    with pytest.raises(TraceError, match=r"t\.zst: byte 0: cannot be decompressed as zstd"):
        list(read_trace(tmp_path / "t.zst"))


@pytest.mark.parametrize("name", ["out.zst", "in.zst"])
def test_without_the_package_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "in.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(TraceError, match=r"zstd takes the package zstandard; pip install 'meshd\[traces\]'$"):
        list(read_trace(tmp_path / name)) if name == "in.zst" else written(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["in.zst"]


def test_what_cannot_be_opened_is_told_in_a_line(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none", "there is no such file"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(TraceError, match=f"^{path}: {said}$"):
            list(read_trace(path))
    with pytest.raises(TraceError, match=r"/none/t: cannot be written: No such file or directory$"):
        Writer(tmp_path / "none" / "t", Header())


def test_two_who_write_one_file_at_once_do_not_touch_each_other_s(tmp_path: Path) -> None:
    with Writer(tmp_path / "t", Header(by="first")) as first, Writer(tmp_path / "t", Header(by="second")) as second:
        for number, writer in enumerate((first, second, first, second)):
            writer.model(Model(f"m{number}"))
        first.end()
        assert [line.by for line in read_trace(tmp_path / "t") if isinstance(line, Header)] == ["first"]
        second.end()
    assert list(read_trace(tmp_path / "t")) == [Header(by="second"), Model("m1"), Model("m3"), End(0, 0.0)]
    assert [file.name for file in tmp_path.iterdir()] == ["t"]


def test_who_is_interrupted_leaves_no_file(tmp_path: Path) -> None:
    written(tmp_path / "t", 1)
    before = (tmp_path / "t").read_bytes()
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "t", Header()) as writer:  # noqa: PT012
        writer.model(Model("a"))
        raise KeyboardInterrupt
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"t": before}


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        omit("/dev/full")
    with (  # noqa: PT012
        full.open("wb", buffering=0) as nowhere,
        pytest.raises(TraceError, match=r"t: cannot be written: No space left on device$"),
        Writer(tmp_path / "t", Header()) as writer,
    ):
        writer._out = nowhere
        writer.model(Model("a"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_has_no_room_either_and_leaves_no_file(tmp_path: Path) -> None:
    """Closing writes what is still in memory."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(TraceFailed, match=r"t: cannot be written: File too large$"):
            written(tmp_path / "t", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_told_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t", [], [{"t": 1, "m": "a"}])
    with pytest.raises(TraceError) as caught:
        list(read_trace(path))
    assert caught.value.problems == [f"{path}: line 2: m: 'a' must be a model that has a line before this one"]
