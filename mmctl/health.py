"""A cluster at a glance: what it is, what it holds, and what is wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from meshcore.census import Counted
from mmctl.cluster import Cluster
from mmctl.errors import Failed
from mmctl.local.state import State
from mmctl.lookback import LAG_MS, Lookback
from mmctl.problems import Problem, Seen, problems
from mmctl.upgrade.record import Upgrade
from mmctl.values import Info, Instance

LOAD_TIMEOUT_MS = 300_000
"""How long a load may take where no instance says what its runtime has."""


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
    """Looks at one cluster, once or again and again."""

    def __init__(self, cluster: Cluster, local: Callable[[], State | None], expected: int = 0) -> None:
        """``local`` gives the processes when the cluster is the one on this machine; ``expected`` instances (0: any
        number)."""
        self._cluster, self._local, self._expected = cluster, local, expected
        self._before = Lookback()

    async def look(self) -> Health:
        """Ask for everything."""
        info = await self._cluster.info()
        instances = await self._cluster.instances(asked=True)
        timeouts_ms = [each.now.load_timeout_ms for each in instances if each.now is not None]
        census = await self._cluster.census(max(timeouts_ms, default=0) or LOAD_TIMEOUT_MS)
        late = self._before.late(instances, census, _now_ms())
        if late is None:
            await asyncio.sleep(LAG_MS / 1000)
            late = self._before.late(await self._cluster.instances(asked=True), census, _now_ms())
        upgrade, why_unknown = await self._upgrade()
        now_ms = _now_ms()
        local = self._local()
        down = [(each.name, each.instance) for each in local.down] if local is not None else []
        vanished = self._before.vanished(instances, now_ms)
        seen = Seen(info, instances, census, now_ms, down, self._expected, late or {}, vanished,
                    upgrade, why_unknown)  # fmt: skip
        return Health(info, tuple(instances), census, problems(seen), now_ms)

    async def _upgrade(self) -> tuple[Upgrade | None, str]:
        """The one that is under way, and why it is not known whether there is one."""
        try:
            return await self._cluster.upgrade(), ""
        except Failed as error:
            return None, str(error)


def _now_ms() -> int:
    return int(time.time() * 1000)
