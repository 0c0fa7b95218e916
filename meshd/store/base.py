"""What every store can do, and how it says that it cannot (docs/design.md, store)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from meshcore.kv import MOST_WRITES, Change, Committed, Conflict, Snapshot, Write

TABLE_S: Final = 3.5
"""Within this long a read or a commit has an answer or fails; so does the opening of a watch."""

OTHER_S: Final = 10.0
"""The same for a page of a snapshot and for a new lease."""


class StoreError(Exception):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """No answer in time. Of a commit it is not known whether it was done; what it was meant to do still can be."""


class SessionLost(StoreUnavailable):
    """What was to be written under the lease cannot be, for that is lost; the store itself may well be there."""


class StoreRefused(StoreError):
    """The store answered, and will not: a permission, a size, its space. To try again is no use.

    ``is_for_all``: nor would it anything else of the kind, until somebody does something about the store.
    """

    is_for_all = False


def checked_keys(keys: Sequence[str]) -> Sequence[str]:
    """The keys of one read; ValueError unless they are 1 to MOST_WRITES."""
    if not 1 <= len(keys) <= MOST_WRITES:
        raise ValueError(f"a read names 1 to {MOST_WRITES} keys, not {len(keys)}")
    return keys


class Session:
    """A lease that is kept alive, and replaced by a new one after it was lost.

    Of ``lost`` and ``resumed`` exactly one is set. ``lost`` is set before the server can have dropped the lease: what
    hangs on it may be gone from then on. ``resumed`` is set with a new ``id``: whatever was leased is to be written
    again. Who follows a session waits for ``lost``, then for ``resumed``, and again.
    """

    def __init__(self, lease: int) -> None:
        self.id = lease
        self.lost = asyncio.Event()
        self.resumed = asyncio.Event()
        self.resumed.set()

    def lose(self) -> None:
        """The lease can no longer be proven to be alive."""
        self.resumed.clear()
        self.lost.set()

    def resume(self, lease: int) -> None:
        """There is a new lease."""
        self.id = lease
        self.lost.clear()
        self.resumed.set()


class Store(Protocol):
    """A revisioned key-value store as ``meshcore.kv`` describes it, shared by all instances.

    Every method may raise StoreUnavailable or StoreRefused.
    """

    async def check(self, timeout_s: float) -> None:
        """Ask for any answer at all; StoreUnavailable, naming the endpoints, when there is none in time."""

    async def snapshot(self, prefix: str) -> Snapshot:
        """Every pair whose key starts with ``prefix``, all as of one revision: none before what anybody was told."""

    async def page(self, prefix: str, after: str, limit: int) -> Snapshot:
        """The first ``limit`` pairs whose key starts with ``prefix`` and comes after ``after``, all as of one revision.

        Fewer than ``limit``: there are no more.
        """

    async def read(self, *keys: str) -> Snapshot:
        """Those of 1 to MOST_WRITES ``keys`` that exist, linearisable: no older than anything that anybody was told."""

    def changes(self, prefix: str, after: int) -> AsyncGenerator[tuple[Change, ...], None]:
        """What is done to keys under ``prefix`` after revision ``after``: whole revisions, in order, none left out.

        It never ends by itself. An empty batch says that the watch stands (again). After StoreUnavailable the caller
        asks for another from the last revision it was given.

        Raises:
            Compacted: part of it is gone, or the store was put back to an earlier state.
        """

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """Do all writes at one revision, or none.

        When an answer is lost the store is asked again, and finding exactly what was to be written is success.

        Raises:
            SessionLost: a leased write while the session is lost.
            ValueError: see ``meshcore.kv.checked``; a leased write without a session.
        """

    def session(self, ttl_s: int) -> AbstractAsyncContextManager[Session]:
        """Hold a lease of ``ttl_s`` seconds (the store may grant more), which leased writes hang on; one at a time.

        It is revoked at the end of the block.
        """

    async def close(self) -> None:
        """Give up all connections; whatever still waits fails with StoreUnavailable."""
