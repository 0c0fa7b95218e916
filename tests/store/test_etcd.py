"""What only a real etcd can show: lost questions and answers, failover, frozen servers, limits."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.request
from contextlib import aclosing
from pathlib import Path

import pytest

from meshcore.kv import ABSENT, ANY, DELETE, KEEP, Committed, Compacted, Conflict, Write
from meshd.store import etcd, etcd_channel
from meshd.store.base import StoreRefused, StoreUnavailable
from meshd.store.etcd_channel import EtcdRefused
from tests.etcd import EtcdServer
from tests.ports import free_port
from tests.processes import GUARD_S
from tests.store.line import line_to
from tests.store.places import EtcdPlace, client, etcd_client, run, told

pytestmark = pytest.mark.etcd


@pytest.fixture
def place(server: EtcdServer) -> EtcdPlace:
    return EtcdPlace(server)


def test_commit_whose_answer_was_lost_is_found_done(server: EtcdServer, place: EtcdPlace) -> None:
    """Asked again, etcd says conflict and shows what was to be: success."""

    async def test() -> None:
        async with client(place) as witness, line_to(server.address) as line:
            store = etcd_client(line.address)
            old, a, b, c, leased = (place.prefix + name for name in ("old", "a", "b", "c", "leased"))
            created = await witness.commit(Write(old, ABSENT, b"old"))
            assert isinstance(created, Committed)
            async with store.session(20):
                line.is_mute = True
                commits = [
                    asyncio.create_task(store.commit(*writes))
                    for writes in (
                        [Write(a, ABSENT, b"mine")],
                        [Write(old, created.revision, DELETE)],
                        [Write(b, ABSENT, b"mine"), Write(c, ABSENT, KEEP)],
                        [Write(leased, ABSENT, b"mine", leased=True)],
                    )
                ]
                changes = await told(witness, place.prefix, created.revision, 2)
                done = {pair.key: pair.mod for change in changes for pair in change.pairs}
                assert sorted(done) == [a, b, leased, old]
                await line.cut()
                await line.heal()
                assert await commits[0] == await commits[3] == Committed(done[a])
                assert isinstance(await commits[1], Committed)
                assert await commits[2] == Committed(done[b])
            await store.close()

    run(test())


def test_commit_whose_answer_was_lost_shows_what_others_wrote_since(server: EtcdServer, place: EtcdPlace) -> None:
    async def test() -> None:
        async with client(place) as witness, line_to(server.address) as line:
            store = etcd_client(line.address)
            after = (await store.read(place.prefix)).revision
            line.is_mute = True
            commit = asyncio.create_task(store.commit(Write(place.prefix, ABSENT, b"mine")))
            (change,) = await told(witness, place.prefix, after, 1)
            await witness.commit(Write(place.prefix, change.revision, b"theirs"))
            await line.cut()
            await line.heal()
            assert await commit == Conflict((await witness.read(place.prefix)).pairs)
            await store.close()

    run(test())


def test_commit_that_was_lost_before_it_was_done_is_done_once(server: EtcdServer, place: EtcdPlace) -> None:
    async def test() -> None:
        async with client(place) as witness, line_to(server.address) as line:
            store = etcd_client(line.address)
            after = (await store.read(place.prefix)).revision
            line.is_deaf = True
            commit = asyncio.create_task(store.commit(Write(place.prefix, ABSENT, b"mine")))
            other = asyncio.create_task(store.commit(Write(place.prefix + "taken", ABSENT, b"mine")))
            await line.swallowed.wait()
            assert (await witness.snapshot(place.prefix)).pairs == (), "it has not come through"
            taken = await witness.commit(Write(place.prefix + "taken", ABSENT, b"theirs"))
            assert taken == Committed(after + 1)
            await line.cut()
            await line.heal()
            assert await commit == Committed(after + 2)
            assert await other == Conflict((await witness.read(place.prefix + "taken")).pairs)
            await store.close()

    run(test())


def test_etcd_without_space_refuses_writes_in_its_own_words_and_answers_reads(tmp_path: Path) -> None:
    """A write that is refused is told at once: to try again is no use until somebody makes room."""
    server = EtcdServer(tmp_path, ["--quota-backend-bytes=1000000"])

    async def test() -> None:
        store = etcd_client(server.address)

        async def fill() -> None:
            for n in range(1_000):
                await store.commit(Write(f"{n}", ANY, b"x" * 100_000))

        with pytest.raises(StoreRefused, match="database space exceeded"):
            await fill()
        results = await asyncio.gather(
            *(store.commit(Write(f"more{n}", ANY, b"1")) for n in range(3)), return_exceptions=True
        )
        for result in results:
            assert isinstance(result, EtcdRefused)
            assert result.is_for_all
            assert "etcdctl alarm disarm" in str(result)
        async with aclosing(store.changes("0", 1)) as batches:
            assert await anext(batches) == ()
        assert [pair.key for pair in (await store.snapshot("0")).pairs] == ["0"]
        await store.close()

    server.start()
    try:
        run(test())
    finally:
        server.kill()


def test_merged_commits_are_one_transaction(place: EtcdPlace) -> None:
    async def test() -> None:
        async with client(place) as store:
            await asyncio.gather(*(store.commit(Write(f"{place.prefix}{n}", ABSENT, b"1")) for n in range(100)))
            assert len({pair.mod for pair in (await store.snapshot(place.prefix)).pairs}) == 1

    run(test())


def test_value_beyond_etcds_limit_is_refused_and_fails_no_other(place: EtcdPlace) -> None:
    async def test() -> None:
        async with client(place) as store:
            results = await asyncio.gather(
                store.commit(Write(place.prefix + "a", ABSENT, b"1")),
                store.commit(Write(place.prefix + "b", ABSENT, b"x" * 3_000_000)),
                store.commit(Write(place.prefix + "c", ABSENT, b"x" * 400_000)),
                store.commit(Write(place.prefix + "d", ABSENT, b"x" * 400_000)),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [Committed, EtcdRefused, Committed, Committed]
            with pytest.raises(StoreRefused, match="larger than max"):
                await store.commit(Write(place.prefix + "b", ABSENT, b"x" * 3_000_000))

    run(test())


def ranges_asked(server: EtcdServer) -> int:
    """How often a range was asked for, as etcd itself counts."""
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=GUARD_S) as response:
        counts = re.findall(r'^grpc_server_started_total\{.*"Range".* (\d+)$', response.read().decode(), re.MULTILINE)
    return sum(map(int, counts))


def test_pages_shrink_until_a_message_holds_them_and_stay_as_small(
    own_server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd, "PAGE", 8)
    place = EtcdPlace(own_server)
    small = tuple((name, 1 << 20 if name.endswith("receive_message_length") else n) for name, n in etcd_channel.OPTIONS)
    monkeypatch.setattr(etcd_channel, "OPTIONS", small)

    async def test() -> None:
        async with client(place) as store:
            for n in range(8):
                await store.commit(Write(f"{place.prefix}{n}", ABSENT, b"x" * 400_000))
            before = ranges_asked(own_server)
            assert len((await store.snapshot(place.prefix)).pairs) == 8
            assert ranges_asked(own_server) - before == 2 + 4, "of 8 and 4 pairs are too large, four of 2 hold them"

    run(test())


def test_endpoint_that_is_down_is_passed_over(server: EtcdServer, place: EtcdPlace) -> None:
    async def test() -> None:
        store = etcd_client(f"127.0.0.1:{free_port()}", server.address)
        assert isinstance(await store.commit(Write(place.prefix, ABSENT, b"1")), Committed)
        async with aclosing(store.changes(place.prefix, 1)) as batches:
            await anext(batches)
        await store.close()

    run(test())


def test_endpoint_that_never_answers_is_passed_over(server: EtcdServer, place: EtcdPlace) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            store = etcd_client(f"127.0.0.1:{silent.getsockname()[1]}", server.address)
            assert isinstance(await store.commit(Write(place.prefix, ABSENT, b"1")), Committed)
            await store.close()

    run(test())


def test_unreachable_etcd_is_named(server: EtcdServer) -> None:
    async def test() -> None:
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        store = etcd_client(*addresses)
        with pytest.raises(StoreUnavailable, match=f"{addresses[0]}, {addresses[1]} within 0.5 s"):
            await store.check(0.5)
        await store.close()

    run(test())


def test_frozen_etcd_is_unavailable_and_nothing_is_missed_when_it_goes_on(server: EtcdServer, place: EtcdPlace) -> None:
    async def test() -> None:
        async with client(place) as store, store.session(1) as session:
            after = (await store.read(place.prefix)).revision
            following = asyncio.create_task(told(store, place.prefix, after, 2))
            await store.commit(Write(place.prefix + "a", ABSENT, b"1"))
            server.freeze()
            commit = asyncio.create_task(store.commit(Write(place.prefix + "b", ABSENT, b"1")))
            await session.lost.wait()
            with pytest.raises(StoreUnavailable):
                await commit
            server.thaw()
            await session.resumed.wait()
            assert await store.commit(Write(place.prefix + "b", ABSENT, b"2")) in (
                Conflict((await store.read(place.prefix + "b")).pairs),
                Committed((await store.read(place.prefix + "b")).pairs[0].mod),
            )
            changes = await following
            assert [pair.key for change in changes for pair in change.pairs] == [place.prefix + "a", place.prefix + "b"]

    run(test())


def test_store_put_back_to_an_earlier_state_is_noticed(own_server: EtcdServer) -> None:
    async def test() -> None:
        store = etcd_client(own_server.address)
        for _ in range(3):
            done = await store.commit(Write("a", ANY, b"1"))
        assert isinstance(done, Committed)
        following = asyncio.create_task(told(store, "a", done.revision, 1))
        await asyncio.to_thread(own_server.kill)
        own_server.wipe()
        await asyncio.to_thread(own_server.start)
        with pytest.raises(Compacted):
            await following
        await store.close()

    run(test())
