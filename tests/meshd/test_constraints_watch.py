"""The file with the type constraints: what it says is in force, as far as it can be read."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from meshcore.constraints import TypeConstraint
from meshd.config import ConfigError
from meshd.constraints_watch import File

GPU = {"t": {"required": ["gpu"]}}
CPU = {"t": {"required": ["cpu"]}}


class ConfigMap:
    """A volume as the kubelet makes it: the file is a link into ``..data``, itself a link to a version's directory."""

    def __init__(self, root: Path) -> None:
        self._root, self._version = root, 0
        self.path = root / "type_constraints"

    def say(self, text: str) -> None:
        self._version += 1
        directory = self._root / f"..version-{self._version}"
        directory.mkdir()
        (directory / "type_constraints").write_text(text)
        fresh = self._root / "..data_tmp"
        fresh.symlink_to(directory.name)
        fresh.rename(self._root / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/type_constraints")


@pytest.fixture
def volume(tmp_path: Path) -> ConfigMap:
    made = ConfigMap(tmp_path)
    made.say(json.dumps(GPU))
    return made


def begun(volume: ConfigMap) -> File:
    file = File(str(volume.path))
    assert file.first(None) == {"t": TypeConstraint(("gpu",))}
    return file


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would keep its reader for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe is not a file"):
        File(str(tmp_path / "pipe")).first(None)


def test_constraints_change_with_the_config_map(volume: ConfigMap) -> None:
    """The link comes to lead elsewhere: what stands there is told once."""
    file = begun(volume)
    assert file.look() is None
    volume.say(json.dumps(CPU))
    assert file.look() == {"t": TypeConstraint(("cpu",))}
    assert file.look() is None
    volume.say(json.dumps(CPU, indent=2))
    assert file.look() is None, "it says the same"


def test_file_that_is_written_over_counts_as_well(tmp_path: Path) -> None:
    """A plain file, another text in it."""
    path = tmp_path / "constraints"
    path.write_text(json.dumps(GPU))
    file = File(str(path))
    file.first(None)
    path.write_text(json.dumps({**GPU, "_default": {"required": ["cpu"]}}))
    found = file.look()
    assert found is not None
    assert list(found) == ["t", "_default"]


def test_what_cannot_be_read_changes_nothing_and_is_told_once(
    volume: ConfigMap, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good constraints stay; the log says so once for each thing that is wrong."""
    file = begun(volume)
    volume.say("{")
    assert [file.look() for _ in range(3)] == [None] * 3
    volume.path.unlink()
    assert [file.look() for _ in range(3)] == [None] * 3
    assert [text.removeprefix(str(volume.path)) for text in warnings(caplog)] == [
        ": not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); "
        "the type constraints read before stay in force",
        " cannot be read: No such file or directory; the type constraints read before stay in force",
    ]
    volume.say(json.dumps(CPU))
    assert file.look() == {"t": TypeConstraint(("cpu",))}
    volume.say("{")
    assert file.look() is None
    assert len(warnings(caplog)) == 3, "it was well in between"


@pytest.mark.parametrize("text", ["{", "[]", '{"t": {"required": "gpu"}}', None])
def test_start_ends_with_the_name_of_the_variable(volume: ConfigMap, text: str | None) -> None:
    """What cannot be read at the start is an error that says what to look at."""
    if text is None:
        volume.path.unlink()
    else:
        volume.say(text)
    with pytest.raises(ConfigError, match=f"MM_TYPE_CONSTRAINTS_PATH: {volume.path}"):
        File(str(volume.path)).first(None)


def test_constraints_that_stand_in_the_environment_never_change() -> None:
    """Without a file there is nothing to look at; without anything nothing is constrained."""
    inline = {"t": TypeConstraint(("gpu",))}
    assert File("").first(inline) == inline
    assert File("").first(None) == {}
