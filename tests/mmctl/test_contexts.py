"""Contexts by commands: kept, used, forgotten, and what the file looks like then."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from mmctl.__main__ import run
from mmctl.connect import Target, resolve


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("MMCTL_ENDPOINT", raising=False)
    return tmp_path / "mmctl" / "config.yaml"


def test_contexts_are_kept_used_and_forgotten(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["context", "set", "staging", "--endpoint", "a:1,b:2", "--endpoint", "c:3"]) == 0
    assert run(["context", "set", "prod", "--kv-store", "etcd:e:1", "--service", "mesh", "--prefix", "mm"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert resolve(Target()).endpoints == ("a:1", "b:2", "c:3")
    assert run(["context", "use", "prod"]) == 0
    assert resolve(Target()) == Target(kv_store="etcd:e:1", service="mesh", prefix="mm")
    capsys.readouterr()
    assert run(["context", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CURRENT  NAME     MESH",
        "         staging  a:1,b:2,c:3",
        "*        prod     etcd:e:1 mesh",
    ]
    assert run(["context", "list", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["current"], one["endpoint"], one["kv_store"]) for one in told] == [
        ("staging", False, ["a:1,b:2", "c:3"], ""), ("prod", True, [], "etcd:e:1"),
    ]  # fmt: skip
    assert run(["context", "delete", "prod"]) == 0
    assert "no context is the current one" in capsys.readouterr().err
    assert run(["list"]) == 2
    assert "which context? give --context, or `mmctl context use` one of staging" in capsys.readouterr().err


def test_what_else_stands_in_the_file_stays(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("theme: dark\ncurrent: a\ncontexts:\n  a: {endpoint: 'h:1'}\n")
    assert run(["context", "set", "b", "--endpoint", "h:2"]) == 0
    assert yaml.safe_load(file.read_text()) == {
        "theme": "dark", "current": "a", "contexts": {"a": {"endpoint": "h:1"}, "b": {"endpoint": ["h:2"]}},
    }  # fmt: skip


def test_context_without_a_name_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing could use it."""
    assert run(["context", "set", "", "--endpoint", "h:1"]) == 2
    assert (capsys.readouterr().err, file.exists()) == ("error: give the NAME of a context\n", False)


def test_dry_run_keeps_nothing(file: Path) -> None:
    assert run(["context", "set", "a", "--endpoint", "h:1", "--dry-run"]) == 0
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["use", "b"], 3, "no context 'b'; did you mean 'ab'?"),
        (["delete", "other"], 3, "no context 'other'; known: ab"),
        (["set", "b"], 2, "either endpoint, or kv_store and service"),
        (["set", "b", "--kv-store", "etcd:e:1"], 2, "--kv-store needs --service too"),
        (["set", "b", "--endpoint", "nowhere"], 2, "write host:port"),
        (["set", "b", "--endpoint", "h:1", "--kv-store", "etcd:e:1", "--service", "s"], 2, "either endpoint, or kv_st"),
    ],
)
def test_mistake_is_told_and_nothing_is_kept(
    words: list[str], code: int, error: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_text("current: ab\ncontexts:\n  ab: {endpoint: 'h:1'}\n")
    before = file.read_text()
    assert run(["context", *words]) == code
    assert error in capsys.readouterr().err
    assert file.read_text() == before


def test_file_that_is_none_of_ours_is_told_and_left_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    file.write_text("contexts: [a\n")
    assert run(["context", "set", "a", "--endpoint", "h:1"]) == 2
    assert f"{file}: not YAML" in capsys.readouterr().err
    assert file.read_text() == "contexts: [a\n"
    file.write_text("- a\n")
    assert run(["context", "list"]) == 2
