"""A store that is away: who asks waits for it once, and not again until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from meshcore.events import Event, StoreFound, StoreLost
from meshcore.kv import ANY, Committed, Conflict, Snapshot, Write
from meshd.reach import PROBE_S, REQUESTS, SESSION, Guarded, Reach
from meshd.store.base import SessionLost, StoreRefused, StoreUnavailable
from meshd.store.memory import MemoryHub, MemoryStore
from tests import virtual_loop

DEADLINE_S = 3.5
NO_ANSWER = "no answer within 3.5 s"


class Freezing(MemoryStore):
    """Frozen it answers nothing, and every question ends at its deadline, as with etcd."""

    def __init__(self) -> None:
        super().__init__(MemoryHub(), Random(1))
        self.is_frozen = False
        self.refusal: StoreRefused | None = None
        self.asked: list[float] = []

    async def _pass(self) -> None:
        loop = asyncio.get_running_loop()
        self.asked.append(loop.time())
        if self.refusal is not None:
            raise self.refusal
        if self.is_frozen:
            await asyncio.sleep(DEADLINE_S)
            raise StoreUnavailable(NO_ANSWER)

    async def read(self, *keys: str) -> Snapshot:
        await self._pass()
        return await super().read(*keys)

    async def commit(self, *writes: Write) -> Committed | Conflict:
        await self._pass()
        return await super().commit(*writes)


class Scene:
    def __init__(self) -> None:
        self.store, self.reach, self.told = Freezing(), Reach(), list[Event]()
        self.reach.tell = self.told.append
        self.guarded = Guarded(self.store, self.reach, "probe")

    async def fails(self, call: Coroutine[Any, Any, object]) -> tuple[str, float]:
        """How a question ends, and after how long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(StoreUnavailable) as error:
            await call
        return str(error.value), round(loop.time() - began, 3)


def run(test: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def scene() -> None:
        made = Scene()
        await test(made)
        await made.guarded.close()

    virtual_loop.run(scene())


def test_first_question_without_an_answer_spares_all_others_the_wait() -> None:
    """Those that wait already, too: none of them waits longer than the first."""

    async def test(scene: Scene) -> None:
        scene.store.is_frozen = True
        first = asyncio.create_task(scene.fails(scene.guarded.read("a")))
        await asyncio.sleep(3)
        second = asyncio.create_task(scene.fails(scene.guarded.commit(Write("a", ANY, b"1"))))
        assert await first == (NO_ANSWER, 3.5)
        assert await second == (f"the store is away: {NO_ANSWER}", 0.5)
        asked = len(scene.store.asked)
        for call in (scene.guarded.read("a"), scene.guarded.commit(Write("a", ANY, b"1"))):
            assert await scene.fails(call) == (f"the store is away: {NO_ANSWER}", 0)
        assert len(scene.store.asked) == asked, "it is not even asked"
        assert scene.told == [StoreLost()]

    run(test)


def test_store_that_answers_again_is_asked_again() -> None:
    async def test(scene: Scene) -> None:
        scene.store.is_frozen = True
        await scene.fails(scene.guarded.read("a"))
        await asyncio.sleep(20)
        assert scene.told == [StoreLost()]
        scene.store.is_frozen = False
        await asyncio.sleep(DEADLINE_S + 2 * PROBE_S)
        assert scene.told == [StoreLost(), StoreFound()]
        assert await scene.guarded.commit(Write("a", ANY, b"1")) == Committed(2)
        asked = len(scene.store.asked)
        await asyncio.sleep(60)
        assert len(scene.store.asked) == asked, "nobody probes what is there"

    run(test)


def test_store_that_refuses_is_there() -> None:
    """It answers at once, in words of its own; so does a probe that may not be read."""

    async def test(scene: Scene) -> None:
        scene.store.refusal = StoreRefused("no space")
        with pytest.raises(StoreRefused, match="no space"):
            await scene.guarded.commit(Write("a", ANY, b"1"))
        assert scene.told == []
        scene.store.refusal, scene.store.is_frozen = None, True
        await scene.fails(scene.guarded.read("a"))
        scene.store.refusal = StoreRefused("permission denied")
        await asyncio.sleep(DEADLINE_S + 2 * PROBE_S)
        assert scene.told == [StoreLost(), StoreFound()]

    run(test)


def test_lost_lease_is_told_and_keeps_nobody_from_asking() -> None:
    """Others may have lost theirs for the same cause; but the store itself may well be there."""

    async def test(scene: Scene) -> None:
        scene.reach.lost(SESSION, "the lease is lost")
        assert (bool(scene.reach), scene.reach.silence, scene.told) == (False, "", [StoreLost()])
        assert await scene.guarded.commit(Write("a", ANY, b"1")) == Committed(2)
        scene.reach.found(SESSION)
        assert scene.told == [StoreLost(), StoreFound()]
        async with scene.guarded.session(20) as session:
            session.lose()
            with pytest.raises(SessionLost):
                await scene.guarded.commit(Write("a", ANY, b"1", leased=True))
        assert scene.told == [StoreLost(), StoreFound()]

    run(test)


def test_store_is_back_when_all_of_it_is() -> None:
    async def test(scene: Scene) -> None:
        scene.reach.lost("registry/", "the watch has ended")
        assert await scene.fails(scene.guarded.read("a")) == ("the store is away: the watch has ended", 0)
        scene.reach.lost(REQUESTS, NO_ANSWER)
        scene.reach.found("registry/")
        scene.reach.found("instances/")
        assert scene.told == [StoreLost()]
        scene.reach.found(REQUESTS)
        assert scene.told == [StoreLost(), StoreFound()]

    run(test)


def test_who_stops_waiting_is_not_told_that_the_store_is_away() -> None:
    async def test(scene: Scene) -> None:
        scene.store.is_frozen = True
        asking = asyncio.create_task(scene.guarded.read("a"))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert scene.told == []

    run(test)


def test_lost_lease_has_it_found_out_whether_the_store_answers() -> None:
    """So nobody has to wait for that who asks for something."""

    async def test(scene: Scene) -> None:
        scene.store.is_frozen = True
        scene.reach.lost(SESSION, "the lease is lost")
        await asyncio.sleep(1)
        call = scene.guarded.commit(Write("a", ANY, b"1"))
        assert await scene.fails(call) == (f"the store is away: {NO_ANSWER}", 2.5)
        scene.reach.found(SESSION)
        assert scene.told == [StoreLost()]

    run(test)
