"""A mesh on this machine is upgraded under load by the command line: nobody notices, whatever becomes of it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmctl.__main__ import run
from mmctl.local import ports
from mmctl.local.home import Home
from mmctl.local.state import State
from tests.etcd import find_etcd
from tests.mmctl.meshes import MMCTL
from tests.ports import UP
from tests.steady import Load

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.long]

NAMES = [f"model-{number}" for number in range(6)]
RATE = 30
FAST = ("--settle", "1ms")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mmctl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command on a mesh of one instance, all models loaded; exit code, stdout, stderr."""
    monkeypatch.setattr(ports, "RANGE", UP)
    find_etcd()

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--data-dir", str(tmp_path / "data")])
        said = capsys.readouterr()
        return code, said.out, said.err

    models = tmp_path / "models.jsonl"
    models.write_text("\n".join(json.dumps({"name": name, "type": "fake"}) for name in NAMES), "utf-8")
    try:
        up = ("up", "--detach", "--instances", "1", "--runtime", "fake", "--capacity", "64MiB")
        for arguments in (up, ("register", "-f", str(models)), ("load", "--wait", *NAMES)):
            code, _, err = command(*arguments)
            assert code == 0, err
        yield command
    finally:
        command("down")


def status(mmctl: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mmctl("upgrade", "status", "-o", "json")[1])
    return found


def state(data_dir: Path) -> State:
    found = Home(data_dir).read()
    assert found is not None
    return found


def test_it_is_done_or_undone_under_load_and_outlives_its_mmctl(mmctl: Command, tmp_path: Path) -> None:
    """To a version that works; then to one whose loads fail: it holds, its mmctl is killed, another one goes back."""
    data_dir = tmp_path / "data"
    with Load(Home(data_dir), RATE, NAMES) as load:
        code, _, err = mmctl("upgrade", "start", "--version", "2", *FAST)
        assert code == 0, err
        assert state(data_dir).instances == ("mesh-1",)
        assert {service.instance for service in state(data_dir).former} == {"mesh-0"}

        command = [*MMCTL, "upgrade", "start", "--data-dir", str(data_dir), "--version", "3"]
        command += ["--runtime-arg=--fail=INTERNAL", *FAST]
        runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert runner.stderr is not None
        assert any(line.startswith("held: ") for line in runner.stderr)
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
        found = status(mmctl)
        assert (found["phase"], found["from"], found["to"], found["held_for"]) == ("held", "2", "3", "failed")
        assert "fail to load on new instances (limit 2): model-" in found["reason"]
        code, _, err = mmctl("upgrade", "start", "--version", "4")
        assert (code, "an upgrade to 3 is under way (held)" in err) == (1, True)
        assert f"(pid {runner.pid})" in found["last_runner"]
        code, _, err = mmctl("upgrade", "abort")
        assert code == 0, err
    assert load.failures == []
    assert len(load.took_ms) > RATE
    assert status(mmctl)["phase"] == "rolled_back"
    assert [one["version"] for one in json.loads(mmctl("instances", "-o", "json")[1])] == ["2"]
