"""An etcd of three members, of which one dies, stands still or is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from meshcore.kv import ANY, Write
from meshd.store import etcd_channel
from meshd.store.base import StoreUnavailable
from tests.etcd import EtcdMembers
from tests.store.places import etcd_client, put_until_taken, run, told

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdMembers]:
    """Pings may come as often as one likes: a test shortens what it waits for."""
    with EtcdMembers(tmp_path_factory.mktemp("members"), ["--grpc-keepalive-min-time=10ms"]) as made:
        yield made


def test_member_in_use_is_killed_and_nothing_is_lost_or_missed(members: EtcdMembers) -> None:
    async def test() -> None:
        store = etcd_client(*members.addresses)
        async with store.session(20) as session:
            await store.commit(Write("killed/leased", ANY, b"1", leased=True))
            after = (await store.read("killed/")).revision
            following = asyncio.create_task(told(store, "killed/", after, 30))
            for n in range(30):
                if n == 10:
                    await asyncio.to_thread(members.servers[0].kill)
                if n == 20:
                    await asyncio.to_thread(members.servers[0].start)
                await put_until_taken(store, f"killed/{n:02}")
            changes = await following
            assert [pair.key for change in changes for pair in change.pairs] == [f"killed/{n:02}" for n in range(30)]
            assert not session.lost.is_set(), "a lease is the cluster's, not a member's"
            assert (await store.read("killed/leased")).pairs[0].lease == session.id
        await store.close()

    run(test())


def test_member_in_use_stands_still_and_the_others_are_asked(
    members: EtcdMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests have deadlines, and a watch that hears nothing is pinged."""
    soon = {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 300, "grpc.http2.ping_timeout_ms": 300}
    options = tuple((name, soon.get(name, value)) for name, value in etcd_channel.OPTIONS)
    monkeypatch.setattr(etcd_channel, "OPTIONS", options)

    async def test() -> None:
        store = etcd_client(*members.addresses)
        after = (await store.read("frozen/")).revision
        async with aclosing(store.changes("frozen/", after)) as batches:
            assert await anext(batches) == ()
            members.servers[0].freeze()
            try:
                await put_until_taken(store, "frozen/a")
                while not (changes := await anext(batches)):
                    pass
                assert [pair.key for change in changes for pair in change.pairs] == ["frozen/a"]
                assert [pair.key for pair in (await store.snapshot("frozen/")).pairs] == ["frozen/a"]
            finally:
                members.servers[0].thaw()
        await store.close()

    run(test())


def test_member_that_is_left_alone_says_so_instead_of_telling_old_news(members: EtcdMembers) -> None:
    async def test() -> None:
        alone, *others = members.servers
        store = etcd_client(alone.address)
        await put_until_taken(store, "alone")
        revision = (await store.read("alone")).revision
        for server in others:
            await asyncio.to_thread(server.kill)

        async def is_leaderless() -> bool:
            try:
                await store.check(0.5)
            except StoreUnavailable as away:
                return "no leader" in str(away)
            return False

        while not await is_leaderless():  # until it has noticed, it answers what needs no leader
            pass
        answers = await asyncio.gather(
            store.read("alone"), store.commit(Write("alone", ANY, b"2")), anext(store.changes("alone", revision)),
            return_exceptions=True,
        )  # fmt: skip
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
        for server in others:
            await asyncio.to_thread(server.start)
        await put_until_taken(store, "back")
        assert (await store.read("alone")).pairs[0].value in (b"1", b"2")
        await store.close()

    run(test())
