"""What image/build lays down: everything in its place, for whichever user the cluster picks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.image.pod import HOME


def test_the_group_may_what_the_owner_may(tree: Path) -> None:
    """OpenShift runs it as a user that no image knows, with group 0."""
    wrong = []
    for directory, names, files in os.walk(tree / HOME):
        for name in (*names, *files):
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and (mode >> 6) & 7 != (mode >> 3) & 7:
                wrong.append(str(path))
    assert wrong == []


def test_everything_is_where_manifests_expect_it(tree: Path) -> None:
    home = tree / HOME
    assert sorted(path.name for path in home.iterdir()) == [
        "build-version", "lib", "log", "meshd", "mmctl", "model-mesh.anchor", "runtimes.fake", "runtimes.onnx",
        "start.sh", "stop.sh",
    ]  # fmt: skip
    assert (tree / "opt/kserve/tas").readlink() == Path("mmesh")
    assert all(os.access(home / name, os.X_OK) for name in ("start.sh", "stop.sh", "meshd", "mmctl"))
    assert list((home / "log").iterdir()) == []


def test_packages_are_compiled_and_their_scripts_left_out(tree: Path) -> None:
    """A read-only root keeps no bytecode; scripts name the Python that they were installed by."""
    lib = tree / HOME / "lib"
    assert not (lib / "bin").exists()
    for package in ("meshd", "meshcore", "mmctl", "runtimes", "protos"):
        assert list((lib / package / "__pycache__").glob("*.pyc")), package
