"""What every store tells of changes: whole revisions without a gap, or that there is one; on memory and etcd."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from meshcore.kv import (
    ABSENT,
    ANY,
    DELETE,
    Compacted,
    Deleted,
    Pair,
    Write,
)
from meshd.store.base import StoreUnavailable
from tests.store.places import Place, client, clients, put, put_until_taken, run, told


def test_changes_are_whole_revisions_of_the_prefix(place: Place) -> None:
    async def test() -> None:
        async with clients(place, 2) as (writer, reader):
            a, b = place.prefix + "a", place.prefix + "b"
            start = await put(writer, a)
            async with aclosing(reader.changes(place.prefix, start)) as batches:
                assert await anext(batches) == ()
                await writer.commit(Write(b, ABSENT, b"1"), Write(a, start, DELETE), Write("x" + a, ANY, b""))
                await put(writer, "x" + a)
                await put(writer, b, b"2")
                changes = list(await anext(batches))
                while len(changes) < 2:
                    changes += await anext(batches)
            assert [change.revision for change in changes] == [start + 1, start + 3]
            assert changes[0].pairs == (Pair(b, b"1", start + 1, start + 1), Deleted(a, start + 1))
            assert changes[1].pairs == (Pair(b, b"2", start + 3, start + 1),)

    run(test())


def test_changes_can_be_taken_up_at_any_revision(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            revisions = [await put(store, place.prefix + "a", b"%d" % n) for n in range(6)]
            for index, after in enumerate(revisions[:-1]):
                changes = await told(store, place.prefix, after, 5 - index)
                assert [change.revision for change in changes] == revisions[index + 1 :]

    run(test())


def test_changes_from_before_a_compaction_are_refused(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            revisions = [await put(store, place.prefix + "a") for _ in range(4)]
            await place.compact(revisions[2])
            with pytest.raises(Compacted):
                await told(store, place.prefix, revisions[0], 1)
            changes = await told(store, place.prefix, revisions[2], 1)
            assert [change.revision for change in changes] == revisions[3:]

    run(test())


def test_changes_after_a_revision_the_store_never_had_are_refused(place: Place) -> None:
    """It was put back to an earlier state: what it says from here on does not follow from what it said."""

    async def test() -> None:
        async with client(place) as store:
            revision = await put(store, place.prefix)
            with pytest.raises(Compacted):
                await told(store, place.prefix, revision + 1_000, 1)

    run(test())


def test_changes_have_no_gap_when_the_store_dies_and_comes_back(place: Place) -> None:
    async def test() -> None:
        async with clients(place, 2) as (writer, reader):
            start = (await reader.snapshot(place.prefix)).revision
            following = asyncio.create_task(told(reader, place.prefix, start, 60))
            for n in range(60):
                if n in (20, 40):
                    await place.cut()
                    with pytest.raises(StoreUnavailable):
                        await writer.check(0.2)
                    await place.heal()
                await put_until_taken(writer, f"{place.prefix}{n:02}")
            changes = await following
            assert [pair.key for change in changes for pair in change.pairs] == [
                f"{place.prefix}{n:02}" for n in range(60)
            ]

    run(test())


def test_catching_up_that_is_broken_off_goes_on_where_it_was(place: Place) -> None:
    """It goes by the events told: what heads them is ahead while a watch catches up, by thousands of events here."""

    async def test() -> None:
        async with client(place) as writer, place.far_client() as far:
            start = await put(writer, place.prefix)
            for first in range(0, 3_000, 100):
                await asyncio.gather(*(put(writer, f"{place.prefix}{n:04}") for n in range(first, first + 100)))
            seen: list[str] = []
            after, breaks = start, 0
            while len(seen) < 3_000:
                try:
                    async with aclosing(far.store.changes(place.prefix, after)) as batches:
                        async for batch in batches:
                            for change in batch:
                                after = change.revision
                                seen += [pair.key for pair in change.pairs]
                            if batch and breaks < 2 and len(seen) < 3_000:
                                breaks += 1
                                await far.cut()
                                await far.heal()
                            if len(seen) == 3_000:
                                break
                except StoreUnavailable:
                    await far.heal()
            assert sorted(seen) == [f"{place.prefix}{n:04}" for n in range(3_000)], "each once"

    run(test())


def test_compaction_while_cut_off_is_noticed_after_it(place: Place) -> None:
    async def test() -> None:
        async with client(place) as writer, place.far_client() as far:
            start = await put(writer, place.prefix)
            batches = far.store.changes(place.prefix, start)
            assert await anext(batches) == ()
            await far.cut()
            revisions = [await put(writer, place.prefix + "a") for _ in range(3)]
            await place.compact(revisions[1])
            await far.heal()
            with pytest.raises(Compacted):
                await told(far.store, place.prefix, start, 1)
            snapshot = await far.store.snapshot(place.prefix)
            assert [pair.mod for pair in snapshot.pairs] == [start, revisions[2]]
            await batches.aclose()

    run(test())
