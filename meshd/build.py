"""Which build this is, and the number that tells the newer of two."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

FILE = "build-version"
"""What an image says of its build, in its first line; below that lines as in ``commit=4f1c2d``."""


def version_number(text: str) -> int:
    """The number of a build, greater is newer; 0: unknown (docs/design.md, versions).

    ``<anything>-<yyyymmdd>-<n>`` and ``<yyyymmdd>-<hhmm>[-<n>]`` are the epoch milliseconds of that moment (UTC) plus
    ``n``. A prefix up to ``=`` and all from the first blank on are ignored.
    """
    build = _bare(text)
    named = re.fullmatch(r".+-(\d{8})-(\d+)", build, re.ASCII)
    dated = re.fullmatch(r"(\d{8})-(\d{4})(?:-(\d+))?", build, re.ASCII)
    try:
        if named:
            return _epoch_ms(named[1], "0000") + int(named[2])
        if dated:
            return _epoch_ms(dated[1], dated[2]) + int(dated[3] or 0)
    except ValueError:
        pass
    return 0


def installed_build(directory: str) -> str:
    """The build that is installed in ``directory`` (empty: the working directory); empty: nothing says which."""
    try:
        return _bare((Path(directory) / FILE).read_text("utf-8").partition("\n")[0])
    except (OSError, UnicodeDecodeError):
        return ""


def described(directory: str) -> str:
    """What is installed in ``directory`` as words that go on after a version; empty: nothing says which."""
    try:
        lines = (Path(directory) / FILE).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    said = [("build", installed_build(directory)), *(line.partition("=")[::2] for line in lines[1:])]
    words = ", ".join(f"{name.strip()} {value.strip()}" for name, value in said if value.strip())
    return f" ({words})" if words else ""


def _bare(text: str) -> str:
    return (text.split() or [""])[0].rpartition("=")[2]


def _epoch_ms(day: str, minute: str) -> int:
    return int(datetime.strptime(day + minute, "%Y%m%d%H%M").replace(tzinfo=UTC).timestamp()) * 1000
