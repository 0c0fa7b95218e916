"""The records of one service in the store: where they lie, how they are read, written and followed."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from random import Random

from meshcore.asks import Clashed, StoreSilent, Wrote
from meshcore.errors import BadRecord
from meshcore.events import Event, InstancesSeen, RegistrySeen, Seen, SessionRenewed, VModelsSeen
from meshcore.kv import ABSENT, ANY, DELETE, KEEP, Act, Change, Committed, Conflict, Deleted, Pair, Snapshot, Write
from meshcore.vmodel_asks import Overtaken, PutVModel, ReadVModel, VModelRead
from meshd.reach import SESSION, Reach
from meshd.store.backoff import pause_s
from meshd.store.base import Session, Store, StoreError, StoreRefused
from meshd.store.mirror import mirror

READ_GAP_S = 0.005
"""Reads of unknown models wait for each other this long at most, so that a flood of wrong ids is a trickle of reads."""

READ_MOST = 100

KEY_BYTES = 32
"""The length of a cluster's key."""

UNNAMEABLE_TOLD = 1_000
"""Keys that name nothing and are told of; there may be any number."""

_HALF = re.compile(r"[\ud800-\udfff]")

_log = logging.getLogger(__name__)


class Keys:
    """Where the records of one service lie (docs/design.md, store)."""

    def __init__(self, root: str, prefix: str, service: str) -> None:
        base = f"{root}/{prefix}/{service}"
        self.registry = f"{base}/registry/"
        self.instances = f"{base}/instances/"
        self.vmodels = f"{base}/vmodels/"
        self.config = f"{base}/config/"
        self.leader_latch = f"{base}/leaderLatch/"
        self.cluster_key = f"{base}/meshd/key"


class Records:
    """Reads and writes of models and of this instance; what the store refuses or does not answer is an outcome."""

    def __init__(self, store: Store, keys: Keys, instance: str) -> None:
        self._store, self._keys, self._instance = store, keys, instance
        self._asked: dict[str, asyncio.Future[Seen | StoreSilent]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def write(
        self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()
    ) -> Wrote | Clashed | StoreSilent:
        """Write one model's record while it stands at ``expect`` and no instance of ``gone`` has one; None deletes."""
        key = self._keys.registry + model
        writes = [Write(key, expect, DELETE if value is None else value)]
        writes += [Write(self._keys.instances + instance, ABSENT, KEEP) for instance in gone]
        try:
            result = await self._store.commit(*writes)
            match result:
                case Committed(revision):
                    return Wrote(revision)
                case Conflict((Pair(value=current, mod=mod), *_)):
                    return Clashed(current, mod)
            # Absent, but since when: only a read tells a revision at which it was.
            snapshot = await self._store.read(key)
        except StoreError as error:
            return StoreSilent(str(error), isinstance(error, StoreRefused) and error.is_for_all)
        seen = _seen(model, key, snapshot)
        return Clashed(seen.value, seen.mod)

    async def read(self, model: str) -> Seen | StoreSilent:
        """One model's record, linearisably; joins the reads that wait."""
        asked = self._asked.get(model)
        if asked is None:
            asked = self._asked[model] = asyncio.get_running_loop().create_future()
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(asked)

    async def _read_all(self) -> None:
        while self._asked:
            await asyncio.sleep(READ_GAP_S)
            batch = {model: self._asked.pop(model) for model in list(self._asked)[:READ_MOST]}
            keys = {model: self._keys.registry + model for model in batch}
            try:
                snapshot = await self._store.read(*keys.values())
            except StoreError as error:
                for asked in batch.values():
                    asked.set_result(StoreSilent(str(error)))
                continue
            for model, asked in batch.items():
                asked.set_result(_seen(model, keys[model], snapshot))

    async def read_vmodel(self, step: ReadVModel) -> VModelRead | StoreSilent:
        """A virtual model and models as they stand together, linearisably."""
        keys = [self._keys.vmodels + step.vmodel, *(self._keys.registry + model for model in step.models)]
        try:
            snapshot = await self._store.read(*keys)
        except StoreError as error:
            return StoreSilent(str(error))
        vmodel, *models = (
            _seen(name, key, snapshot) for name, key in zip((step.vmodel, *step.models), keys, strict=True)
        )
        return VModelRead(vmodel, tuple(models))

    async def write_vmodel(self, step: PutVModel) -> Wrote | Overtaken | StoreSilent:
        """Write a virtual model and models, all if all stand as expected or nothing."""
        writes = [Write(self._keys.vmodels + step.vmodel, step.expect, _act(step.value))]
        writes += [
            Write(self._keys.registry + each.model, each.expect, KEEP if each.is_kept else _act(each.value))
            for each in step.models
        ]
        try:
            result = await self._store.commit(*writes)
        except StoreError as error:
            return StoreSilent(str(error))
        return Wrote(result.revision) if isinstance(result, Committed) else Overtaken()

    async def publish(self, value: bytes) -> str:
        """Write this instance's record under its lease; empty, or why not."""
        try:
            await self._store.commit(Write(self._keys.instances + self._instance, ANY, value, leased=True))
        except StoreError as error:
            return str(error)
        return ""

    async def withdraw(self) -> None:
        """Delete this instance's record."""
        await self._store.commit(Write(self._keys.instances + self._instance, ANY, DELETE))


def _act(value: bytes | None) -> bytes | Act:
    return DELETE if value is None else value


def _seen(model: str, key: str, snapshot: Snapshot) -> Seen:
    pair = next((pair for pair in snapshot.pairs if pair.key == key), None)
    return Seen(model, pair.value, pair.mod) if pair else Seen(model, None, snapshot.revision)


class _Ids:
    """What stands under ``prefix``, by id; keys that no client can name are passed over, and told of once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._told: set[str] = set()

    def seen(self, pairs: Iterable[Pair | Deleted]) -> tuple[Seen, ...]:
        cut = len(self._prefix)
        return tuple(
            Seen(pair.key[cut:], pair.value if isinstance(pair, Pair) else None, pair.mod)
            for pair in pairs
            if self._can_be_named(pair.key)
        )

    def _can_be_named(self, key: str) -> bool:
        if len(key) > len(self._prefix) and (key.isascii() or not _HALF.search(key)):
            return True
        if key not in self._told and len(self._told) < UNNAMEABLE_TOLD:
            self._told.add(key)
            text = key.encode("utf-8", "surrogateescape")
            _log.warning("Key %r names nothing in UTF-8 and is passed over: delete it in the store", text)
        return False


async def follow(
    store: Store, prefix: str, event: type[RegistrySeen] | type[VModelsSeen] | type[InstancesSeen],
    feed: Callable[[Event], None], is_known: asyncio.Event, reach: Reach, rng: Random,
) -> None:  # fmt: skip
    """Keep the node told of everything under ``prefix``; ``is_known`` is set after the first snapshot."""
    ids = _Ids(prefix)

    def on_snapshot(snapshot: Snapshot) -> None:
        feed(event(snapshot.revision, ids.seen(snapshot.pairs), is_whole=True))
        is_known.set()

    def on_change(change: Change) -> None:
        feed(event(change.revision, ids.seen(change.pairs)))

    await mirror(
        store, prefix, on_snapshot, on_change,
        on_unavailable=lambda why: reach.lost(prefix, why), on_available=lambda: reach.found(prefix),
        rng=rng,
    )  # fmt: skip


async def follow_session(session: Session, feed: Callable[[Event], None], reach: Reach) -> None:
    """Have the instance's record written again whenever its lease was lost and replaced; until then others may have
    lost theirs for the same cause."""
    while True:
        await session.lost.wait()
        _log.warning("the lease of this instance is lost")
        reach.lost(SESSION, "the lease of this instance is lost")
        await session.resumed.wait()
        _log.info("this instance has a new lease")
        reach.found(SESSION)
        feed(SessionRenewed())


async def cluster_key(store: Store, keys: Keys, fresh: bytes) -> bytes:
    """The key that instances of this service know each other by: ``fresh``, unless there is one.

    Raises StoreError; BadRecord for one that none of them has made.
    """
    while True:
        snapshot = await store.read(keys.cluster_key)
        if not snapshot.pairs:
            await store.commit(Write(keys.cluster_key, ABSENT, fresh))
            continue
        key = snapshot.pairs[0].value
        if len(key) != KEY_BYTES:
            raise BadRecord(
                f'Record "{keys.cluster_key}" has {len(key)} bytes, and the key of a mesh has {KEY_BYTES}: stop all '
                "instances and delete it; the first to start makes another"
            )
        return key


async def keep_key(
    session: Session, store: Store, keys: Keys, key: bytes, use: Callable[[bytes], None], rng: Random
) -> None:
    """Have all instances know each other by one key also after the store has lost it, which loses leases as well.

    The key is written again; where an instance that started meanwhile was faster, ``use`` is told its key.
    """
    while True:
        await session.lost.wait()
        await session.resumed.wait()
        failures = 0
        while (found := await _key_again(store, keys, key)) is None:
            failures += 1
            await asyncio.sleep(pause_s(failures, rng))
        if found != key:
            _log.warning("another key of the mesh is in the store than before: this instance goes by that one")
            key = found
            use(key)


async def _key_again(store: Store, keys: Keys, key: bytes) -> bytes | None:
    """The key to go by from now on; None: the store does not say."""
    try:
        return await cluster_key(store, keys, key)
    except StoreError:
        return None
    except BadRecord as wrong:
        _log.error("%s", wrong)
        return key
