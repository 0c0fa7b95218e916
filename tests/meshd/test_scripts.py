"""start.sh and stop.sh as the image has them, laid beside this checkout's packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import GUARD_S, Server, fake_runtime, free_port, got

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the image is installed."""
    home = tmp_path / "mmesh"
    (home / "lib").mkdir(parents=True)
    (home / "log").mkdir()
    for name in ("start.sh", "stop.sh", "meshd"):
        shutil.copy2(ROOT / "image" / name, home / name)
    for package in ("meshd", "meshcore", "protos"):
        (home / "lib" / package).symlink_to(ROOT / package)
    (home / "model-mesh.anchor").symlink_to("log/model-mesh.anchor")
    (home / "build-version").write_text("20260102-1504\n")
    return home


def settings() -> dict[str, str]:
    names = ("MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT")
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MM_SERVICE_NAME": "mm", "KV_STORE": "memory",
        "MM_BIND": "127.0.0.1", "MM_METRICS": "disabled", "MM_PRESTOP_WAIT_PORT": "NONE",
        **{name: str(free_port()) for name in names},
    }  # fmt: skip


@pytest.fixture
def started(home: Path, tmp_path: Path) -> Iterator[Server]:
    """An instance that start.sh has started, ready."""
    port, env = free_port(), settings()
    runtime = fake_runtime("r", port, tmp_path / "runtime.log", "--capacity=64MiB")
    meshd = Server("meshd", [str(home / "start.sh")], tmp_path / "meshd.log", {**env, "INTERNAL_GRPC_PORT": str(port)})
    runtime.start()
    meshd.start()
    meshd.until(lambda: got(f"http://127.0.0.1:{env['MM_PROBE_PORT']}/ready")[0] == 200, "/ready")
    yield meshd
    meshd.kill()
    runtime.kill()


def run(script: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit code and what it says, both outputs together."""
    done = subprocess.run(
        [script, *arguments], env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, timeout=GUARD_S,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_stop_ends_what_start_has_started(home: Path, started: Server) -> None:
    anchor = home / "log/model-mesh.anchor"
    assert started.process_id == int(anchor.read_text())
    assert run(home / "stop.sh") == (0, "")
    assert not anchor.exists()
    assert started.wait() == 0
    assert "told to stop: the anchor file" in started.said()
    assert run(home / "stop.sh", "wait") == (
        1, f"stop.sh: {home}/model-mesh.anchor names no process, so there is nothing to stop\n"
    )  # fmt: skip


def test_stop_with_wait_returns_when_the_process_is_gone(home: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        (home / "log/model-mesh.anchor").write_text(f"{process.pid}\n")
        with subprocess.Popen([home / "stop.sh", "wait"]) as stop:
            while (home / "log/model-mesh.anchor").exists():
                assert stop.poll() is None
            assert stop.poll() is None, "the process is still there"
            process.kill()
            process.wait(GUARD_S)
            assert stop.wait(GUARD_S) == 0


@pytest.mark.parametrize("arguments", [("now",), ("wait", "wait")])
def test_stop_takes_one_word_only(home: Path, arguments: tuple[str, ...]) -> None:
    (home / "log/model-mesh.anchor").write_text("1\n")
    assert run(home / "stop.sh", *arguments) == (2, "usage: stop.sh [wait]\n")
    assert (home / "log/model-mesh.anchor").exists()


@pytest.mark.parametrize("text", ["", "-1\n", "1 2\n", "rm\n"])
def test_stop_signals_nobody_that_an_anchor_does_not_name(home: Path, text: str) -> None:
    (home / "log/model-mesh.anchor").write_text(text)
    code, said = run(home / "stop.sh", "wait")
    assert (code, "names no process" in said) == (1, True)


def test_start_without_a_place_for_its_anchor_says_so_and_goes_on(home: Path) -> None:
    (home / "log").rmdir()
    (home / "meshd").write_text('#!/bin/sh\necho "anchor: $MM_ANCHOR_FILE, arguments: $*"\n')
    code, said = run(home / "start.sh", "--config", "a b")
    assert code == 0
    assert f"start.sh: {home}/model-mesh.anchor cannot be written" in said
    assert "anchor: , arguments: --config a b" in said


def test_the_programs_of_the_image_run_from_anywhere_by_any_link(home: Path, tmp_path: Path) -> None:
    (home / "elsewhere").symlink_to("meshd")
    (tmp_path / "tas").symlink_to("mmesh")
    code, said = run(tmp_path / "tas/meshd", "--version", PATH=settings()["PATH"])
    assert (code, said.startswith("meshd "), said.endswith("(build 20260102-1504)\n")) == (0, True, True), said
    code, said = run(home / "elsewhere", PATH=settings()["PATH"])
    assert (code, "No module named elsewhere" in said) == (1, True)


def test_the_image_is_built_into_an_empty_directory_only(home: Path, tmp_path: Path) -> None:
    build = ROOT / "image/build"
    assert run(build) == (2, "usage: image/build DIRECTORY [EXTRA...]\n")
    (tmp_path / "root/opt/kserve").mkdir(parents=True)
    home.rename(tmp_path / "root/opt/kserve/mmesh")
    code, said = run(build, str(tmp_path / "root"))
    assert (code, said) == (
        1,
        f"image/build: {tmp_path}/root/opt/kserve/mmesh is there already; name an empty directory\n",
    )
