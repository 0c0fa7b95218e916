"""The ways a command can end badly, each with its exit code (docs/mmctl.md, exit codes)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CommandError(Exception):
    """What the user reads, in a sentence or a few lines, instead of a traceback."""

    exit_code = 1
    code = "INTERNAL"
    """The gRPC code of an outcome among others that it is the reason of."""


class Failed(CommandError):
    """It was tried and did not work."""

    exit_code = 1


class Usage(CommandError):
    """What was asked for makes no sense; nothing was tried."""

    exit_code = 2


class NotFound(CommandError):
    """What was named does not exist."""

    exit_code = 3
    code = "NOT_FOUND"


class Unavailable(CommandError):
    """Nobody answers who could do it."""

    exit_code = 4
    code = "UNAVAILABLE"


class Interrupted(CommandError):
    """The user ended it; what was finished is kept."""

    exit_code = 130


def exit_code(codes: Iterable[str]) -> int:
    """The exit code where things that were asked for did not work, by their gRPC codes; 0 where there are none.

    That nobody could do it, or that all of it does not exist, is told only where it is so of all of them.
    """
    match set(codes):
        case found if not found:
            return 0
        case found if found == {"NOT_FOUND"}:
            return NotFound.exit_code
        case found if found == {"UNAVAILABLE"}:
            return Unavailable.exit_code
    return Failed.exit_code


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word most like ``word``, or lists what is known."""
    choices = [str(choice) for choice in known]
    close = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(choices)}"
