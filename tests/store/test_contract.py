"""What every store does with reads and commits: one suite, on memory and on a real etcd (docs/design.md, store)."""

from __future__ import annotations

import asyncio

import pytest

from meshcore.kv import (
    ABSENT,
    ANY,
    DELETE,
    KEEP,
    MOST_WRITES,
    Committed,
    Conflict,
    Pair,
    Snapshot,
    Write,
)
from meshd.store.base import StoreUnavailable
from tests.store.places import Place, client, clients, put, run, told


def test_pair_is_created_changed_and_deleted_by_compare_and_set(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            key = place.prefix + "a"
            created = await store.commit(Write(key, ABSENT, b"1"))
            assert isinstance(created, Committed)
            changed = await store.commit(Write(key, created.revision, b"2"))
            assert changed == Committed(created.revision + 1)
            pair = Pair(key, b"2", created.revision + 1, created.revision)
            assert await store.read(key) == Snapshot(pair.mod, (pair,))
            assert await store.commit(Write(key, created.revision, b"3")) == Conflict((pair,))
            assert await store.commit(Write(key, ABSENT, b"3")) == Conflict((pair,))
            assert await store.commit(Write(key, created.revision, DELETE)) == Conflict((pair,))
            assert await store.commit(Write(key, pair.mod, DELETE)) == Committed(pair.mod + 1)
            assert await store.commit(Write(key, pair.mod, b"3")) == Conflict((None,))
            assert (await store.read(key)).pairs == ()

    run(test())


def test_pages_are_in_order_each_after_a_key_and_the_last_is_short(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            keys = [f"{place.prefix}{name}" for name in ("a", "a/b", "b", "é", "名")]
            for key in keys:
                await put(store, key)

            async def page(after: str, limit: int) -> list[str]:
                return [pair.key for pair in (await store.page(place.prefix, after, limit)).pairs]

            assert await page("", 2) == keys[:2]
            assert await page(keys[1], 2) == keys[2:4]
            assert await page(keys[3], 2) == keys[4:]
            assert await page(keys[4], 2) == []
            assert await page(keys[0] + "0", 9) == keys[2:]
            assert await page(place.prefix + "zz", 1) == keys[3:4]

    run(test())


def test_writes_of_one_commit_are_done_together_or_not_at_all(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            a, b, c = (place.prefix + name for name in "abc")
            start = await put(store, a)
            old = (await store.read(a)).pairs[0]
            assert await store.commit(Write(b, ABSENT, b"1"), Write(a, start + 1, b"1")) == Conflict((None, old))
            done = await store.commit(Write(c, ABSENT, b"1"), Write(a, start, DELETE), Write(b, ABSENT, b"1"))
            assert done == Committed(start + 1)
            mod = start + 1
            assert await store.snapshot(place.prefix) == Snapshot(
                mod, (Pair(b, b"1", mod, mod), Pair(c, b"1", mod, mod))
            )

    run(test())


def test_keep_guards_and_changes_nothing(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            a, b = place.prefix + "a", place.prefix + "b"
            mod = await put(store, a)
            assert await store.commit(Write(a, mod, KEEP)) == Committed(mod)
            assert await store.commit(Write(a, mod, KEEP), Write(b, ABSENT, b"1")) == Committed(mod + 1)
            pair = Pair(a, b"v", mod, mod)
            assert await store.commit(Write(a, ABSENT, KEEP), Write(b, ANY, DELETE)) == Conflict(
                (pair, Pair(b, b"1", mod + 1, mod + 1))
            )
            assert (await store.read(a, b, place.prefix + "c")).pairs == (pair, Pair(b, b"1", mod + 1, mod + 1))

    run(test())


def test_senseless_commit_and_read_are_refused_before_they_are_sent(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            with pytest.raises(ValueError, match="128"):
                await store.commit(*(Write(f"{n}", ANY, b"") for n in range(MOST_WRITES + 1)))
            with pytest.raises(ValueError, match="once"):
                await store.commit(Write("a", ANY, b""), Write("a", ANY, b""))
            with pytest.raises(ValueError, match="128"):
                await store.read()
            with pytest.raises(ValueError, match="session"):
                await store.commit(Write("a", ANY, b"", leased=True))

    run(test())


@pytest.mark.parametrize("name", ["naïve model/β", "a b", "a\nb", "/", "\U0001f600", "a\udcff", "\udcff"])
def test_any_text_is_a_key_and_a_prefix(place: Place, name: str) -> None:
    """Bytes that are no UTF-8 travel as surrogates; 0xff is the byte that no end of a prefix can be counted up from."""

    async def test() -> None:
        async with client(place) as store:
            key = place.prefix + name
            after = await put(store, place.prefix)
            for bystander in ("b", "0"):
                await put(store, place.prefix + bystander)
            await put(store, key + "1")
            await put(store, key)
            assert [pair.key for pair in (await store.snapshot(key)).pairs] == [key, key + "1"]
            assert [pair.key for pair in (await store.read(key)).pairs] == [key]
            changes = await told(store, key, after, 2)
            assert [pair.key for change in changes for pair in change.pairs] == [key + "1", key]

    run(test())


def test_empty_prefix_is_everything(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            await put(store, place.prefix)
            assert place.prefix in [pair.key for pair in (await store.snapshot("")).pairs]

    run(test())


def test_one_conflict_among_a_hundred_commits_at_once_fails_no_other(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            taken = place.prefix + "17"
            await put(store, taken, b"taken")
            pair = (await store.read(taken)).pairs[0]
            results = await asyncio.gather(
                *(store.commit(Write(f"{place.prefix}{n}", ABSENT, b"1")) for n in range(100))
            )
            assert [n for n, result in enumerate(results) if isinstance(result, Conflict)] == [17]
            assert results[17] == Conflict((pair,))
            pairs = {pair.key: pair.mod for pair in (await store.snapshot(place.prefix)).pairs}
            for n, result in enumerate(results):
                assert n == 17 or result == Committed(pairs[f"{place.prefix}{n}"])

    run(test())


def test_commits_of_one_key_at_once_are_each_judged(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            results = await asyncio.gather(*(store.commit(Write(place.prefix, ABSENT, b"%d" % n)) for n in range(5)))
            winner = (await store.read(place.prefix)).pairs[0]
            assert [result for result in results if isinstance(result, Committed)] == [Committed(winner.mod)]
            assert results.count(Conflict((winner,))) == 4

    run(test())


def test_commit_that_nobody_waits_for_harms_no_other(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            given_up = asyncio.create_task(store.commit(Write(place.prefix + "a", ANY, b"")))
            other = asyncio.create_task(store.commit(Write(place.prefix + "b", ANY, b"")))
            await asyncio.sleep(0)
            given_up.cancel()
            assert isinstance(await other, Committed)

    run(test())


def test_large_prefix_is_read_as_of_one_revision(place: Place) -> None:
    async def test() -> None:
        async with clients(place, 2) as (store, other):
            value = b"x" * 4_000
            for start in range(0, 5_120, MOST_WRITES):
                keys = [f"{place.prefix}{n:04}" for n in range(start, start + MOST_WRITES)]
                await store.commit(*(Write(key, ABSENT, value) for key in keys))
            stop = asyncio.Event()

            async def keep_writing() -> None:
                while not stop.is_set():
                    for n in (0, 5_119):
                        await put(other, f"{place.prefix}{n:04}", value)

            writing = asyncio.create_task(keep_writing())
            snapshot = await store.snapshot(place.prefix)
            stop.set()
            await writing
            assert [pair.key for pair in snapshot.pairs] == [f"{place.prefix}{n:04}" for n in range(5_120)]
            assert all(pair.mod <= snapshot.revision for pair in snapshot.pairs)
            assert sum(len(pair.value) for pair in snapshot.pairs) > 20_000_000
            changes = await told(store, place.prefix, snapshot.pairs[1].mod - 1, 40)
            assert [len(change.pairs) for change in changes[:40]] == [MOST_WRITES] * 40

    run(test())


def test_store_that_is_away_says_so_in_every_answer(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            await put(store, place.prefix)
            await place.cut()
            answers = await asyncio.gather(
                store.commit(Write(place.prefix, ANY, b"2")),
                store.commit(Write(place.prefix + "a", ANY, b"2"), Write(place.prefix + "b", ANY, b"2")),
                store.read(place.prefix),
                store.check(0.5),
                anext(store.changes(place.prefix, 1)),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 5
            await place.heal()
            await store.check(10)

    run(test())


def test_closed_store_ends_what_still_waits(place: Place) -> None:
    """A closed connection must not look as if the waiting task itself had been cancelled."""

    async def test() -> None:
        async with client(place) as store:
            start = await put(store, place.prefix)
            batches = store.changes(place.prefix, start)
            await anext(batches)
            waiting = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(StoreUnavailable, match="closed"):
                await waiting
            with pytest.raises(StoreUnavailable, match="closed"):
                await store.read(place.prefix)

    run(test())
