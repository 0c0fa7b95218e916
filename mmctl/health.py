"""A cluster at a glance: what it is, what it holds, and what is wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from meshcore.census import Counted
from mmctl.cluster import Cluster
from mmctl.local.state import State
from mmctl.problems import Problem, Seen, behind, newest_revision, problems
from mmctl.values import Info, Instance

LOAD_TIMEOUT_MS = 300_000
"""How long a load may take where no instance says what its runtime has."""
LAG_S = 1.0
"""An instance that was not told of a change after so long is behind."""
VANISHED_MS = 600_000
"""So long it is told that an instance was seen and is gone."""


@dataclass(frozen=True, slots=True)
class Health:
    """All of it at ``at_ms``."""

    info: Info
    instances: tuple[Instance, ...]
    census: Counted
    problems: tuple[Problem, ...]
    at_ms: int

    @property
    def capacity_bytes(self) -> int:
        """Of the instances that count."""
        return sum(each.capacity_bytes for each in self._ours)

    @property
    def used_bytes(self) -> int:
        """Of the instances that count."""
        return sum(each.used_bytes for each in self._ours)

    @property
    def loads_in_progress(self) -> int:
        """Of the instances that count."""
        return sum(each.loads_in_progress for each in self._ours)

    @property
    def requests_per_minute(self) -> int:
        """Of the instances that count."""
        return sum(each.requests_per_minute for each in self._ours)

    @property
    def _ours(self) -> list[Instance]:
        return [each for each in self.instances if not each.is_java]


class Examiner:
    """Looks at one cluster, once or again and again; it remembers what it needs to tell what is gone or behind."""

    def __init__(self, cluster: Cluster, local: Callable[[], State | None], expected: int = 0) -> None:
        """``local`` gives the processes when the cluster is the one on this machine; ``expected`` instances (0: any
        number)."""
        self._cluster, self._local, self._expected = cluster, local, expected
        self._revision = 0
        self._revision_at_s = 0.0
        """When somebody knew of that revision."""
        self._known: dict[str, int] = {}
        """Instances that did not say that they go, and when they were seen last."""

    async def look(self) -> Health:
        """Ask for everything."""
        info = await self._cluster.info()
        instances = await self._cluster.instances(asked=True)
        timeouts_ms = [each.now.load_timeout_ms for each in instances if each.now is not None]
        census = await self._cluster.census(max(timeouts_ms, default=0) or LOAD_TIMEOUT_MS)
        late = await self._late(instances, census)
        now_ms = int(time.time() * 1000)
        local = self._local()
        down = [(each.name, each.instance) for each in local.services if not each.is_up] if local is not None else []
        vanished = self._vanished(instances, now_ms)
        seen = Seen(info, instances, census, now_ms, down, self._expected, late, vanished)
        return Health(info, tuple(instances), census, problems(seen), now_ms)

    async def _late(self, instances: list[Instance], census: Counted) -> dict[str, int]:
        """Who is behind, of those that can be asked: a change that is just on its way is no lag."""
        clock = asyncio.get_running_loop().time
        newest = newest_revision(instances, census)
        if not self._revision:
            self._revision, self._revision_at_s = newest, clock()
            if not behind(instances, newest):
                return {}
            await asyncio.sleep(LAG_S)
            instances = await self._cluster.instances(asked=True)
        if clock() - self._revision_at_s < LAG_S:
            return {}
        late = behind(instances, self._revision)
        self._revision, self._revision_at_s = newest, clock()
        return late

    def _vanished(self, instances: list[Instance], now_ms: int) -> dict[str, int]:
        there = {each.id for each in instances}
        for each in instances:
            if each.phase in ("draining", "stopping"):
                self._known.pop(each.id, None)
            else:
                self._known[each.id] = now_ms
        self._known = {name: at_ms for name, at_ms in self._known.items() if now_ms - at_ms < VANISHED_MS}
        return {name: at_ms for name, at_ms in self._known.items() if name not in there}
