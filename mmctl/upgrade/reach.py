"""The etcd of the mesh that an upgrade is about, and the mesh on this machine where it is that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from meshd.store.base import Store, StoreError, StoreUnavailable
from meshd.store.connect import open_store, parse_kv_store
from mmctl.connect import Target, local_state, resolve
from mmctl.errors import Failed, Unavailable, Usage
from mmctl.local.home import Home, default_data_dir
from mmctl.local.state import MESHD, State
from mmctl.registry import CHECK_S, DEFAULT_PREFIX, RegistryCluster
from mmctl.upgrade.ledger import Ledger

T = TypeVar("T")


@dataclass(slots=True)
class Reach:
    """All that is needed of one mesh while a command is at it."""

    store: Store
    root: str
    ledger: Ledger
    cluster: RegistryCluster
    home: Home | None
    """None: the mesh is not one of this machine."""
    state: State | None


def run(target: Target, command: Callable[[Reach], Awaitable[T]]) -> T:
    """What ``command`` makes of the mesh that ``target`` means."""

    async def reached() -> T:
        async with _reached(target) as reach:
            return await command(reach)

    return asyncio.run(reached())


@asynccontextmanager
async def _reached(target: Target) -> AsyncIterator[Reach]:
    home, state, found = _found(target)
    prefix = found.prefix or DEFAULT_PREFIX
    cluster = RegistryCluster(found.kv_store, found.service, prefix, found.tls)
    config = parse_kv_store(found.kv_store)
    store = open_store(config, Random())
    root = f"{config.root_prefix}/{prefix}/{found.service}"
    try:
        await store.check(CHECK_S)
        yield Reach(store, root, Ledger(store, root), cluster, home, state)
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from None
    except StoreError as error:
        raise Failed(str(error)) from None
    finally:
        await cluster.close()
        await store.close()


def _found(target: Target) -> tuple[Home | None, State | None, Target]:
    state = local_state(target)
    if state is not None:
        home = Home(target.data_dir or default_data_dir())
        if not state.is_up:
            raise Unavailable(f"no mesh is up in {home.path}: start it with `mmctl up --data-dir {home.path}`")
        prefix = next((service.env.get("MM_KVSTORE_PREFIX", "") for service in state.of_role(MESHD)), "")
        return home, state, Target(kv_store=state.kv_store, service=state.service, prefix=prefix, tls=target.tls)
    found = resolve(target)
    if not found.kv_store:
        raise Usage(
            "an upgrade keeps its state in etcd, and an endpoint does not lead there: give --kv-store and --service,"
            " a --context that has them, or the --data-dir of a mesh on this machine"
        )
    return None, None, found
