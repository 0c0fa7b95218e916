"""An etcd that knows users: tokens that are forgotten or too old, wrong passwords, keys of others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from random import Random

import grpc
import pytest

from meshcore.kv import ANY, Change, Committed, Deleted, Snapshot, Write
from meshd.store.base import StoreRefused
from meshd.store.etcd import EtcdStore
from meshd.store.etcd_channel import Endpoint, EtcdConfig
from meshd.store.mirror import mirror
from protos import etcd_pb2, etcd_pb2_grpc
from tests.etcd import EtcdServer
from tests.store.places import etcd_client, run, told

pytestmark = pytest.mark.etcd


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[EtcdServer]:
    """Its tokens are good for one second without use."""
    server = EtcdServer(tmp_path, ["--auth-token-ttl=1"]).start()
    yield server
    server.kill()


async def enable_users(address: str) -> None:
    """A user root, and a user mesh that may use the keys under mesh/."""
    async with grpc.aio.insecure_channel(address) as channel:
        auth = etcd_pb2_grpc.AuthStub(channel)
        for name in ("root", "mesh"):
            await auth.UserAdd(etcd_pb2.AuthUserAddRequest(name=name, password=f"{name}'s"))
            await auth.RoleAdd(etcd_pb2.AuthRoleAddRequest(name=name))
            await auth.UserGrantRole(etcd_pb2.AuthUserGrantRoleRequest(user=name, role=name))
        permission = etcd_pb2.Permission(permType=etcd_pb2.Permission.READWRITE, key=b"mesh/", range_end=b"mesh0")
        await auth.RoleGrantPermission(etcd_pb2.AuthRoleGrantPermissionRequest(name="mesh", perm=permission))
        await auth.AuthEnable(etcd_pb2.AuthEnableRequest())


def user(server: EtcdServer, name: str = "mesh") -> EtcdStore:
    """A client that knows its user's password."""
    return EtcdStore(EtcdConfig((Endpoint(server.address),), name, f"{name}'s"), "mesh", Random(1))


def test_user_is_let_in_with_a_token_that_is_renewed(own_server: EtcdServer) -> None:
    """etcd forgets its tokens when it restarts, and says of a watch with such a token that it has no permission."""

    async def test() -> None:
        config = EtcdConfig((Endpoint(own_server.address),), "mesh", "mesh's")
        store = EtcdStore(config, "mesh", Random(1))
        await store.check(10)
        assert isinstance(await store.commit(Write("mesh/0", ANY, b"before there are users")), Committed)
        await enable_users(own_server.address)
        await store.check(10)
        done = await store.commit(Write("mesh/a", ANY, b"1"))
        assert isinstance(done, Committed)
        async with store.session(3) as session:
            await store.commit(Write("mesh/leased", ANY, b"1", leased=True))
            await asyncio.to_thread(own_server.kill)
            await session.lost.wait()
            await asyncio.to_thread(own_server.start)
            async with aclosing(store.changes("mesh/", done.revision)) as batches:
                await anext(batches)
            await session.resumed.wait()
            await store.commit(Write("mesh/leased", ANY, b"2", leased=True))
        assert [pair.key for pair in (await store.snapshot("mesh/")).pairs] == ["mesh/0", "mesh/a"]
        mine, not_mine = await asyncio.gather(
            store.commit(Write("mesh/b", ANY, b"1")),
            store.commit(Write("elsewhere", ANY, b"1")),
            return_exceptions=True,
        )
        assert isinstance(mine, Committed)
        assert isinstance(not_mine, StoreRefused)
        assert "permission denied" in str(not_mine)
        with pytest.raises(StoreRefused, match="permission denied"):
            await store.snapshot("elsewhere")
        with pytest.raises(StoreRefused, match="permission denied"):
            await anext(store.changes("elsewhere", done.revision))
        await store.close()

        stranger = EtcdStore(EtcdConfig((Endpoint(own_server.address),), "mesh", "wrong"), "mesh", Random(1))
        with pytest.raises(StoreRefused, match="authentication failed"):
            await stranger.check(10)
        await stranger.close()

        nobody = etcd_client(own_server.address)
        with pytest.raises(StoreRefused, match="user name is empty"):
            await nobody.read("mesh/a")
        await nobody.close()

    run(test())


async def wait_out_a_lease(address: str, seconds: int) -> None:
    """Return when a lease of that length, which root took and nobody renews, has ended."""
    root = EtcdStore(EtcdConfig((Endpoint(address),), "root", "root's"), "", Random(2))
    async with grpc.aio.insecure_channel(address) as channel:
        asked = etcd_pb2.AuthenticateRequest(name="root", password="root's")
        metadata = (("token", (await etcd_pb2_grpc.AuthStub(channel).Authenticate(asked)).token),)
        after = (await root.read("clock")).revision
        granted = etcd_pb2.LeaseGrantRequest(TTL=seconds)
        lease = (await etcd_pb2_grpc.LeaseStub(channel).LeaseGrant(granted, metadata=metadata)).ID
        put = etcd_pb2.PutRequest(key=b"clock", value=b"1", lease=lease)
        await etcd_pb2_grpc.KVStub(channel).Put(put, metadata=metadata)
        changes = await told(root, "clock", after, 2)
    assert isinstance(changes[1].pairs[0], Deleted)
    await root.close()


def test_token_that_was_not_used_for_too_long_is_renewed(forgetful: EtcdServer) -> None:
    async def test() -> None:
        await enable_users(forgetful.address)
        writer, reader, watcher, holder = stores = [user(forgetful) for _ in range(4)]

        async def take_a_session() -> None:
            async with holder.session(5) as session:
                assert not session.lost.is_set()

        for store in stores:
            await store.check(10)
        tokens = [store._cluster._token for store in stores]
        await wait_out_a_lease(forgetful.address, 3)
        await asyncio.gather(
            writer.commit(Write("mesh/b", ANY, b"1")),
            reader.snapshot("mesh/"),
            anext(watcher.changes("mesh/", 1)),
            take_a_session(),
        )
        assert all(store._cluster._token != token for store, token in zip(stores, tokens, strict=True))
        for store in stores:
            await store.close()

    run(test())


def test_user_that_etcd_does_not_know_any_more_finds_no_store_and_goes_on_when_it_does(own_server: EtcdServer) -> None:
    """As with a password that was changed: what is followed goes on where it was when it is right again."""

    async def add_user() -> None:
        async with grpc.aio.insecure_channel(own_server.address) as channel:
            auth = etcd_pb2_grpc.AuthStub(channel)
            asked = etcd_pb2.AuthenticateRequest(name="root", password="root's")
            metadata = (("token", (await auth.Authenticate(asked)).token),)
            await auth.UserAdd(etcd_pb2.AuthUserAddRequest(name="late", password="late's"), metadata=metadata)
            await auth.UserGrantRole(etcd_pb2.AuthUserGrantRoleRequest(user="late", role="mesh"), metadata=metadata)

    async def test() -> None:
        store = user(own_server, "late")
        away: asyncio.Queue[str] = asyncio.Queue()
        back = asyncio.Event()
        snapshots: list[Snapshot] = []
        changes: asyncio.Queue[Change] = asyncio.Queue()
        following = asyncio.create_task(
            mirror(
                store, "mesh/", snapshots.append, changes.put_nowait,
                on_unavailable=away.put_nowait, on_available=back.set, rng=Random(1),
            )
        )  # fmt: skip
        await store.commit(Write("mesh/a", ANY, b"1"))
        await enable_users(own_server.address)
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        await away.get()
        with pytest.raises(StoreRefused, match="authentication failed"):
            await store.read("mesh/a")
        assert not following.done()
        await add_user()
        await back.wait()
        await store.commit(Write("mesh/b", ANY, b"1"))
        told_keys = [pair.key for snapshot in snapshots for pair in snapshot.pairs]
        while "mesh/b" not in told_keys:
            told_keys += [pair.key for pair in (await changes.get()).pairs]
        assert told_keys == ["mesh/a", "mesh/b"]
        following.cancel()
        await asyncio.wait([following])
        await store.close()

    run(test())


def test_permission_to_write_that_is_taken_away_leaves_reads_and_watches(own_server: EtcdServer) -> None:
    """Every write is refused then, in words that say what to do, until it is given back."""

    async def allow(kind: int) -> None:
        root = EtcdStore(EtcdConfig((Endpoint(own_server.address),), "root", "root's"), "", Random(1))
        permission = etcd_pb2.Permission(permType=kind, key=b"mesh/", range_end=b"mesh0")
        request = etcd_pb2.AuthRoleGrantPermissionRequest(name="mesh", perm=permission)
        await root._cluster.ask(lambda member: member.auth.RoleGrantPermission, request, 10)
        await root.close()

    async def test() -> None:
        await enable_users(own_server.address)
        store = user(own_server)
        done = await store.commit(Write("mesh/a", ANY, b"1"))
        assert isinstance(done, Committed)
        async with aclosing(store.changes("mesh/", done.revision)) as batches:
            assert await anext(batches) == ()
            await allow(etcd_pb2.Permission.READ)
            with pytest.raises(StoreRefused, match=r"permission denied: .* grant its role readwrite") as refused:
                await store.commit(Write("mesh/b", ANY, b"1"))
            assert refused.value.is_for_all
            assert [pair.key for pair in (await store.read("mesh/a")).pairs] == ["mesh/a"]
            await allow(etcd_pb2.Permission.READWRITE)
            await store.commit(Write("mesh/b", ANY, b"1"))
            (change,) = await anext(batches)
            assert [pair.key for pair in change.pairs] == ["mesh/b"]
        await store.close()

    run(test())
