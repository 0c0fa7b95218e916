"""The journal of this instance: a thread writes what the node was asked and answered to files of bounded size.

Requests never wait for it. What it cannot write it says is missing, and goes on in a new file or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from queue import SimpleQueue
from random import Random

from meshcore.capacity import CacheParams
from meshcore.image import Image
from meshcore.journal import (
    Header,
    Left,
    Line,
    fingerprint,
    gap_line,
    header_line,
    line_text,
    named_rules,
    state_line,
)
from meshcore.me import Me
from meshcore.node import Node
from meshcore.recorder import RecordedNode
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshd.linefile import LineFile, path_of, put_aside

FILE_BYTES = 64 << 20
"""A file that has grown by this much, and by no less than its state takes, is followed by another."""
QUEUED_MOST = 50_000
"""Lines that wait to be written; with more the journal does not keep up."""
CLOSE_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begin:
    """A file begins; ``gap``: since when and until when nothing is known before it."""

    state: Image | None
    now: int
    gap: tuple[int, int] | None = None


class _Close:
    """Nothing more comes."""


class Journal:
    """A recorder's sink; ``take`` and ``begin`` are called in the loop and never wait."""

    def __init__(
        self, path: Path, header: Header, file_bytes: int = FILE_BYTES, queued_most: int = QUEUED_MOST
    ) -> None:
        self._path, self._header = path, header
        self._file_bytes, self._queued_most = file_bytes, queued_most
        self._queue: SimpleQueue[Line | _Begin | _Close] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._file: LineFile | None = None
        self._until = header.me.start_ms
        """The instant of the line written last."""
        self._is_full = False
        self._is_beginning = False
        """Another file was asked for, and lines from before are still to be written to this one."""
        self._is_stopped = False
        self._lost_since: int | None = None

    # -- in the loop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with a node fresh from its constructor."""
        self._queue.put(_Begin(None, self._header.me.start_ms))
        self._thread.start()

    @property
    def wants_state(self) -> bool:
        """Whether the file is full, or what was lost is behind it."""
        is_behind_it = self._lost_since is not None and self._queue.empty()
        return not self._is_beginning and (self._is_full or is_behind_it)

    def take(self, line: Line) -> None:
        """Write ``line``, or lose it and all that follows until the next file begins."""
        if self._is_stopped or self._lost_since is not None:
            return
        if self._queue.qsize() >= self._queued_most and not isinstance(line, Left):
            self._lost_since = line.now
            _log.warning("%s does not keep up: what happens now is missing there", self._path)
            return
        self._queue.put(line)

    def begin(self, state: Image, now: int) -> None:
        """Go on in a new file, with ``state``."""
        gap = (self._lost_since, now) if self._lost_since is not None else None
        self._lost_since = None
        if not self._is_stopped:
            self._is_beginning = True
            self._queue.put(_Begin(state, now, gap))

    async def close(self) -> None:
        """Write what is left."""
        self._queue.put(_Close())
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    # -- in the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not isinstance(item := self._queue.get(), _Close):
                self._write(item)
                if self._file is not None and self._queue.empty():
                    self._file.flush()
            if self._file is not None:
                self._file.close()
        except Exception as problem:  # whatever it is, the mesh goes on
            self._stop(problem)

    def _write(self, item: Line | _Begin) -> None:
        if isinstance(item, _Begin):
            self._next_file(item)
            return
        assert self._file is not None
        self._file.write(line_text(item))
        if not isinstance(item, Left):
            self._until = item.now
        if not self._is_full and self._file.grown() > max(self._file_bytes, self._file.began):
            self._is_full = True

    def _next_file(self, item: _Begin) -> None:
        if self._file is not None:
            if item.gap is not None:
                self._file.write(gap_line("the journal did not keep up", *item.gap))
            self._file.close()
        put_aside(self._path)
        self._file = LineFile(self._path)
        self._file.write(header_line(self._header, item.now))
        self._file.write(state_line(item.state.encode() if item.state is not None else None))
        self._file.begin()
        self._until = item.now
        self._is_full = False
        self._is_beginning = False  # last: the loop looks at this first

    def _stop(self, problem: Exception) -> None:
        self._is_stopped, self._is_full, self._lost_since = True, False, None
        why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        _log.warning("the journal %s ends: %s", self._path, why)
        if self._file is not None:
            try:
                self._file.write(gap_line(why, self._until, None))
                self._file.close()
            except Exception:  # what kept it from writing may well keep it from saying so
                _log.debug("nor can it say so", exc_info=True)
        while not isinstance(self._queue.get(), _Close):
            pass


def core_version() -> str:
    """The version of the rules that this process goes by."""
    return fingerprint(version("meshd"), _sources())


def _sources() -> Iterable[bytes]:
    sources = (source for source in files("meshcore").iterdir() if source.name.endswith(".py"))
    return (source.read_bytes() for source in sorted(sources, key=lambda source: source.name))


def make_node(
    journal_path: str, me: Me, settings: Settings, params: CacheParams, rules: Rules, seed: int
) -> tuple[Node, Journal | None]:
    """A node, with a journal that has started if there is a path for one; ``close`` it after the node's last step."""
    if not journal_path:
        return Node(me, settings, params, rules, Random(seed)), None
    path = path_of(journal_path, me.instance)
    journal = Journal(path, Header(core_version(), me, settings, params, named_rules(rules), seed))
    journal.start()
    return RecordedNode(me, settings, params, rules, Random(seed), journal), journal
