"""A place for a mesh that the command line brings up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etcd import find_etcd
from tests.mmctl.meshes import left_running, mmctl


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A place for a mesh, which is taken down whatever happens."""
    find_etcd()
    yield tmp_path / "data"
    mmctl("down", "--data-dir", str(tmp_path / "data"))
    assert left_running(tmp_path / "data") == []
