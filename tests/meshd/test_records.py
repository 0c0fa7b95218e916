"""The records of one service: where they lie, what writes and reads of them come to, and how they are followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from meshcore.asks import Clashed, StoreSilent, Wrote
from meshcore.errors import BadRecord
from meshcore.events import Event, InstancesSeen, RegistrySeen, Seen, SessionRenewed, StoreFound, StoreLost
from meshcore.kv import ABSENT, ANY, DELETE, Committed, Conflict, Snapshot, Write
from meshd.reach import Reach
from meshd.records import READ_MOST, Keys, Records, cluster_key, follow, follow_session, keep_key
from meshd.store.base import Session, StoreRefused
from meshd.store.memory import MemoryHub, MemoryStore

GUARD_S = 60
KEYS = Keys("/root", "mm", "svc")


class Counting(MemoryStore):
    """Remembers how many keys each read asked for."""

    def __init__(self, hub: MemoryHub) -> None:
        super().__init__(hub, Random(1))
        self.reads: list[int] = []
        self.refusal: StoreRefused | None = None

    async def commit(self, *writes: Write) -> Committed | Conflict:
        if self.refusal is not None:
            raise self.refusal
        return await super().commit(*writes)

    async def read(self, *keys: str) -> Snapshot:
        self.reads.append(len(keys))
        return await super().read(*keys)


def run(test: Callable[[MemoryHub, Counting, Records], Coroutine[Any, Any, None]]) -> None:
    async def scene() -> None:
        async with asyncio.timeout(GUARD_S):
            hub = MemoryHub()
            store = Counting(hub)
            await test(hub, store, Records(store, KEYS, "i0"))
            await store.close()

    asyncio.run(scene())


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD_S):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_records_lie_where_modelmesh_looks_for_them() -> None:
    assert (KEYS.registry, KEYS.instances) == ("/root/mm/svc/registry/", "/root/mm/svc/instances/")
    assert (KEYS.vmodels, KEYS.config) == ("/root/mm/svc/vmodels/", "/root/mm/svc/config/")
    assert KEYS.leader_latch == "/root/mm/svc/leaderLatch/"
    assert KEYS.cluster_key == "/root/mm/svc/meshd/key"
    assert Keys("", "tas-runtime", "s").registry == "/tas-runtime/s/registry/"


def test_a_write_tells_what_it_came_to() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        assert await records.write("m/ä", ABSENT, b"1") == Wrote(2)
        assert (await store.read("/root/mm/svc/registry/m/ä")).pairs[0].value == b"1"
        assert await records.write("m/ä", ABSENT, b"2") == Clashed(b"1", 2)
        assert await records.write("m/ä", 2, b"2") == Wrote(3)
        assert await records.write("m/ä", 2, None) == Clashed(b"2", 3)
        assert await records.write("m/ä", 3, None) == Wrote(4)
        await store.commit(Write("elsewhere", ANY, b""))
        assert await records.write("m/ä", 2, b"3") == Clashed(None, 5), "absent, and since when only the store knows"
        store.cut()
        assert await records.write("m/ä", ABSENT, b"4") == StoreSilent("cut off from the memory store")

    run(test)


def test_a_write_that_is_meant_for_when_an_instance_is_gone_is_not_made_while_it_is_there() -> None:
    """What comes back then is the model's own record, as it was expected to stand."""

    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        assert await records.write("m", ABSENT, b"1") == Wrote(2)
        await store.commit(Write(KEYS.instances + "i1", ANY, b"{}"))
        assert await records.write("m", 2, b"2", ("i0", "i1")) == Clashed(b"1", 2)
        await store.commit(Write(KEYS.instances + "i1", ANY, DELETE))
        assert await records.write("m", 2, b"2", ("i0", "i1")) == Wrote(5)

    run(test)


def test_the_store_is_away_while_any_part_of_it_cannot_be_followed() -> None:
    told: list[Event] = []
    reach = Reach()
    reach.tell = told.append
    reach.lost("registry/", "no leader")
    reach.lost("instances/", "no leader")
    assert not reach
    reach.found("registry/")
    assert told == [StoreLost()]
    reach.found("instances/")
    assert reach
    assert told == [StoreLost(), StoreFound()]


@pytest.mark.parametrize("is_for_all", [False, True])
def test_a_refusal_of_every_write_is_told_from_one_of_this_write(is_for_all: bool) -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        refused = StoreRefused("etcd refused: it is full")
        refused.is_for_all = is_for_all
        store.refusal = refused
        assert await records.write("m", ABSENT, b"1") == StoreSilent("etcd refused: it is full", is_for_all)

    run(test)


def test_reads_that_come_together_are_one() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        await records.write("a", ABSENT, b"1")
        asked = ("a", "b", "a", "c", "b")
        seen = await asyncio.gather(*(records.read(model) for model in asked))
        assert seen == [
            Seen("a", b"1", 2), Seen("b", None, 2), Seen("a", b"1", 2), Seen("c", None, 2), Seen("b", None, 2),
        ]  # fmt: skip
        assert store.reads == [3]

    run(test)


def test_a_flood_of_unknown_ids_is_a_few_reads() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        many = 2 * READ_MOST + 50
        seen = await asyncio.gather(*(records.read(f"m{number}") for number in range(many)))
        assert [each for each in seen if not isinstance(each, Seen)] == []
        assert store.reads == [READ_MOST, READ_MOST, 50]

    run(test)


def test_who_stops_waiting_for_a_read_stops_nobody_else() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        first, second = (asyncio.create_task(records.read("a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == Seen("a", None, 1)
        assert await records.read("a") == Seen("a", None, 1)

    run(test)


def test_reads_of_a_store_that_is_away_are_told_so_and_the_next_ones_try_again() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        store.cut()
        told = await asyncio.gather(records.read("a"), records.read("b"))
        assert set(told) == {StoreSilent("cut off from the memory store")}
        store.heal()
        assert await records.read("a") == Seen("a", None, 1)

    run(test)


def test_an_instances_record_hangs_on_its_lease() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        async with store.session(20):
            assert await records.publish(b"me") == ""
            (pair,) = (await store.snapshot(KEYS.instances)).pairs
            assert (pair.key, pair.value) == ("/root/mm/svc/instances/i0", b"me")
            assert pair.lease
            await records.withdraw()
            assert not (await store.snapshot(KEYS.instances)).pairs
            await records.publish(b"me again")
            store.cut()
            assert await records.publish(b"me") == "cut off from the memory store"
            store.heal()
        assert not (await store.snapshot(KEYS.instances)).pairs

    run(test)


def test_all_instances_come_to_the_same_key() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        keys = await asyncio.gather(*(cluster_key(store, KEYS, bytes([number] * 32)) for number in range(5)))
        assert len(set(keys)) == 1
        assert await cluster_key(store, KEYS, b"late" * 8) == keys[0]

    run(test)


def test_what_is_followed_is_told_whole_and_then_change_by_change() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        await records.write("a", ABSENT, b"1")
        await store.commit(Write("/root/mm/svc/vmodels/a", ANY, b"other"))
        told: list[Event] = []
        is_known = asyncio.Event()
        following = asyncio.create_task(
            follow(store, KEYS.registry, RegistrySeen, told.append, is_known, Reach(), Random(1))
        )
        await is_known.wait()
        assert told == [RegistrySeen(3, (Seen("a", b"1", 2),), is_whole=True)]
        await store.commit(Write(KEYS.registry + "b", ANY, b"2"), Write(KEYS.registry + "a", ANY, DELETE))
        await until(lambda: len(told) == 2)
        last = told[1]
        assert isinstance(last, RegistrySeen)
        assert last.revision == 4
        assert not last.is_whole
        assert sorted(last.models, key=lambda seen: seen.id) == [Seen("a", None, 4), Seen("b", b"2", 4)]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run(test)


def test_it_is_known_whether_the_store_can_be_followed(caplog: pytest.LogCaptureFixture) -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        reach, told = Reach(), list[Event]()
        known = [asyncio.Event(), asyncio.Event()]
        following = [
            asyncio.create_task(follow(store, KEYS.registry, RegistrySeen, told.append, known[0], reach, Random(1))),
            asyncio.create_task(follow(store, KEYS.instances, InstancesSeen, told.append, known[1], reach, Random(1))),
        ]
        for each in known:
            await each.wait()
        assert reach
        store.cut()
        await until(lambda: not reach)
        store.heal()
        await until(lambda: bool(reach))
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    with caplog.at_level("INFO"):
        run(test)
    assert "the store is away: cut off from the memory store" in caplog.text
    assert "the store is back" in caplog.text


def test_a_lease_that_was_replaced_has_the_record_written_again() -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        told: list[Event] = []
        async with store.session(GUARD_S) as session:
            following = asyncio.create_task(follow_session(session, told.append, Reach()))
            first = session.id
            hub.kv.revoke(first)
            assert "session" in await records.publish(b"me")  # which is how the loss is noticed at once
            await until(lambda: told == [SessionRenewed()])
            assert session.id != first
            assert await records.publish(b"me") == ""
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    run(test)


OURS, ANOTHERS = b"ours" * 8, b"else" * 8


@pytest.mark.parametrize(
    ("in_store", "found", "used"),
    [(None, OURS, []), (OURS, OURS, []), (ANOTHERS, ANOTHERS, [ANOTHERS]), (b"short", b"short", [])],
    ids=["lost", "still there", "made anew by an instance that started", "nobody's"],
)
def test_all_go_by_one_key_after_the_store_has_lost_it(in_store: bytes | None, found: bytes, used: list[bytes]) -> None:
    """A store that lost all has lost leases, too; it may be away again when it is asked for the key."""

    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        told: list[bytes] = []
        session = Session(1)
        await store.commit(Write(KEYS.cluster_key, ANY, OURS))
        keeping = asyncio.create_task(keep_key(session, store, KEYS, OURS, told.append, Random(1)))
        await asyncio.sleep(0)
        assert store.reads == [], "with its lease it has the key, too"
        await store.commit(Write(KEYS.cluster_key, ANY, DELETE if in_store is None else in_store))
        session.lose()
        store.cut()
        session.resume(2)
        await until(lambda: bool(store.reads))
        store.heal()
        await until(lambda: len(store.reads) > 1)

        def stands() -> list[bytes]:
            return [pair.value for pair in hub.kv.snapshot(KEYS.cluster_key).pairs]

        await until(lambda: keeping.done() or (told, stands()) == (used, [found]))
        assert not keeping.done()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    run(test)


@pytest.mark.parametrize("length", [0, 31, 33, 1 << 20])
def test_a_key_that_no_mesh_has_made_is_told_of_and_left(length: int) -> None:
    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        await store.commit(Write(KEYS.cluster_key, ANY, b"x" * length))
        with pytest.raises(
            BadRecord, match=f'"/root/mm/svc/meshd/key" has {length} bytes, and the key of a mesh has 32'
        ):
            await cluster_key(store, KEYS, b"new!" * 8)
        assert (await store.read(KEYS.cluster_key)).pairs[0].value == b"x" * length

    run(test)


def test_a_key_that_nobody_can_name_is_told_of_once_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """Such a name can stand in no message; the others are followed as ever."""

    async def test(hub: MemoryHub, store: Counting, records: Records) -> None:
        events: list[Event] = []
        is_known = asyncio.Event()
        bad = [KEYS.registry, KEYS.registry + "a\udcff"]
        await store.commit(*(Write(key, ANY, b"{}") for key in [*bad, KEYS.registry + "ä"]))
        following = asyncio.create_task(
            follow(store, KEYS.registry, RegistrySeen, events.append, is_known, Reach(), Random(1))
        )
        await is_known.wait()
        await store.commit(*(Write(key, ANY, b"{}") for key in [*bad, KEYS.registry + "b"]))
        await store.commit(Write(bad[1], ANY, DELETE))
        await until(lambda: len(events) == 3)
        following.cancel()
        seen = [[(seen.id, seen.mod) for seen in event.models] for event in events if isinstance(event, RegistrySeen)]
        assert seen == [[("ä", 2)], [("b", 3)], []]
        assert [event.revision for event in events if isinstance(event, RegistrySeen)] == [2, 3, 4]

    run(test)
    told = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert len(told) == 2
    assert "Key b'/root/mm/svc/registry/a\\xff' names nothing in UTF-8" in told[1]
