"""Carries an upgrade out to its end: look, decide, write down, act, again and again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from mmctl.cluster import Cluster
from mmctl.errors import Failed, Unavailable
from mmctl.progress import Progress
from mmctl.upgrade.driver import Driver
from mmctl.upgrade.ledger import Ledger
from mmctl.upgrade.loads import Loads
from mmctl.upgrade.record import Event, Hold, Limits, Phase, Upgrade
from mmctl.upgrade.rules import Seen, course, is_given_up

_FIRST_READ_S = 30.0


@dataclass(slots=True)
class Told:
    """What a person was told of an upgrade so far."""

    progress: Progress
    last: Event | None = None

    def tell(self, upgrade: Upgrade) -> None:
        """What is new in it."""
        at = upgrade.events.index(self.last) + 1 if self.last in upgrade.events else 0
        for event in upgrade.events[at:]:
            is_bad = event.text.startswith((Phase.HELD.value, "rolling back", "stalled"))
            self.progress.line(event.text, style="yellow" if is_bad else "")
            self.last = event
        if not upgrade.phase.is_over:
            self.progress.waiting(f"{upgrade.phase.value.replace('_', ' ')}: {upgrade.reason}")


@dataclass(slots=True)
class Patience:
    """Waits for what is away to come back, for a time; meanwhile nothing goes on."""

    progress: Progress
    _since_s: float | None = None

    def bear(self, error: Unavailable, most_ms: int) -> None:
        """It is away: say so once. Raises ``error`` when it has been for longer than ``most_ms``."""
        now_s = asyncio.get_running_loop().time()
        if self._since_s is None:
            self._since_s = now_s
            self.progress.line(f"{error}; waits for it to come back", style="yellow")
        if now_s - self._since_s > most_ms / 1000:
            raise error

    def end(self) -> None:
        """It is there."""
        self._since_s = None


class Runner:
    """One mmctl's; the claim on the ledger has to be held."""

    def __init__(
        self, ledger: Ledger, driver: Driver, cluster: Cluster, loads: Loads, told: Told, pause_s: float
    ) -> None:
        """It looks again after each ``pause_s``."""
        self._ledger, self._driver, self._cluster, self._loads = ledger, driver, cluster, loads
        self._told, self._pause_s = told, pause_s
        self._bound_ms = Limits().max_wait_ms

    async def run(self) -> Upgrade:
        """The upgrade at its end. Unavailable when something that is needed is away for longer than a step may take,
        Failed when a rollback has long been stalled."""
        patience = Patience(self._told.progress)
        while True:
            try:
                upgrade = await self._step()
            except Unavailable as error:
                patience.bear(error, self._bound_ms)
            else:
                patience.end()
                if upgrade is not None and upgrade.phase.is_over:
                    return upgrade
            await asyncio.sleep(self._pause_s)

    async def _step(self) -> Upgrade | None:
        """Look once and do what is next; None when the record was written by another meanwhile."""
        before = await self._ledger.read()
        if before is None:
            raise Failed("the record of the upgrade is gone from etcd")
        await self._ledger.keep()
        self._bound_ms = before.limits.max_wait_ms
        seen = await self._look(before)
        upgrade = course(_met(before, seen), seen, _now())
        if upgrade.phase.is_over and upgrade.phase is not before.phase:
            await self._driver.finish(upgrade)
        if upgrade != before:
            written = await self._ledger.put(upgrade)
            if written is None:
                return None
            upgrade = written
        self._told.tell(upgrade)
        if upgrade.phase.is_over:
            return upgrade
        if is_given_up(upgrade, _now()):
            raise Failed(
                f"the rollback to {upgrade.former} stands still: {upgrade.reason}; see to that, then"
                " `mmctl upgrade start --resume` goes on with it"
            )
        done = await self._driver.act(upgrade, seen, _now())
        noted = upgrade if upgrade.hold is not Hold.NONE else replace(upgrade, reason=done.text)
        if done.is_event:
            noted = noted.with_event(_now(), done.text)
        if noted != upgrade:
            written = await self._ledger.put(noted)
            self._told.tell(written or noted)
        return upgrade

    async def _look(self, upgrade: Upgrade) -> Seen:
        if self._loads.away:
            raise Unavailable(self._loads.away)
        try:
            await asyncio.wait_for(self._loads.is_known.wait(), _FIRST_READ_S)
        except TimeoutError:
            raise Unavailable("the registry has not been read yet") from None
        known = {instance.id: instance for instance in await self._cluster.instances()}
        seen = await self._driver.look(upgrade, known)
        met = _met(upgrade, seen)
        slow, slow_ms = self._loads.slowest(frozenset(met.new), _now())
        failing = self._loads.failing(frozenset(met.new), frozenset(met.old), upgrade.counted_ms)
        failed_ms = self._loads.newest_failures_ms(frozenset(met.new))
        return replace(seen, failing=failing, failed_ms=failed_ms, slow=slow, slow_ms=slow_ms)


def _now() -> int:
    return int(time.time() * 1000)


def _met(upgrade: Upgrade, seen: Seen) -> Upgrade:
    """The same with the instances that are seen among those of their side."""
    new, old = (
        tuple(dict.fromkeys((*before, *(member.id for member in side))))
        for before, side in ((upgrade.new, seen.new), (upgrade.old, seen.old))
    )
    return replace(upgrade, new=new, old=old)
