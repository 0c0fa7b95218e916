"""Every command of the tree in a real terminal and into a pipe, on a registry whose instances are all away."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from meshcore.kv import ABSENT, MOST_WRITES, Write
from meshcore.records import ModelRecord
from mmctl import completion
from mmctl import registry as registry_way
from mmctl.app import app
from mmctl.examples import EXAMPLES, commands_of
from mmctl.registry import PAGE
from tests.client import GUARD_S
from tests.etcd import EtcdServer
from tests.mmctl.terminal import LINES, Shown, Terminal, in_pipes, in_terminal
from tests.store.places import etcd_client

pytestmark = pytest.mark.etcd

REQUEST = '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'
MANY = 2 * PAGE + 500

ROWS: dict[str, tuple[list[str], int]] = {
    "up": (["--dry-run", "--runtime", "fake", "--data-dir", "{dir}/new"], 0),
    "down": (["--data-dir", "{dir}/new"], 0),
    "restart": (["--data-dir", "{dir}/new"], 1),
    "logs": (["--data-dir", "{dir}/new"], 1),
    "register": (["new/{way}", "--type", "t", "@"], 0),
    "set": (["m0001", "--priority", "7", "@"], 0),
    "unregister": (["m0002", "m0003", "--yes", "--dry-run", "@"], 0),
    "apply": (["-f", "{dir}/m.yaml", "--dry-run", "@"], 0),
    "diff": (["-f", "{dir}/m.yaml", "@"], 1),
    "export": (["m0001", "@"], 0),
    "list": (["--limit", "3", "@"], 0),
    "get": (["m0001", "@"], 0),
    "describe": (["m0001", "@"], 0),
    "wait": (["m0001", "--timeout", "0.1", "@"], 1),
    "load": (["m0001", "@"], 4),
    "infer": (["m0001", "--json", REQUEST, "@"], 4),
    "status": (["@"], 0),
    "instances": (["@"], 0),
    "top": (["--once", "@"], 0),
    "doctor": (["--only", "etcd-alarms", "@"], 0),
    "debug bundle": (["--out", "{dir}/{way}.tar.gz", "@"], 0),
    "explain": (["m0001", "@"], 4),
    "events": (["@"], 4),
    "drain": (["i0", "@"], 4),
    "cordon": (["i0", "@"], 4),
    "uncordon": (["i0", "@"], 4),
    "upgrade plan": (["--set", "MM_MIN_CHURN_AGE_MS=0", "--data-dir", "{dir}/new"], 4),
    "upgrade start": (["--set", "MM_MIN_CHURN_AGE_MS=0", "--data-dir", "{dir}/new"], 4),
    "upgrade status": (["@"], 3),
    "upgrade abort": (["@"], 3),
    "version": (["@"], 0),
    "vmodel set": (["v", "--target", "m0001", "@"], 4),
    "vmodel get": (["v", "@"], 3),
    "vmodel list": (["@"], 0),
    "vmodel delete": (["v", "@"], 3),
    "config list": (["@"], 0),
    "config get": (["logger_level", "@"], 0),
    "config set": (["logger_level", "debug", "@"], 0),
    "config unset": (["logger_level", "@"], 0),
    "context list": ([], 0),
    "context use": (["none"], 3),
    "context set": (["one", "--endpoint", "h:1"], 0),
    "context delete": (["none"], 3),
    "simulate": (["{dir}/none.yaml"], 2),
    "tune": (["{dir}/none.yaml", "--slo", "latency_p99<200ms"], 2),
    "replay": (["{dir}/none.jsonl"], 2),
    "trace record": (["{dir}/none", "--out", "{dir}/out.jsonl"], 2),
    "trace convert": (["{dir}/none.csv", "{dir}/out.jsonl", "--from", "csv"], 2),
    "trace inspect": (["{dir}/none.jsonl"], 2),
}
"""By the words of each command: what is added to them (``@``: the registry), and the exit code."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Options that lead to a registry of many models; nobody else uses it."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd")).start()

    async def fill() -> None:
        store = etcd_client(server.address)
        names = [f"m{at:04}" for at in range(MANY)]
        for at in range(0, MANY, MOST_WRITES):
            await store.commit(*(
                Write(f"/tas-runtime/mesh/registry/{name}", ABSENT, ModelRecord("t", last_used=1).encode())
                for name in names[at : at + MOST_WRITES]
            ))  # fmt: skip
        await store.close()

    asyncio.run(fill())
    try:
        yield ["--kv-store", f"etcd:{server.address}", "--service", "mesh"]
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("MMCTL_ENDPOINT", raising=False)
    monkeypatch.setattr(registry_way, "CHECK_S", GUARD_S)
    monkeypatch.setattr(completion, "WITHIN_S", GUARD_S)
    (tmp_path / "m.yaml").write_text("name: new/file\ntype: t\n")


def test_every_command_is_tried_and_has_examples() -> None:
    commands = [words for words, _ in commands_of(app)]
    assert sorted(ROWS) == sorted(commands)
    assert sorted(EXAMPLES) == sorted(commands)


@pytest.mark.parametrize("words", [words for words, _ in commands_of(app)])
def test_command_does_the_same_in_a_terminal_and_into_pipes(
    words: str, tmp_path: Path, registry: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(way: str) -> list[str]:
        given, _ = ROWS[words]
        values = [value.replace("{dir}", str(tmp_path)).replace("{way}", way) for value in given]
        return words.split() + [option for value in values for option in (registry if value == "@" else [value])]

    code = ROWS[words][1]
    piped = in_pipes(given("pipe"), monkeypatch)
    shown = in_terminal(given("terminal"), monkeypatch)
    assert (piped.code, shown.code) == (code, code), piped.err + shown.plain
    assert "\x1b" not in piped.out + piped.err
    for text in (piped.out, piped.err, shown.out):
        assert "Traceback" not in text
        assert "mistake of mmctl" not in text
    if code in (2, 4):
        assert piped.out == ""
        assert piped.err.splitlines()[-1].startswith("error: ")
    for line in shown.plain.splitlines() if piped.out else []:
        assert line == line.rstrip() or line.startswith(" ")


def test_examples_make_sense() -> None:
    tree = get_command(app)
    for words, lines in EXAMPLES.items():
        for line in lines:
            typed = shlex.split(line.rpartition("| ")[2].partition(" > ")[0])
            assert typed[: 1 + len(words.split())] == ["mmctl", *words.split()]
            command = tree
            for word in words.split():
                assert isinstance(command, TyperGroup)
                command = command.commands[word]
            assert line.replace("[", "\\[") in (command.epilog or "")
            command.make_context(words, typed[1 + len(words.split()) :])  # raises for what it does not take


def test_help_ends_with_examples_as_they_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in ("register", "vmodel set"):
        shown = in_terminal([*words.split(), "--help"], monkeypatch).plain
        assert " ".join(EXAMPLES[words][-1].split()) in " ".join(shown.split())
        assert f"\n {EXAMPLES[words][-2].split(' --')[0]}" in shown


def test_colour_is_for_a_terminal_and_not_with_no_color(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["list", "--limit", "1", *registry]
    assert "\x1b[" in in_terminal(arguments, monkeypatch).out
    monkeypatch.setenv("NO_COLOR", "1")
    without = in_terminal(arguments, monkeypatch)
    assert "\x1b[3" not in without.out
    assert without.plain == in_pipes(arguments, monkeypatch).out


def test_what_cannot_be_taken_back_is_asked(
    tmp_path: Path, registry: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal; elsewhere nobody can answer, and it is a mistake not to say --yes."""

    def there(name: str) -> bool:
        return in_pipes(["get", name, *registry], monkeypatch).code == 0

    assert in_pipes(["register", "ask/1", "--type", "ask", *registry], monkeypatch).code == 0
    assert in_pipes(["register", "ask/2", "--type", "ask", *registry], monkeypatch).code == 0
    many = ["unregister", "--type", "ask", *registry]
    refused = in_pipes(many, monkeypatch)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "error: unregister 2 models (ask/1, ask/2): nobody can be asked, as stdin is no terminal;"
        " --yes does it without\n"
    )
    no = in_terminal(many, monkeypatch, "n\n")
    assert (no.code, "unregister 2 models (ask/1, ask/2)? [y/N]" in no.plain) == (1, True)
    assert in_terminal(many, monkeypatch, "\x04").code == 1  # Ctrl-D
    assert there("ask/1")
    assert in_terminal(many, monkeypatch, "y\n").code == 0
    assert not there("ask/1")
    file = tmp_path / "m.yaml"
    assert in_pipes(["apply", "-f", str(file), *registry], monkeypatch).code == 2
    assert in_terminal(["apply", "-f", str(file), *registry], monkeypatch, "yes\n").code == 0
    assert there("new/file")
    assert in_pipes(["apply", "-f", str(file), *registry], monkeypatch).code == 0  # nothing to ask about
    assert in_pipes(["unregister", "new/file", *registry], monkeypatch).code == 0  # one alone is not asked about


def test_long_list_is_read_a_screen_at_a_time(registry: list[str]) -> None:
    """The pager has its first screen, and the end of it is the end of the list."""
    with Terminal("list", *registry, PAGER="less", LESS="FRX", NO_COLOR="1") as terminal:
        assert "m1000" not in terminal.until(f"m{LINES - 3:04}")
        terminal.type("q")
        assert terminal.end() == 0
        assert "m1000" not in terminal.plain


def test_pager_that_makes_no_sense_is_done_without(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMCTL_PAGER", 'less "')
    shown = in_terminal(["list", "--limit", "1", *registry], monkeypatch)
    assert (shown.code, 'pager less ": No closing quotation; shown without one' in shown.plain) == (0, True)
    assert "m0000" in shown.plain


def test_list_that_nobody_reads_to_the_end_ends_in_silence(registry: list[str]) -> None:
    """As `mmctl list | head -1` does."""
    command = [sys.executable, "-m", "mmctl", "list", *registry]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().split() == [b"ID", b"TYPE", b"STATUS", b"COPIES", b"SIZE", b"USED"]
        process.stdout.close()
        assert process.stderr.read() == b""


def test_watch_shows_what_changes_and_ends_with_ctrl_c(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Terminal("list", "--watch", "--type", "watched", *registry) as terminal:
        assert in_pipes(["register", "w/1", "--type", "watched", *registry], monkeypatch).code == 0
        terminal.until("w/1")
        assert in_pipes(["unregister", "w/1", *registry], monkeypatch).code == 0
        terminal.until("gone")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.plain


def test_shell_is_offered_names(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def offered(line: str) -> list[str]:
        words = ["mmctl", *line.split(" ")]
        monkeypatch.setenv("_MMCTL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        shown: Shown = in_pipes([], monkeypatch)
        monkeypatch.delenv("_MMCTL_COMPLETE")
        return shown.out.split()

    way = " ".join(registry)
    assert offered(f"get {way} m000") == [f"m000{at}" for at in range(10)]
    monkeypatch.setattr(completion, "WITHIN_S", 0.1)  # which nobody answers in
    assert offered("get --kv-store etcd:127.0.0.1:1 --service mesh m") == []
    assert in_pipes(["context", "set", "staging", "--endpoint", "h:1"], monkeypatch).code == 0
    assert offered("list --context st") == ["staging"]
    assert offered("context use st") == ["staging"]
