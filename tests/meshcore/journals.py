"""Journals in memory, one for each node that was ever made, which begin a new file every so many lines."""

from __future__ import annotations

from random import Random

from meshcore.capacity import CacheParams
from meshcore.image import Image
from meshcore.journal import Header, Line, header_line, line_text, named_rules, state_line
from meshcore.me import Me
from meshcore.node import Node
from meshcore.recorder import RecordedNode
from meshcore.rules import Rules
from meshcore.settings import Settings

CORE = "1.0-abc"


class Journal:
    """Keeps what it is told as files of lines; ``most`` lines in each before the next begins, 0: one file."""

    def __init__(self, header: Header, most: int = 0) -> None:
        self._header, self._most = header, most
        self.files = [[header_line(header, header.me.start_ms), state_line(None)]]

    @property
    def wants_state(self) -> bool:
        return 0 < self._most <= len(self.files[-1]) - 2

    def take(self, line: Line) -> None:
        self.files[-1].append(line_text(line))

    def begin(self, state: Image, now: int) -> None:
        self.files.append([header_line(self._header, now), state_line(state.encode())])


class Journals:
    """Makes nodes that are recorded."""

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self.kept: list[Journal] = []

    def make(self, me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
        header = Header(CORE, me, settings, params, named_rules(Rules()), seed)
        self.kept.append(Journal(header, self._most))
        return RecordedNode(me, settings, params, Rules(), Random(seed), self.kept[-1])

    @property
    def files(self) -> list[list[bytes]]:
        """Every file of every node."""
        return [[line.encode() for line in file] for journal in self.kept for file in journal.files]
