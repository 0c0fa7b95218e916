"""The record of an upgrade: one mmctl writes it, others ask, and whoever is gone makes place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest

from meshcore.kv import ANY, DELETE, Write
from meshd.store.memory import MemoryHub, MemoryStore
from mmctl.errors import Failed, Unavailable
from mmctl.progress import Progress
from mmctl.upgrade.carrying import follow
from mmctl.upgrade.ledger import RUNNER_TTL_S, Busy, Ledger
from mmctl.upgrade.record import MOST_EVENTS, Ask, Limits, Phase, Upgrade
from mmctl.upgrade.runner import Told
from tests import virtual_loop

ROOT = "/tas-runtime/mesh"
UPGRADE = Upgrade("1", "local", "one", "two", {"change": {"settings": {"A": "b"}}}, 2, ("a",), ("b",))


class Mesh:
    """A store, and the mmctls around it."""

    def __init__(self) -> None:
        self.hub = MemoryHub()

    def store(self) -> MemoryStore:
        return MemoryStore(self.hub, Random(1))

    def ledger(self) -> Ledger:
        return Ledger(self.store(), ROOT)


def play(scene: Callable[[Mesh], Awaitable[None]]) -> None:
    async def played() -> None:
        await scene(Mesh())

    asyncio.run(played())


def test_record_is_read_as_it_was_written() -> None:
    async def scene(mesh: Mesh) -> None:
        mine, other = mesh.ledger(), mesh.ledger()
        assert (await other.read(), await other.runner()) == (None, "")
        async with mine.claimed():
            await mine.read()
            written = await mine.put(UPGRADE)
            assert written is not None
            assert written == await other.read() == replace(UPGRADE, runner=await other.runner())
        assert await other.runner() == ""

    play(scene)


def test_two_do_not_carry_it_out() -> None:
    async def scene(mesh: Mesh) -> None:
        async with mesh.ledger().claimed():
            with pytest.raises(Busy, match=r"an upgrade is under way, carried out by .+@.+ \(pid \d+\)"):
                async with mesh.ledger().claimed():
                    pass
        async with mesh.ledger().claimed():
            pass

    play(scene)


def test_what_was_asked_meanwhile_is_not_written_over() -> None:
    async def scene(mesh: Mesh) -> None:
        mine, other = mesh.ledger(), mesh.ledger()
        assert await other.ask(lambda upgrade: upgrade) is None
        async with mine.claimed():
            await mine.read()
            await mine.put(UPGRADE)
            await other.ask(lambda upgrade: replace(upgrade, asked=Ask.ABORT))
            assert await mine.put(replace(UPGRADE, phase=Phase.DONE)) is None
            found = await mine.read()
            assert found is not None
            assert (found.asked, found.phase) == (Ask.ABORT, Phase.ROLLING)
            assert await mine.put(replace(found, phase=Phase.ROLLING_BACK)) is not None

    play(scene)


def test_whoever_follows_bears_that_etcd_is_away_for_as_long_as_a_step_may_take() -> None:
    async def scene() -> None:
        mesh = Mesh()
        runner, store = mesh.ledger(), mesh.store()
        told = Told(Progress(is_silent=True))
        async with runner.claimed():
            await runner.read()
            limits = Limits(max_wait_ms=60_000)
            begun = await runner.put(replace(UPGRADE, limits=limits).with_event(1, "begins"))
            assert begun is not None
            following = asyncio.create_task(follow(Ledger(store, ROOT), told))
            for away_s in (50, 50):
                await asyncio.sleep(1)
                store.cut()
                await asyncio.sleep(away_s)
                store.heal()
            await asyncio.sleep(1)
            assert (following.done(), told.last) == (False, begun.events[0])
            store.cut()
            with pytest.raises(Unavailable, match="cut off"):
                await asyncio.wait_for(following, 70)

    virtual_loop.run(scene())


def test_whoever_carries_it_out_is_there_again_after_etcd_was_away_for_all() -> None:
    """Its lease has ended meanwhile; nobody takes it for gone, though it has nothing to write."""

    async def scene() -> None:
        mesh = Mesh()
        stores = mesh.store(), mesh.store()
        runner, other = (Ledger(store, ROOT) for store in stores)
        async with runner.claimed():
            await runner.read()
            await runner.put(UPGRADE)
            following = asyncio.create_task(follow(other, Told(Progress(is_silent=True))))
            await asyncio.sleep(1)
            for store in stores:
                store.cut()
            await asyncio.sleep(3 * RUNNER_TTL_S)
            for store in stores:
                store.heal()
            await runner.keep()
            me = await other.runner()
            await asyncio.sleep(3 * RUNNER_TTL_S)
            await runner.keep()
            assert me == await other.runner() != ""
            assert not following.done()
        assert await asyncio.wait_for(following, 3 * RUNNER_TTL_S) == await other.read()

    virtual_loop.run(scene())


def test_lost_lease_is_taken_again_and_one_taken_over_is_not() -> None:
    async def scene(mesh: Mesh) -> None:
        mine = mesh.ledger()
        async with mine.claimed():
            await mine.read()
            await mesh.store().commit(Write(f"{ROOT}/mmctl/upgrade-runner", ANY, DELETE))
            assert await mine.put(UPGRADE) is not None
            assert "(pid" in await mine.runner()
            await mesh.store().commit(Write(f"{ROOT}/mmctl/upgrade-runner", ANY, b"somebody\nelse"))
            with pytest.raises(Busy, match=r"carried out by somebody$"):
                await mine.put(replace(UPGRADE, phase=Phase.DONE))
            found = await mine.read()
            assert found is not None
            assert found.phase is Phase.ROLLING

    play(scene)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{}", "it is damaged: KeyError"),
        (b"no", "cannot be read"),
        (b'{"format":99}', "a newer mmctl wrote it: use that one"),
        (UPGRADE.encode().replace(b'"rolling"', b'"sideways"'), "'sideways' is not a valid Phase"),
        (UPGRADE.encode().replace(b'"limits":{', b'"limits":7,"x":{'), "it is damaged: TypeError"),
    ],
)
def test_record_that_cannot_be_read_is_told(value: bytes, words: str) -> None:
    async def scene(mesh: Mesh) -> None:
        await mesh.store().commit(Write(f"{ROOT}/mmctl/upgrade", ANY, value))
        with pytest.raises(Failed, match=words):
            await mesh.ledger().read()

    play(scene)


def test_what_a_newer_mmctl_adds_is_left_out() -> None:
    more = UPGRADE.encode().replace(b'{"format"', b'{"shade":"blue","format"')
    more = more.replace(b'"limits":{', b'"limits":{"most_of_it":3,')
    assert Upgrade.decode(more) == UPGRADE


def test_only_the_newest_events_are_kept() -> None:
    upgrade = UPGRADE
    for number in range(MOST_EVENTS + 10):
        upgrade = upgrade.with_event(number, f"x{number}")
    assert [event.at_ms for event in upgrade.events] == list(range(10, MOST_EVENTS + 10))
    assert upgrade.with_event(MOST_EVENTS + 10, upgrade.events[-1].text) == upgrade
