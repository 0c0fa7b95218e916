"""A node of which it is known what it had on its hands at a time, and how many requests its runtime got."""

from __future__ import annotations

from functools import lru_cache
from random import Random

from meshcore.asks import Done, Failed, Outcome, Step
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.events import Event, Used
from meshcore.me import Me
from meshcore.node import Node
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.routing import Flow
from meshcore.rules import Rules
from meshcore.settings import Settings

READ_ONCE = 4096
"""Records of each kind; all instances are told of the same bytes, one soon after the other."""

_read_model = lru_cache(READ_ONCE)(ModelRecord.decode)
_read_instance = lru_cache(READ_ONCE)(InstanceRecord.decode)


class WatchedNode(Node):
    """Does what a Node does; ``peak_loads`` is the most loads that were running or waiting here at one time,
    ``peak_deficit_units`` the most memory beyond the capacity, for copies larger than predicted, and ``served`` counts
    the requests that copies here took, as far as the node was told."""

    NOT_STATE = Node.NOT_STATE | {"peak_loads", "peak_deficit_units", "served"}

    def __init__(self, me: Me, settings: Settings, params: CacheParams, rules: Rules, rng: Random) -> None:
        super().__init__(me, settings, params, rules, rng)
        self.view.read_model, self.view.read_instance = _read_model, _read_instance
        self.peak_loads = self.peak_deficit_units = self.served = 0

    def step(self, event: Event, now: int) -> list[Command]:
        """As the node does."""
        if isinstance(event, Used):
            self.served += sum(usage.count for usage in event.usages)
        commands = super().step(event, now)
        self._look()
        return commands

    def resume(self, flow: Flow, outcome: Outcome | None, now: int) -> tuple[Step | Done | Failed, list[Command]]:
        """As the node does."""
        told = super().resume(flow, outcome, now)
        self._look()
        return told

    def _look(self) -> None:
        self.peak_loads = max(self.peak_loads, self.copies.queue.in_progress)
        self.peak_deficit_units = max(self.peak_deficit_units, self.cache.buffer.deficit)
