"""A container without an engine: the image's tree as its root, an arbitrary user with group 0, no capabilities.

For a process that is root of namespaces of its own (``tests.image.__main__``), network included: the ports that
manifests name are nobody else's there. What is laid read-only cannot be written by whoever owns it outside either.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes import GUARD_S

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = "opt/kserve/mmesh"
USER = 1_000_650_000
"""As OpenShift gives them out."""
ADDRESS = "127.0.0.7"
"""The pod's; all of 127.0.0.0/8 is there without being set up."""

BASE_PATH = f"{sys.base_prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the base image has its programs, and this machine what stands for it."""

_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1
_PARENT_DEATH_SIGNAL = 1
_KEPT = {os.ST_NOSUID: "nosuid", os.ST_NODEV: "nodev", os.ST_NOEXEC: "noexec", os.ST_NOATIME: "noatime",
         os.ST_RELATIME: "relatime"}  # fmt: skip
"""What a mount inherits from a namespace with more rights, and only that one may drop."""

_ENTER = """
set -e
cd "$0"
pivot_root . .before
cd /
umount -l /.before
if [ "$1" = ro ]; then mount -o remount,bind,ro /; fi
cd "$2"
shift 2
exec "$@"
"""


def bring_up_network() -> None:
    """Switch on the loopback interface of a network namespace that is new."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        found = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", found)[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _IS_UP))


class Image:
    """What the Dockerfile says of how the image is run: ``environment``, ``command``, ``directory``."""

    def __init__(self) -> None:
        text = (REPOSITORY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
        last_stage = text.rpartition("\nFROM ")[2]
        said = dict(line.split(None, 1) for line in last_stage.splitlines() if re.match(r"(ENV|CMD|WORKDIR) ", line))
        self.environment = dict(pair.split("=", 1) for pair in said["ENV"].split())
        self.environment["PATH"] = self.environment["PATH"].replace("$PATH", BASE_PATH)
        self.command: list[str] = json.loads(said["CMD"])
        self.directory = said["WORKDIR"].strip()


class Container:
    """One container on the tree at ``tree``; ``root`` is an empty directory.

    ``is_read_only``: nothing can be written but ``log`` and the termination message, as in kustomize/base;
    else what the mode of a file allows, as where the ModelMesh Serving controller writes the manifest.
    """

    def __init__(self, tree: Path, root: Path, is_read_only: bool) -> None:
        self._root, self._is_read_only = root, is_read_only
        self._image = Image()
        self._environment = self._image.environment
        self._process: subprocess.Popen[str] | None = None
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
        (root / ".before").mkdir()
        self._lay_system()
        self._lay_tree(tree / HOME)
        if is_read_only:
            _mount("-t", "tmpfs", "-o", "mode=777", "tmpfs", str(root / HOME / "log"))

    def volume(self, path: str, files: Mapping[str, str]) -> None:
        """Files of a secret or a ConfigMap, as the kubelet lays them: linked to the generation that is in force."""
        where = self._root / path.removeprefix("/")
        (where / "..2026_01_02").mkdir(parents=True)
        (where / "..data").symlink_to("..2026_01_02")
        for name, text in files.items():
            (where / "..data" / name).write_text(text, "utf-8")
            (where / name).symlink_to(f"..data/{name}")

    def shared(self, path: str, source: Path) -> None:
        """An emptyDir that another container has too, there as the directory ``source``."""
        where = self._root / path.removeprefix("/")
        where.mkdir(parents=True)
        _mount("--bind", str(source), str(where))

    def start(self, environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
        """The image's own command with ``environment`` beside the image's own; all that it says goes to ``log``."""
        mode = "ro" if self._is_read_only else "rw"
        enter = ["unshare", "--mount", "sh", "-c", _ENTER, str(self._root), mode, self._image.directory]
        user = ["unshare", "--user", f"--map-user={USER}", "--map-group=0", "setpriv", "--no-new-privs"]
        self._environment = {**self._image.environment, **environment}
        with log.open("w", encoding="utf-8") as said:
            self._process = subprocess.Popen(
                [*enter, *user, *self._image.command], env=self._environment, text=True,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=_dies_with_parent,
            )  # fmt: skip
        return self._process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the running container, as ``kubectl exec`` and hooks run it."""
        assert self._process is not None
        enter = ["nsenter", f"--target={self._process.pid}", "--user", "--preserve-credentials", "--mount", "--wd"]
        return subprocess.run(
            [*enter, *command], env=self._environment, capture_output=True,
            text=True, timeout=GUARD_S, check=False,
        )  # fmt: skip

    def termination_message(self) -> str:
        return (self._root / "dev/termination-log").read_text("utf-8")

    def _lay_system(self) -> None:
        """The base image's part: this machine's programs and its Python."""
        for name in ("usr", "bin", "sbin", "lib", "lib64", "etc/ssl", sys.base_prefix.removeprefix("/")):
            source, target = Path("/", name), self._root / name
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.exists() and not target.exists():
                _lay(source, target)
        for name in ("null", "zero", "urandom", "random"):
            _lay(Path("/dev", name), self._root / "dev" / name, can_write=True)
        message = self._root / "dev/termination-log"
        message.touch()
        message.chmod(0o666)
        if self._is_read_only:
            _mount("--bind", str(message), str(message))
        _lay(Path("/proc"), self._root / "proc", can_write=True)

    def _lay_tree(self, home: Path) -> None:
        target = self._root / HOME
        shutil.copytree(home, target, symlinks=True, ignore=shutil.ignore_patterns("lib"))
        _lay(home / "lib", target / "lib")
        (self._root / "opt/kserve/tas").symlink_to("mmesh")


def _lay(source: Path, target: Path, can_write: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount("--rbind", str(source), str(target))
    if not can_write:
        flags = os.statvfs(target).f_flag
        kept = [name for flag, name in _KEPT.items() if flags & flag]
        _mount("-o", ",".join(("remount", "bind", "ro", *kept)), str(target))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=GUARD_S)


def _dies_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
