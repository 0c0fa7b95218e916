"""Follows the file with the type constraints: others are in force as soon as it says so, and can be read."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Mapping

from meshcore.constraints import TypeConstraint
from meshd.config import ConfigError
from meshd.settings.forms import type_constraints
from meshd.settings.kinds import Unfit, contents

LOOK_S = 5.0
"""A change is in force after this at the latest; a ConfigMap itself takes up to a minute to reach its pods."""

_Constraints = Mapping[str, TypeConstraint]
_Stamp = tuple[str, int, int, int]

_log = logging.getLogger(__name__)


class File:
    """The file at ``path``; empty: there is none.

    It is looked at by its stamp: a ConfigMap changes by a symbolic link that comes to lead elsewhere, editors put
    another file in its place, others write into it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._found: _Constraints = {}
        self._told = ""

    def first(self, inline: _Constraints | None) -> _Constraints:
        """The constraints to begin with, the file's or those given ``inline``. Raises ConfigError."""
        if self._path:
            try:
                self._stamp = _stamp(self._path)
                self._found = _read(self._path)
            except Unfit as error:
                raise ConfigError([f"MM_TYPE_CONSTRAINTS_PATH: {error}"]) from error
        return self._found if inline is None else inline

    async def watch(self, tell: Callable[[_Constraints], None]) -> None:
        """Have ``tell`` told of the constraints whenever the file says others."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._path and (found := await asyncio.to_thread(self.look)) is not None:
                tell(found)

    def look(self) -> _Constraints | None:
        """What the file says now; None: what it said before, or nothing that can be read, which is logged once."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return None
            found = _read(self._path)
        except Unfit as error:
            self._stamp = None
            if str(error) != self._told:
                _log.warning("%s; the type constraints read before stay in force", error)
            self._told = str(error)
            return None
        self._stamp, self._told = stamp, ""
        if found == self._found:
            return None
        self._found = found
        _log.info("type constraints are read anew: %d types are listed", len(found))
        return found


def _stamp(path: str) -> _Stamp:
    try:
        is_at, found = os.path.realpath(path), os.stat(path)
    except OSError as error:
        raise Unfit(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):  # to read one may take for ever
        raise Unfit(f"{path} is not a file")
    return is_at, found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: str) -> _Constraints:
    try:
        return type_constraints(contents(path))
    except Unfit as error:
        text = str(error)
        raise Unfit(text if text.startswith(path) else f"{path}: {text}") from error
