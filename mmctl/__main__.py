"""``mmctl``, and ``python -m mmctl``: runs a command and turns its end into an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

# gRPC reads it when it is imported. What is wrong is said in our own words.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from mmctl.app import app
from mmctl.errors import CommandError
from mmctl.output import say

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run(arguments: Sequence[str]) -> int:
    """The exit code of ``mmctl`` with ``arguments``: 0 done, 1 failed, 2 usage, 3 not found, 4 unavailable."""
    try:
        app(args=list(arguments), prog_name="mmctl")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CommandError as error:
        if "--debug" in arguments:
            raise
        say(f"error: {error}", style="red")
        return error.exit_code
    except Exception as error:
        if "--debug" in arguments:
            raise
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return _say_unwritten(error)
        say(f"error: {type(error).__name__}: {error} (a mistake of mmctl; --debug shows where)", style="red")
        return 1
    return 0


def main() -> None:
    """The console script."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (until the process ends)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Names may hold what the terminal's encoding cannot say.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        # Whoever reads our output has enough of it, or it has no room.
        if not isinstance(error, BrokenPipeError):
            code = code or _say_unwritten(error)
        # The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _say_unwritten(error: OSError) -> int:
    say(f"error: the output cannot be written: {error.strerror}", style="red")
    return 1


if __name__ == "__main__":
    main()
