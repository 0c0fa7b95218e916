"""Words for tests of the copies of one node."""

from __future__ import annotations

from meshcore.asks import Kind, Op, Request
from meshcore.entry import State
from meshcore.events import (
    Drained,
    Unloaded,
)
from meshcore.units import UNIT_BYTES
from tests.builders import model
from tests.invariants import check_cache
from tests.meshcore.lone import Lone

SPACE_WAIT_MS = 180_000


def ask(lone: Lone, name: str, units: int, **fields: object) -> int:
    """A load of a model of a known size, written in its record; its gen."""
    lone.know(name, model(size_bytes=units * UNIT_BYTES, **fields))
    lone.ask(Request(name, Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    return lone.node.cache.entries[name].gen


def unload(lone: Lone, name: str, gen: int) -> None:
    """The runtime gives a copy's memory back that was let go."""
    lone.feed(Drained(name, gen))
    lone.feed(Unloaded(name, gen))


def states(lone: Lone) -> dict[str, State]:
    check_cache(lone.node.cache)
    return {name: entry.state for name, entry in lone.node.cache.entries.items()}
