"""Many records of a store changed in transactions, each record by compare-and-set: one that is in conflict, or that the
store refuses, holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from meshcore.kv import MOST_WRITES, Conflict, Pair, Write
from meshd.store.base import Store, StoreRefused

R = TypeVar("R")

MOST_BYTES = 512 << 10
"""Of one transaction, which has each key three times; etcd takes 1.5 MiB unless told otherwise."""

AT_ONCE = 8
"""Transactions on their way, so that the store works while the next are made up."""

MOST_TURNS = 20
"""So often one record is tried that others change at the same time."""


@dataclass(frozen=True, slots=True)
class Edit(Generic[R]):
    """What is to be done about one record, and what that comes to; without ``write`` it is so already, or cannot be."""

    write: Write | None
    result: R


@dataclass(frozen=True, slots=True)
class Editing(Generic[R]):
    """How records are changed: ``edit`` takes the place of a key and what the key holds, ``failed`` the place, a gRPC
    code and a text."""

    edit: Callable[[int, Pair | None], Edit[R]]
    failed: Callable[[int, str, str], R]


async def edited(store: Store, keys: Sequence[str], how: Editing[R]) -> AsyncGenerator[R, None]:
    """One result for each of ``keys``, which are different, in any order.

    Raises StoreUnavailable, and StoreRefused where the store refuses everything; what was told until then is done.
    """
    waiting = _batches([3 * len(key) for key in keys])
    running: set[asyncio.Task[list[R]]] = set()
    try:
        while True:
            for places in islice(waiting, AT_ONCE - len(running)):
                running.add(asyncio.create_task(_batch(store, keys, places, how)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            errors = [error for task in done if (error := task.exception()) is not None]
            for result in (result for task in done if task.exception() is None for result in task.result()):
                yield result
            if errors:
                raise errors[0]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _batches(sizes: Sequence[int]) -> Iterator[range]:
    """Places in a row that fit in one transaction; what alone is too large is one of its own."""
    first = size = 0
    for at, more in enumerate(sizes):
        if at > first and (at - first == MOST_WRITES or size + more > MOST_BYTES):
            yield range(first, at)
            first, size = at, 0
        size += more
    if first < len(sizes):
        yield range(first, len(sizes))


async def _batch(store: Store, keys: Sequence[str], places: range, how: Editing[R]) -> list[R]:
    found = {pair.key: pair for pair in (await store.read(*(keys[at] for at in places))).pairs}
    edits = {at: how.edit(at, found.get(keys[at])) for at in places}
    results = [edit.result for edit in edits.values() if edit.write is None]
    writing = [at for at, edit in edits.items() if edit.write is not None]
    for part in _batches([_size(edits[at].write) for at in writing]):
        results += await _written(store, {writing[at]: edits[writing[at]] for at in part}, how, 1)
    return results


def _size(write: Write | None) -> int:
    assert write is not None
    return 3 * len(write.key) + (len(write.value) if isinstance(write.value, bytes) else 0)


async def _written(store: Store, edits: dict[int, Edit[R]], how: Editing[R], turn: int) -> list[R]:
    """One transaction for all. Where some are in conflict the others go without them, and they from what is there now;
    where it is refused each goes alone."""
    writes = [edit.write for edit in edits.values() if edit.write is not None]
    try:
        done = await store.commit(*writes)
    except StoreRefused as refused:
        if refused.is_for_all:
            raise
        if len(edits) == 1:
            return [how.failed(at, "FAILED_PRECONDITION", str(refused)) for at in edits]
        return [result for at, edit in edits.items() for result in await _written(store, {at: edit}, how, turn)]
    if not isinstance(done, Conflict):
        return [edit.result for edit in edits.values()]
    free: dict[int, Edit[R]] = {}
    again: dict[int, Edit[R]] = {}
    results = []
    for (at, edit), write, pair in zip(edits.items(), writes, done.pairs, strict=True):
        if write.has_expected(pair):
            free[at] = edit
        elif (fresh := how.edit(at, pair)).write is None:
            results.append(fresh.result)
        elif turn >= MOST_TURNS:
            results.append(how.failed(at, "ABORTED", f"others changed it {turn} times meanwhile"))
        else:
            again[at] = fresh
    for part in (free, again):
        if part:
            results += await _written(store, part, how, turn + 1)
    return results
