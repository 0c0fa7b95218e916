"""Keeps this instance a candidate for leading the cluster, and the node told of who leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from meshcore.events import Event, LeaderSeen
from meshcore.kv import ANY, DELETE, Change, Deleted, Pair, Snapshot, Write
from meshcore.leadership import candidate, leader
from meshd.store.backoff import pause_s
from meshd.store.base import Session, Store, StoreError
from meshd.store.mirror import mirror

_log = logging.getLogger(__name__)


class Latch:
    """The candidates under ``prefix``, this instance's among them for as long as its session lasts.

    ``follow`` and ``stand`` run for ever, side by side. While its own lease cannot be proven to be alive this instance
    leads nobody, whatever the store said last: somebody else may.
    """

    def __init__(
        self, store: Store, prefix: str, session: Session, instance: str, tell: Callable[[Event], None], rng: Random
    ) -> None:
        self._store, self._prefix, self._session, self._instance = store, prefix, session, instance
        self._tell, self._rng = tell, rng
        self._name = candidate(instance)
        self._candidates: dict[str, Pair] = {}
        self._is_known = asyncio.Event()
        self._stir = asyncio.Event()
        self._told = ""
        self._is_going = False

    def resign(self) -> None:
        """Stand no longer, so that another leads before this instance is gone."""
        self._is_going = True
        self._stir.set()

    async def follow(self) -> None:
        """Keep the node told of who leads."""
        await mirror(
            self._store, self._prefix, self._on_snapshot, self._on_change,
            on_unavailable=lambda _: None, on_available=lambda: None, rng=self._rng,
        )  # fmt: skip

    async def stand(self) -> None:
        """Be a candidate under the present lease, again whenever that is another or the candidacy is gone."""
        await self._is_known.wait()
        failures = 0
        while True:
            self._stir.clear()
            self._tell_leader()
            try:
                await self._put_right()
                failures = 0
            except StoreError as away:
                failures += 1
                if failures == 1:
                    _log.warning("this instance cannot be a candidate for leading: %s", away)
                await asyncio.sleep(pause_s(failures, self._rng))
                continue
            await self._anything_new()

    async def _put_right(self) -> None:
        """Write, or delete, the candidacy if it is not as it should be. Raises StoreError."""
        key = self._prefix + self._name
        if self._is_going:
            if self._name in self._candidates:
                await self._store.commit(Write(key, ANY, DELETE))
        elif not self._session.lost.is_set() and not self._is_mine():
            await self._store.commit(Write(key, ANY, self._name.encode(), leased=True))

    def _is_mine(self) -> bool:
        """Whether the candidacy hangs on the present lease; one of a former lease may be over without any news."""
        held = self._candidates.get(self._name)
        return held is not None and held.lease == self._session.id

    async def _anything_new(self) -> None:
        """Wait for news of the candidates, or of the session."""
        session = self._session.resumed if self._session.lost.is_set() else self._session.lost
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._stir, session)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self._candidates.clear()
        for pair in filter(_can_be_named, snapshot.pairs):
            self._candidates[pair.key.removeprefix(self._prefix)] = pair
        self._is_known.set()
        self._changed()

    def _on_change(self, change: Change) -> None:
        for pair in filter(_can_be_named, change.pairs):
            name = pair.key.removeprefix(self._prefix)
            if isinstance(pair, Pair):
                self._candidates[name] = pair
            else:
                self._candidates.pop(name, None)
        self._changed()

    def _changed(self) -> None:
        self._tell_leader()
        self._stir.set()

    def _tell_leader(self) -> None:
        # What hangs on no lease is nobody's, and would lead for ever.
        leads = leader({name: pair.create for name, pair in self._candidates.items() if pair.lease})
        if leads == self._instance and (self._session.lost.is_set() or not self._is_mine()):
            leads = ""
        if leads != self._told:
            self._told = leads
            self._tell(LeaderSeen(leads))


def _can_be_named(pair: Pair | Deleted) -> bool:
    """Whether a key is text, as those of instances are."""
    try:
        pair.key.encode()
    except UnicodeEncodeError:
        return False
    return True
