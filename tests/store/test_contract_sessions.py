"""What every store does with what hangs on a session; on memory and etcd."""

from __future__ import annotations

import pytest

from meshcore.kv import (
    ABSENT,
    ANY,
    Committed,
    Deleted,
    Pair,
    Write,
)
from meshd.store.base import StoreUnavailable
from tests.store.places import Place, client, run, told

SHORT_S = 4
"""How long a lease lasts that a test waits for: a loop that is late does not lose it for that."""


def test_leased_pair_goes_with_its_session(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            key = place.prefix + "a"
            async with store.session(5) as session:
                assert session.resumed.is_set()
                assert not session.lost.is_set()
                await store.commit(Write(key, ABSENT, b"1", leased=True))
                await store.commit(Write(place.prefix + "b", ABSENT, b"1"))
                assert (await store.read(key)).pairs[0].lease == session.id
                with pytest.raises(ValueError, match="one session"):
                    await store.session(5).__aenter__()
            assert session.lost.is_set()
            assert [pair.key for pair in (await store.snapshot(place.prefix)).pairs] == [place.prefix + "b"]
            with pytest.raises(ValueError, match="session"):
                await store.commit(Write(key, ANY, b"1", leased=True))

    run(test())


def test_session_is_kept_alive_while_a_lease_of_the_same_length_runs_out(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store, store.session(SHORT_S) as session:
            await store.commit(Write(place.prefix + "kept", ABSENT, b"1", leased=True))
            after = (await store.read(place.prefix)).revision
            await place.put_for(place.prefix + "lapsing", SHORT_S)
            put_and_deleted = await told(store, place.prefix, after, 2)
            assert [type(change.pairs[0]) for change in put_and_deleted] == [Pair, Deleted]
            assert not session.lost.is_set()
            assert [pair.lease for pair in (await store.snapshot(place.prefix)).pairs] == [session.id]

    run(test())


def test_lost_session_is_told_before_the_lease_ends_and_resumed_with_a_new_one(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store, store.session(SHORT_S) as session:
            key = place.prefix + "a"
            await store.commit(Write(key, ABSENT, b"1", leased=True))
            first = session.id
            await place.cut()
            await session.lost.wait()
            assert not session.resumed.is_set()
            with pytest.raises(StoreUnavailable, match="session"):
                await store.commit(Write(key, ANY, b"2", leased=True))
            await place.heal()
            await session.resumed.wait()
            assert not session.lost.is_set()
            assert session.id != first
            await store.commit(Write(key, ANY, b"2", leased=True))
            pair = (await store.read(key)).pairs[0]
            assert (pair.value, pair.lease) == (b"2", session.id)

    run(test())


def test_lease_that_was_dropped_is_missed_at_its_next_renewal(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store, store.session(SHORT_S) as session:
            first = session.id
            await place.drop_lease(first)
            await session.lost.wait()
            await session.resumed.wait()
            assert session.id != first
            await place.drop_lease(session.id)  # and the end of the session finds none to revoke

    run(test())


def test_write_on_a_lease_that_is_gone_tells_the_session(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store, store.session(20) as session:
            first = session.id
            await place.drop_lease(first)
            with pytest.raises(StoreUnavailable, match="session"):
                await store.commit(Write(place.prefix, ANY, b"1", leased=True))
            await session.resumed.wait()
            assert session.id != first
            assert isinstance(await store.commit(Write(place.prefix, ANY, b"1", leased=True)), Committed)

    run(test())
