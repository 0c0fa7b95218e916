"""What the shell offers behind a command: names of models, instances and contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import typer

from mmctl import contexts
from mmctl.errors import CommandError

MOST = 200
"""Names that are offered; with more of the name typed there are fewer."""

WITHIN_S = 2.0
"""A person waits at the prompt: after this nothing is offered."""


def context_names(incomplete: str) -> list[str]:
    """Names of contexts that begin so."""
    with suppress(CommandError):
        return _beginning(contexts.read().contexts, incomplete)
    return []


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of models that begin so, of the mesh that the options before them name."""
    from mmctl.values import ModelFilter

    async def names(cluster: Any) -> list[str]:
        return [model.name async for model in cluster.models(ModelFilter(name_prefix=incomplete), MOST)]

    return _beginning(_asked(ctx, names), incomplete)


def instance_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of instances that begin so."""

    async def names(cluster: Any) -> list[str]:
        return [instance.id for instance in await cluster.instances()]

    return _beginning(_asked(ctx, names), incomplete)


def service_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of processes of the mesh on this machine that begin so."""
    from mmctl.local.home import Home, default_data_dir

    with suppress(CommandError):
        state = Home(ctx.params.get("data_dir") or default_data_dir()).read()
        return _beginning([service.name for service in state.services] if state else [], incomplete)
    return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin so and that a shell takes as they are."""
    return [name for name in names if name.startswith(incomplete) and name.isprintable()][:MOST]


def _asked(ctx: typer.Context, question: Callable[[Any], Awaitable[list[str]]]) -> list[str]:
    from mmctl.connect import opened
    from mmctl.options import target_of

    async def ask() -> list[str]:
        async with asyncio.timeout(WITHIN_S), opened(target_of(ctx.params)) as cluster:
            return await question(cluster)

    with suppress(CommandError, TimeoutError):
        return asyncio.run(ask())
    return []
