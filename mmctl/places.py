"""Where on this machine mmctl keeps what is its own, for whoever has a home directory."""

from __future__ import annotations

import os
from pathlib import Path

from mmctl.errors import Usage


class NoHome(Usage):
    """The directory that is needed would be in a home directory, and there is none."""


def place(variable: str, below_home: str) -> Path:
    """The directory ``mmctl`` in the one that ``variable`` names, else in ``below_home`` of the home directory.

    Raises NoHome for a user whom the system does not know where neither ``HOME`` nor the variable is set.
    """
    if named := os.environ.get(variable):
        return Path(named) / "mmctl"
    try:
        return Path.home() / below_home / "mmctl"
    except RuntimeError:
        raise NoHome(f"this user has no home directory: set HOME or {variable}") from None


def absolute(path: Path) -> Path:
    """``path`` with the home directory in place of a ``~`` it begins with. Raises NoHome where there is none."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise NoHome(f"{path}: there is no such home directory; write the whole path, or set HOME") from None
