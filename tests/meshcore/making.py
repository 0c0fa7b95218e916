"""How nodes of a toy cluster are made."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from meshcore.capacity import CacheParams
from meshcore.me import Me
from meshcore.node import Node
from meshcore.rules import Rules
from meshcore.settings import Settings


def small_settings() -> Settings:
    """Two tries of an unload, so that losing memory is within reach; slices of one model, so that there are several."""
    return Settings(unload_retries=2, slice_models=1)


MakeNode = Callable[[Me, Settings, CacheParams, int], Node]


def make_node(me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
    return Node(me, settings, params, Rules(), Random(seed))
