"""The record of a mesh's upgrade in etcd, written by one mmctl at a time, which a lease makes known as alive."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from meshcore.kv import ABSENT, KEEP, Conflict, Pair, Write
from meshd.store.base import Session, SessionLost, Store, StoreError, StoreUnavailable
from mmctl.errors import Failed, Unavailable
from mmctl.upgrade.record import Upgrade

RUNNER_TTL_S = 5
"""Whoever carries an upgrade out and is gone without a word counts as there for so long."""
_BACK_S = 30.0
_ATTEMPTS = 20


class Busy(Failed):
    """Another mmctl is at it."""

    def __init__(self, runner: str) -> None:
        super().__init__(f"an upgrade is under way, carried out by {runner}")
        self.runner = runner


def myself() -> str:
    """This process, for people and unlike any other."""
    return f"{os.environ.get('USER') or 'uid ' + str(os.getuid())}@{socket.gethostname()} (pid {os.getpid()})"


class Ledger:
    """Reads the record, and writes it: as the runner, whose right to it is checked by the write itself, or to ask."""

    def __init__(self, store: Store, root: str) -> None:
        """``root`` is what all keys of the mesh begin with."""
        # Neither ModelMesh nor meshd looks below this: each follows registry/, vmodels/, instances/, config/ by name.
        self._key, self._runner_key = f"{root}/mmctl/upgrade", f"{root}/mmctl/upgrade-runner"
        self._store = store
        self._mod = ABSENT
        self._runner_mod = ABSENT
        self._me = b""
        self._lease = 0
        self._session: Session | None = None

    async def read(self) -> Upgrade | None:
        """The upgrade that is under way, or was last; None: there never was any. Failed where it cannot be read."""
        return self._decoded(await self._pair(self._key))

    async def runner(self) -> str:
        """Who carries it out now; empty: nobody."""
        pair = await self._pair(self._runner_key)
        return _named(pair)

    @asynccontextmanager
    async def claimed(self) -> AsyncIterator[None]:
        """Only this process carries the upgrade out until the end of the block. Busy when another does."""
        self._me = f"{myself()}\n{secrets.token_hex(8)}".encode()
        try:
            async with self._store.session(RUNNER_TTL_S) as self._session:
                await self._claim()
                yield
        except StoreError as error:
            raise _told(error) from None
        finally:
            self._session, self._runner_mod = None, ABSENT

    async def keep(self) -> None:
        """Claim it again where the lease had to be replaced: whoever looks finds this process at it. Busy when another
        has taken over, Unavailable when etcd is not there."""
        assert self._session is not None
        if self._session.lost.is_set() or self._session.id != self._lease:
            await self._back()

    async def put(self, upgrade: Upgrade) -> Upgrade | None:
        """Write the record, as the runner; None, with nothing written, when somebody wrote it since it was read.

        Raises Busy when another has taken over, Unavailable when etcd is not there.
        """
        for _ in range(_ATTEMPTS):
            written = replace(upgrade, runner=_named_bytes(self._me))
            write = Write(self._key, self._mod, written.encode())
            try:
                done = await self._store.commit(write, Write(self._runner_key, self._runner_mod, KEEP))
                if isinstance(done, Conflict):
                    _, runner = done.pairs
                    if runner is None or runner.mod != self._runner_mod:
                        await self._claim()
                        continue
                    return None
            except SessionLost:
                await self._back()
                continue
            except StoreError as error:
                raise _told(error) from None
            self._mod = done.revision
            return written
        raise Unavailable("the lease with etcd is lost again and again")

    async def ask(self, edit: Callable[[Upgrade], Upgrade]) -> Upgrade | None:
        """Write what ``edit`` makes of the record, whoever carries it out; None: there is none."""
        while True:
            pair = await self._pair(self._key)
            upgrade = self._decoded(pair)
            if pair is None or upgrade is None:
                return None
            wanted = edit(upgrade)
            if wanted == upgrade:
                return upgrade
            try:
                done = await self._store.commit(Write(self._key, pair.mod, wanted.encode()))
            except StoreError as error:
                raise _told(error) from None
            if not isinstance(done, Conflict):
                return wanted

    async def _claim(self) -> None:
        """Write who is at it, under the present lease; Busy. The store's session has to be there."""
        assert self._session is not None
        lease, mod = self._session.id, ABSENT
        for _ in range(_ATTEMPTS):
            done = await self._store.commit(Write(self._runner_key, mod, self._me, leased=True))
            if not isinstance(done, Conflict):
                self._runner_mod, self._lease = done.revision, lease
                return
            pair = done.pairs[0]
            if pair is not None and pair.value != self._me:
                raise Busy(_named(pair))
            mod = pair.mod if pair else ABSENT  # under a lease that was lost, it goes with that
        raise Unavailable("who carries the upgrade out cannot be written to etcd")

    async def _back(self) -> None:
        """Wait for another lease and claim by it; Unavailable, Busy."""
        assert self._session is not None
        try:
            await asyncio.wait_for(self._session.resumed.wait(), _BACK_S)
            await self._claim()
        except TimeoutError:
            raise Unavailable(f"etcd has given no lease for {_BACK_S:.0f} s") from None
        except SessionLost:
            return
        except StoreError as error:
            raise _told(error) from None

    async def _pair(self, key: str) -> Pair | None:
        try:
            found = await self._store.read(key)
        except StoreError as error:
            raise _told(error) from None
        return found.pairs[0] if found.pairs else None

    def _decoded(self, pair: Pair | None) -> Upgrade | None:
        self._mod = pair.mod if pair else ABSENT
        if pair is None:
            return None
        try:
            return Upgrade.decode(pair.value)
        except ValueError as error:
            raise Failed(f"the record of the upgrade in etcd, {self._key}, cannot be read: {error}") from None


def _named(pair: Pair | None) -> str:
    return _named_bytes(pair.value) if pair else ""


def _named_bytes(value: bytes) -> str:
    return value.decode("utf-8", "replace").partition("\n")[0]


def _told(error: StoreError) -> Exception:
    return Unavailable(str(error)) if isinstance(error, StoreUnavailable) else Failed(str(error))
