"""Long lists on a terminal, a screen at a time: through $MMCTL_PAGER, $PAGER or less."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mmctl.output import Form, say


class _Pipe(io.TextIOWrapper):
    """The way to the pager; what is written there is looked at on a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged(form: Form) -> Iterator[None]:
    """What the block writes to stdout goes through the pager, where a person reads it on a terminal.

    When the person has seen enough, the block ends early, and well.
    """
    is_wanted = form in (Form.TABLE, Form.WIDE) and sys.stdin.isatty() and sys.stdout.isatty()
    command = _command() if is_wanted else []
    if not command:
        yield
        return
    # less: what fits on a screen is shown without waiting for a key, colours pass, and it stays when less ends.
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": "FRX", **os.environ})
    except OSError as error:
        say(f"pager {command[0]}: {error.strerror or error}; shown without one", style="yellow")
        yield
        return
    assert pager.stdin is not None
    before = sys.stdout
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the pager's to say what Ctrl-C does
    sys.stdout = pipe = _Pipe(pager.stdin, encoding="utf-8", errors="backslashreplace")
    try:
        with suppress(BrokenPipeError):
            yield
        with suppress(BrokenPipeError):
            pipe.close()
    finally:
        sys.stdout = before
        with suppress(OSError):
            pager.stdin.close()
        pager.wait()
        signal.signal(signal.SIGINT, interrupt)


def _command() -> list[str]:
    """The pager with its arguments; empty: none."""
    said = next((os.environ[name] for name in ("MMCTL_PAGER", "PAGER") if name in os.environ), None)
    if said is not None:
        try:
            return [] if said.strip() in ("", "cat") else shlex.split(said)
        except ValueError as error:
            say(f"pager {said}: {error}; shown without one", style="yellow")
            return []
    return ["less"] if shutil.which("less") else []
