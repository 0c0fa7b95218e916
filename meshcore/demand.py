"""How much memory the models in use need of this instance: what the number of instances can go by."""

from __future__ import annotations

from collections.abc import Callable

from meshcore.cache import Cache

IN_USE_MS = 3_600_000
"""A model that was asked for within this is in use; a shutdown has such models taken over, too."""


def wanted_units(cache: Cache, ready: Callable[[str], int], now: int) -> int:
    """Cache units of the copies here that were used within IN_USE_MS before ``now``, in epoch ms.

    Copies that others can answer for are made where there is room, and go where there is none. So such a model counts
    once in all, each copy by its share of the ``ready`` ones: else another instance would bring about more copies, and
    those would call for another instance.
    """
    wanted = 0
    for model, _ in cache.lru.since(now - IN_USE_MS):
        entry = cache.entries[model]
        wanted += entry.weight // max(1, ready(model)) if entry.is_redundant else entry.weight
    return wanted
