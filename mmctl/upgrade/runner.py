"""Carries an upgrade out to its end: look, decide, write down, act, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
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


class Runner:
    """One mmctl's; the claim on the ledger has to be held."""

    def __init__(
        self,
        ledger: Ledger,
        driver: Driver,
        cluster: Cluster,
        loads: Loads,
        told: Told,
        pause: Callable[[], Awaitable[None]],
        now: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """``pause`` returns when it is time for the next look; ``now`` is in epoch milliseconds."""
        self._ledger, self._driver, self._cluster, self._loads = ledger, driver, cluster, loads
        self._told, self._pause, self._now = told, pause, now
        self._away_ms = 0
        self._bound_ms = Limits().max_wait_ms

    async def run(self) -> Upgrade:
        """The upgrade at its end. Unavailable when something that is needed is away for longer than a step may take,
        Failed when a rollback has long been stalled."""
        while True:
            try:
                upgrade = await self._step()
            except Unavailable as error:
                self._bear(error)
            else:
                self._away_ms = 0
                if upgrade is not None and upgrade.phase.is_over:
                    return upgrade
            await self._pause()

    async def _step(self) -> Upgrade | None:
        """Look once and do what is next; None when the record was written by another meanwhile."""
        before = await self._ledger.read()
        if before is None:
            raise Failed("the record of the upgrade is gone from etcd")
        self._bound_ms = before.limits.max_wait_ms
        seen = await self._look(before)
        upgrade = course(_met(before, seen), seen, self._now())
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
        if is_given_up(upgrade, self._now()):
            raise Failed(
                f"the rollback to {upgrade.former} stands still: {upgrade.reason}; see to that, then"
                " `mmctl upgrade start --resume` goes on with it"
            )
        done = await self._driver.act(upgrade, seen, self._now())
        noted = upgrade if upgrade.hold is not Hold.NONE else replace(upgrade, reason=done.text)
        if done.is_event:
            noted = noted.with_event(self._now(), done.text)
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
        slow, slow_ms = self._loads.slowest(frozenset(met.new), self._now())
        failing = self._loads.failing(frozenset(met.new), frozenset(met.old), upgrade.counted_ms)
        failed_ms = self._loads.newest_failures_ms(frozenset(met.new))
        return replace(seen, failing=failing, failed_ms=failed_ms, slow=slow, slow_ms=slow_ms)

    def _bear(self, error: Unavailable) -> None:
        """Something does not answer. That may pass, and meanwhile nothing goes on."""
        if not self._away_ms:
            self._away_ms = self._now()
            self._told.progress.line(f"{error}; waits for it to come back", style="yellow")
        if self._now() - self._away_ms > self._bound_ms:
            raise error


def _met(upgrade: Upgrade, seen: Seen) -> Upgrade:
    """The same with the instances that are seen among those of their side."""
    new, old = (
        tuple(dict.fromkeys((*before, *(member.id for member in side))))
        for before, side in ((upgrade.new, seen.new), (upgrade.old, seen.old))
    )
    return replace(upgrade, new=new, old=old)
