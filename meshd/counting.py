"""Counts all registrations for whoever asks, a slice at a time: this instance has other things to do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from meshcore.census import Count, Counted
from meshcore.node import Node
from meshcore.records import InstanceRecord
from protos import meshd_pb2 as wire

SHARE = 20
"""A count is good for so many times what it took, so that counting never takes more than a part of this many."""


class Counting:
    """The last count is shared by all who ask while it is good, and one that is under way by all who wait."""

    def __init__(self, node: Node, elapsed_s: Callable[[], float] = perf_counter) -> None:
        self._node, self._elapsed_s = node, elapsed_s
        self._last = Counted()
        self._good_until_s = 0.0
        self._turn = asyncio.Lock()

    async def count(self) -> Counted:
        """The models of the mesh as this instance knows them."""
        async with self._turn:
            if self._elapsed_s() >= self._good_until_s:
                self._last, took_s = await self._counted()
                self._good_until_s = self._elapsed_s() + took_s * SHARE
            return self._last

    async def _counted(self) -> tuple[Counted, float]:
        """A new count, and the seconds of work in it."""
        node = self._node
        unread = dict.fromkeys(node.view.bad, InstanceRecord())  # there, but holding nothing as far as is known
        instances = {**unread, **dict(node.view.instances()), node.me: node.own_record()}
        count = Count(instances, node.now, node.cache.params.load_timeout_ms, node.settings.failure_expiry_ms)
        took_s = 0.0
        models = node.view.ids()
        size = node.settings.slice_models  # as upkeep: 5 ms where each is read, for it names copies
        for at in range(0, len(models), size):
            begun_s = self._elapsed_s()
            for model in models[at : at + size]:
                value = node.view.value(model)
                if value is not None:  # else it went since
                    count.add(model, value, node.view.mod(model))
            took_s += self._elapsed_s() - begun_s
            await asyncio.sleep(0)
        return count.done(), took_s


def census_message(counted: Counted) -> Any:
    """The count as a CensusResponse."""
    return wire.CensusResponse(
        registered=counted.registered, loaded=counted.loaded, loading=counted.loading, failed=counted.failed,
        unreadable=counted.unreadable, stuck=counted.stuck, short=counted.short, copies=counted.copies,
        at_ms=counted.at_ms, revision=counted.revision,
        failed_models=[
            wire.FailedModel(model=each.model, instance=each.instance, at_ms=each.at_ms, text=each.text)
            for each in counted.failed_models
        ],
        stuck_loads=[
            wire.StuckLoad(model=each.model, instance=each.instance, since_ms=each.since_ms)
            for each in counted.stuck_loads
        ],
        short_models=[
            wire.ShortModel(model=each.model, copies=each.copies, min_copies=each.min_copies)
            for each in counted.short_models
        ],
        gone=[wire.GoneInstance(instance=instance, models=models) for instance, models in counted.gone],
    )  # fmt: skip
