"""`make image-check`: builds what the image holds into a clean directory, and runs it as a container would be run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.image import TREE
from tests.image.pod import REPOSITORY

NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "--net")
BUILD = {"imageVersion": "9.8.7", "buildId": "20260102-1504", "commitSha": "4f1c2d"}


def main() -> int:
    """Exit code: that of pytest; 0 where it is left out and may be."""
    if why := _hindrance():
        print(f"image-check: left out: {why}", file=sys.stderr)
        return int(os.environ.get("REQUIRE_ALL") == "1")
    with TemporaryDirectory(prefix="meshd-image-") as scratch:
        tree = Path(scratch, "tree")
        print(f"building the image's tree in {tree}, which takes a minute or two", file=sys.stderr)
        env = {**os.environ, **BUILD, "PYTHON": sys.executable}
        built = subprocess.run([REPOSITORY / "image/build", tree], env=env, check=False)
        if built.returncode:
            print("image-check: image/build failed", file=sys.stderr)
            return 1
        tests = [sys.executable, "-m", "pytest", "tests/image", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*NAMESPACES, *tests], cwd=REPOSITORY, env={**env, TREE: str(tree)}, check=False
        ).returncode


def _hindrance() -> str:
    """Why a container cannot be had here; empty: it can. Within such namespaces others have to be allowed too."""
    inner = ("unshare", "--user", "--map-user=1000", "--map-group=0", "setpriv", "--no-new-privs", "true")
    try:
        tried = subprocess.run([*NAMESPACES, *inner], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"there is no {error.filename} (Debian: util-linux)"
    return f"this machine allows no user namespaces: {tried.stderr.strip()}" if tried.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
