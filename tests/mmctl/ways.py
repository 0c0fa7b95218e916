"""Both ways to one cluster, and what is asked of it whichever way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from mmctl.cluster import Cluster
from mmctl.mesh import MeshCluster
from mmctl.values import (
    Model,
    ModelFilter,
    Registered,
    Registration,
    Unregistered,
)

NOBODY = "127.0.0.1:1"


@asynccontextmanager
async def opened(via: Callable[[], Cluster]) -> AsyncIterator[Cluster]:
    cluster = via()
    try:
        yield cluster
    finally:
        await cluster.close()


def asking(via: Callable[[], Cluster], question: Callable[[Cluster], Awaitable[Any]]) -> Any:
    """The answer of a cluster to one question."""

    async def ask() -> Any:
        async with opened(via) as cluster:
            return await question(cluster)

    return asyncio.run(ask())


def register(via: Callable[[], Cluster], *wanted: Registration, dry_run: bool = False) -> dict[str, Registered]:
    async def question(cluster: Cluster) -> dict[str, Registered]:
        return {result.name: result async for result in cluster.register(wanted, dry_run)}

    results: dict[str, Registered] = asking(via, question)
    assert len(results) == len(wanted)
    return results


def unregister(via: Callable[[], Cluster], *names: str, dry_run: bool = False) -> dict[str, Unregistered]:
    async def question(cluster: Cluster) -> dict[str, Unregistered]:
        return {result.name: result async for result in cluster.unregister(names, dry_run)}

    results: dict[str, Unregistered] = asking(via, question)
    return results


def models(via: Callable[[], Cluster], wanted: ModelFilter, limit: int = 0) -> list[Model]:
    async def question(cluster: Cluster) -> list[Model]:
        return [model async for model in cluster.models(wanted, limit)]

    found: list[Model] = asking(via, question)
    return found


def get(via: Callable[[], Cluster], name: str) -> Model:
    model: Model = asking(via, lambda cluster: cluster.get(name))
    return model


def alike(
    via: Callable[[], Cluster], other: Callable[[], Cluster], name: str, is_wanted: Callable[[Model], bool]
) -> Model | None:
    """The model, once it is as wanted and both ways show the same."""
    model = get(via, name)
    return model if is_wanted(model) and get(other, name) == model else None


def mine(via: Callable[[], Cluster], name: str) -> str:
    """A name that no other test, nor this one the other way, uses."""
    return f"{'mesh' if isinstance(via(), MeshCluster) else 'registry'}-{name}"
