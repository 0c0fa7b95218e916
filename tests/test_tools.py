"""Tools that a machine may not have: what wants them is left out and listed, or fails where all is required."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import kubectl, omitted
from tests.processes import GUARD_S


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_the_image_is_not_checked_where_no_container_can_be_had(tmp_path: Path, required: str, code: int) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "REQUIRE_ALL": required}
    command = [sys.executable, "-m", "tests.image"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=GUARD_S, check=False)
    said = "image-check: left out: this machine allows no user namespaces: unshare failed: Operation not permitted\n"
    assert (done.returncode, done.stderr) == (code, said)


def test_nothing_is_rendered_without_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(omitted, "OMITTED", Counter())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no kubectl on PATH"):
        kubectl.find_kubectl()
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no kubectl on PATH"):
        kubectl.find_kubectl()
