"""Asking a person before something is done that cannot be taken back."""

from __future__ import annotations

import sys

from mmctl.errors import Failed, Usage


def confirm(what: str, yes: bool) -> None:
    """Ask on the terminal whether ``what`` shall be done, unless ``yes``.

    Raises Usage where nobody can answer, as stdin is no terminal; Failed where the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Usage(f"{what}: nobody can be asked, as stdin is no terminal; --yes does it without")
    sys.stderr.write(f"{what}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failed("nothing was done")
