"""Records changed in transactions: who is in conflict, or refused, holds up nobody else."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from meshcore.kv import ABSENT, ANY, MOST_WRITES, Committed, Conflict, Pair, Write
from meshd.store.base import StoreRefused, StoreUnavailable
from meshd.store.memory import MemoryHub, MemoryStore
from mmctl.batches import MOST_BYTES, MOST_TURNS, Edit, Editing, edited


class Busy(MemoryStore):
    """A store in which others write between a read and a commit, and which refuses some values."""

    def __init__(self) -> None:
        super().__init__(MemoryHub(), Random(1))
        self.others: dict[str, int] = {}
        """How often each key is still written by somebody else."""
        self.refused: set[str] = set()
        self.is_full_after = 10**9
        self.transactions: list[int] = []

    async def commit(self, *writes: Write) -> Committed | Conflict:
        for write in writes:
            if self.others.get(write.key, 0):
                self.others[write.key] -= 1
                await super().commit(Write(write.key, ANY, f"other {self.others[write.key]}".encode()))
        if self.refused & {write.key for write in writes}:
            raise StoreRefused("request is too large")
        if len(self.transactions) >= self.is_full_after:
            full = StoreRefused("space exceeded")
            full.is_for_all = True  # type: ignore[misc]
            raise full
        self.transactions.append(len(writes))
        assert sum(3 * len(write.key) + len(write.value) for write in writes) <= MOST_BYTES or len(writes) == 1  # type: ignore[arg-type]
        return await super().commit(*writes)


def append(keys: list[str]) -> Editing[tuple[str, str]]:
    """Put an x behind what a key holds; ``stop`` is left as it is."""

    def edit(at: int, pair: Pair | None) -> Edit[tuple[str, str]]:
        before = pair.value.decode() if pair else ""
        if before == "stop":
            return Edit(None, (keys[at], before))
        after = f"{before}x"
        return Edit(Write(keys[at], pair.mod if pair else ABSENT, after.encode()), (keys[at], after))

    return Editing(edit, lambda at, code, text: (keys[at], f"{code}: {text}"))


def done(store: Busy, keys: list[str], how: Editing[tuple[str, str]] | None = None) -> dict[str, str]:
    async def run() -> dict[str, str]:
        results = [result async for result in edited(store, keys, how or append(keys))]
        assert len(results) == len(keys)
        return dict(results)

    return asyncio.run(run())


def test_transactions_have_as_many_records_as_one_may_hold() -> None:
    store = Busy()
    keys = [f"k{at:03}" for at in range(300)]
    assert done(store, keys) == dict.fromkeys(keys, "x")
    assert sorted(store.transactions) == [300 - 2 * MOST_WRITES, MOST_WRITES, MOST_WRITES]
    assert done(store, keys) == dict.fromkeys(keys, "xx")


def test_long_keys_and_values_make_for_more_transactions() -> None:
    """The store of the test checks the size of each."""
    store = Busy()
    keys = [f"{at:03}{'k' * 4_000}" for at in range(130)]
    assert done(store, keys) == dict.fromkeys(keys, "x")
    large = [f"v{at}" for at in range(4)]
    how = Editing(
        lambda at, pair: Edit(Write(large[at], ABSENT, b"x" * 300_000), (large[at], "")), append(large).failed
    )
    assert done(store, large, how) == dict.fromkeys(large, "")


def test_record_in_conflict_goes_on_from_what_is_there_now_and_the_others_are_done() -> None:
    store = Busy()
    keys = [f"k{at}" for at in range(10)]
    store.others = {"k3": 1, "k7": 2}
    assert done(store, keys) == {**dict.fromkeys(keys, "x"), "k3": "other 0x", "k7": "other 0x"}


def test_record_that_needs_no_change_after_a_conflict_is_left_alone() -> None:
    store = Busy()
    how = append(["k"])

    def edit(at: int, pair: Pair | None) -> Edit[tuple[str, str]]:
        return Edit(None, ("k", "as others left it")) if pair else how.edit(at, pair)

    store.others = {"k": 1}
    assert done(store, ["k"], Editing(edit, how.failed)) == {"k": "as others left it"}


def test_record_that_others_change_all_the_time_is_given_up_and_the_others_are_done() -> None:
    store = Busy()
    store.others = {"hot": 10**6}
    told = done(store, ["a", "hot", "b"])
    assert told == {"a": "x", "b": "x", "hot": f"ABORTED: others changed it {MOST_TURNS} times meanwhile"}


def test_record_that_is_refused_is_told_and_the_others_are_done() -> None:
    store = Busy()
    store.refused = {"k3"}
    keys = [f"k{at}" for at in range(5)]
    assert done(store, keys) == {**dict.fromkeys(keys, "x"), "k3": "FAILED_PRECONDITION: request is too large"}


@pytest.mark.parametrize("what", ["full", "away"])
def test_store_that_takes_nothing_more_ends_it_and_what_was_told_is_done(what: str) -> None:
    store = Busy()
    keys = [f"k{at:04}" for at in range(20 * MOST_WRITES)]
    if what == "full":
        store.is_full_after = 6
    told: list[tuple[str, str]] = []

    async def run() -> None:
        async for result in edited(store, keys, append(keys)):
            told.append(result)
            if what == "away":
                store.cut()

    with pytest.raises(StoreRefused if what == "full" else StoreUnavailable):
        asyncio.run(run())
    store.heal()
    assert 0 < len(told) < len(keys)

    async def check() -> None:
        for name, value in told:
            (pair,) = (await store.read(name)).pairs
            assert pair.value.decode() == value

    asyncio.run(check())


def test_nothing_goes_on_behind_who_does_not_wait_for_the_end() -> None:
    store = Busy()
    keys = [f"k{at:04}" for at in range(20 * MOST_WRITES)]

    async def run() -> int:
        results = edited(store, keys, append(keys))
        await anext(results)
        await results.aclose()
        transactions = len(store.transactions)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others
        return transactions

    assert asyncio.run(run()) < 20
