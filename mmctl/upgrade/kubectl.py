"""Runs kubectl, and turns what it says when it fails into errors that tell what passes and what does not."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mmctl.errors import CommandError, Failed, NotFound, Unavailable, Usage

ANSWER_S = 30.0
"""No call of kubectl takes longer; the server gets somewhat less."""
_REQUEST_S = 20
_MOST_SAID = 500
_NO_PROGRAM = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP}
"""Why what --kubectl names can never be run. All else passes: too many processes or open files, no memory."""
_PASSES = (
    "connection refused", "unable to connect to the server", "i/o timeout", "tls handshake timeout", "no such host",
    "context deadline exceeded", "client.timeout exceeded", "connection reset", "was refused - did you specify",
    "the server is currently unable", "too many requests", "etcdserver:", "http2: client connection lost",
    "unable to return a response in the time allotted", "unexpected eof",
)  # fmt: skip
"""What kubectl's words have in them when the API server could not be asked just now."""


def find(binary: str) -> str:
    """The path of kubectl; Usage where there is none."""
    found = shutil.which(binary)
    if found is None:
        raise Usage(f"{binary} is not there: install kubectl, or name it with --kubectl")
    return found


class Kubectl:
    """One kubectl for one namespace of one cluster."""

    def __init__(self, binary: str, namespace: str = "", context: str = "") -> None:
        """Empty: those of kubectl's own configuration."""
        self._command = [binary, *(["--context", context] if context else [])]
        self._command += ["--namespace", namespace] if namespace else []

    async def run(self, *arguments: str) -> str:
        """What it prints.

        Raises Unavailable (this may pass), NotFound, Failed (no permission, and all else), Usage (no such program).
        """
        command = [*self._command, f"--request-timeout={_REQUEST_S}s", *arguments]
        starting = asyncio.ensure_future(asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        ))  # fmt: skip
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # asyncio would wait for all that it has started
            await asyncio.wait([starting])
            if starting.exception() is None:
                await _end(starting.result())
            raise
        except OSError as error:
            text = f"{command[0]} cannot be run: {error.strerror}"
            raise (Usage if error.errno in _NO_PROGRAM else Unavailable)(text) from None
        try:
            out, err = await asyncio.wait_for(process.communicate(), ANSWER_S)
        except TimeoutError:
            await _end(process)
            raise Unavailable(f"kubectl {arguments[0]} said nothing for {ANSWER_S:g} s") from None
        except asyncio.CancelledError:
            await _end(process)
            raise
        if process.returncode:
            raise failure(arguments, err.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace")

    async def read(self, *arguments: str) -> dict[str, Any]:
        """The object that it prints with ``-o json``."""
        said = await self.run(*arguments, "-o", "json")
        try:
            value = json.loads(said)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Failed(f"kubectl {arguments[0]} did not answer with a JSON object: {said[:_MOST_SAID]!r}")
        return value


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it and all that it has started: a plugin for credentials that hangs would keep its output open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def failure(arguments: Sequence[str], said: str) -> CommandError:
    """The error that kubectl's words on stderr come to."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = f"kubectl {' '.join(arguments[:3])}: {' '.join(lines[-2:])[:_MOST_SAID] or 'failed without a word'}"
    low = said.lower()
    if "(forbidden)" in low or "is forbidden" in low:
        return Failed(f"no permission; {text}")
    if any(words in low for words in _PASSES):
        return Unavailable(text)
    if "(notfound)" in low or "not found" in low:
        return NotFound(text)
    return Failed(text)
