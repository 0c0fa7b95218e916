"""Instances come, go, die, stand still and lose sight of each other, as the scenario says."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import simpy

from meshcore.events import DrainAsked, Idled, SessionRenewed, StoreFound, StoreLost
from sim import harm
from sim.faults import Fates, Freeze, Kill, Partition, Restart, StoreOutage, Upgrade
from sim.store import DEADLINE_MS, SESSION_MS
from sim.trip import Instance

if TYPE_CHECKING:
    from sim.mesh import Mesh

Waits = Generator[simpy.Event, Any, None]

HANDOVER_MS, NOT_READY_MS, IDLE_MS, DEREGISTER_MS = 22_000, 2000, 200, 200
"""An instance that goes serves on for as long as clients may not have heard of it, and until nothing is under way; then
it takes its copies out of their records."""
READY_MS = 2000
"""A new instance takes part for as long before an old one is told to go."""


class Hand:
    """Does to ``mesh`` what ``fates`` say; instances have the numbers of their names in ``names``."""

    def __init__(self, mesh: Mesh, names: tuple[str, ...], fates: Fates) -> None:
        self._mesh, self._env, self._fates = mesh, mesh.env, fates
        self._numbers = {name: number for number, name in enumerate(names)}
        late = [join.instance for join in fates.joins]
        if fates.upgrade is not None:
            late += names[len(names) // 2 :]
        self.late = frozenset(self._numbers[name] for name in late)
        """Those that are not there from the start."""
        self._doing: dict[int, simpy.Process] = {}
        """By instance: what happens to it, or happened last."""

    def play(self) -> None:
        """Begin: all of it happens at its time."""
        fates, begin = self._fates, self._env.process
        for join in fates.joins:
            begin(self._join(join.at_s, self._numbers[join.instance]))
        for leave in fates.leaves:
            begin(self._leave(leave.at_s, self._numbers[leave.instance]))
        for restart in fates.restarts:
            begin(self._restart(restart))
        for kill in fates.kills:
            begin(self._kill(kill))
        for freeze in fates.freezes:
            begin(self._freeze(freeze))
        for partition in fates.partitions:
            begin(self._part(partition))
        for outage in fates.store_outages:
            begin(self._lose_store(outage))
        if fates.upgrade is not None:
            begin(self._roll(fates.upgrade))

    def _at(self, at_s: float) -> simpy.Timeout:
        return self._env.timeout(max(0, int(at_s * 1000) - int(self._env.now)))

    def _turn(self, at_s: float, number: int) -> Waits:
        """Wait for the time, and for the end of what happens to the instance: it takes as long as it takes to go."""
        yield self._at(at_s)
        active = self._env.active_process
        assert active is not None
        before, self._doing[number] = self._doing.get(number), active
        if before is not None and before.is_alive:
            yield before

    # -- coming and going -------------------------------------------------------------------------------

    def _join(self, at_s: float, number: int) -> Waits:
        yield from self._turn(at_s, number)
        self._mesh.join(number)

    def _leave(self, at_s: float, number: int) -> Waits:
        """Take an instance out of service as meshd does on SIGTERM."""
        yield from self._turn(at_s, number)
        mesh, instance = self._mesh, self._mesh.instances[number]
        mesh.close_entrance(number)
        mesh.records.resign(instance.name)
        instance.driver.feed(DrainAsked(HANDOVER_MS))
        while not instance.node.departure.is_over:
            yield self._env.timeout(IDLE_MS)
        yield self._env.timeout(NOT_READY_MS)
        while not mesh.is_idle(instance):
            yield self._env.timeout(IDLE_MS)
        instance.driver.feed(Idled())
        yield self._env.timeout(DEREGISTER_MS)
        mesh.remove(instance)
        mesh.records.leave(instance.name)

    def _restart(self, restart: Restart) -> Waits:
        number = self._numbers[restart.instance]
        yield from self._leave(restart.from_s, number)
        yield self._at(restart.until_s)
        self._mesh.join(number)

    def _roll(self, upgrade: Upgrade) -> Waits:
        """New instances take the place of the old ones, one after the other."""
        yield self._at(upgrade.from_s)
        count = len(self._numbers)
        for old, new in enumerate(range(count // 2, count)):
            if old:
                yield self._env.timeout(int(upgrade.each_s * 1000))
            self._mesh.join(new)
            self._env.process(self._leave((int(self._env.now) + READY_MS) / 1000, old))

    # -- what goes wrong ---------------------------------------------------------------------------------

    def _kill(self, kill: Kill) -> Waits:
        mesh, number = self._mesh, self._numbers[kill.instance]
        yield from self._turn(kill.at_s, number)
        instance = mesh.instances[number]
        mesh.close_entrance(number)
        harm.kill(mesh, instance)
        mesh.records.unwatch(instance.name)
        lease = mesh.records.lease(instance.name)
        mesh.later(SESSION_MS, lambda: self._end_lease(instance.name, lease))
        if kill.back_s is not None:
            yield self._at(kill.back_s)
            self._end_lease(instance.name, lease)
            mesh.join(number)

    def _end_lease(self, instance: str, lease: int) -> None:
        if self._mesh.records.lease(instance) == lease:
            self._mesh.records.end_lease(instance)

    def _freeze(self, freeze: Freeze) -> Waits:
        mesh, number = self._mesh, self._numbers[freeze.instance]
        yield from self._turn(freeze.from_s, number)
        instance, from_ms = mesh.instances[number], int(self._env.now)
        length_ms = max(0, int(freeze.until_s * 1000) - from_ms)
        harm.freeze(mesh, number, length_ms)
        is_lost = length_ms >= SESSION_MS
        if is_lost:
            mesh.later(SESSION_MS, lambda: mesh.records.lose_leases([instance.name]))
        yield self._at(freeze.until_s)
        harm.thaw(mesh, number, from_ms)
        if is_lost:
            instance.driver.feed(SessionRenewed())

    def _part(self, partition: Partition) -> Waits:
        """Those apart notice that the store is away; the others, when leases are over, that they are."""
        yield self._at(partition.from_s)
        mesh, apart = self._mesh, frozenset(partition.instances)
        harm.cut(mesh, apart)
        length_ms = int(partition.until_s * 1000) - int(self._env.now)
        is_lost = length_ms >= SESSION_MS
        there = [instance for instance in mesh.present() if instance.name in apart]
        mesh.records.deafen(frozenset(instance.name for instance in there))
        _set_away(there, True)
        mesh.later(min(DEADLINE_MS, length_ms), lambda: self._notice(there))
        if is_lost:
            mesh.later(SESSION_MS, lambda: self._lose_leases(there))
        yield self._at(partition.until_s)
        harm.cut(mesh, frozenset())
        _set_away(there, False)
        for instance in there:
            mesh.records.listen(instance.name, instance.driver.feed)
        self._find(there, is_lost)

    def _lose_leases(self, instances: Iterable[Instance]) -> None:
        """The lease of one that has died meanwhile ends as that of others that die."""
        there = self._mesh.present()
        self._mesh.records.lose_leases([instance.name for instance in instances if instance in there])

    def _lose_store(self, outage: StoreOutage) -> Waits:
        """All notice when the first question has had no answer for its time; leases that are over are so at the end."""
        yield self._at(outage.from_s)
        there = self._mesh.present()
        _set_away(there, True)
        yield self._env.timeout(DEADLINE_MS)
        self._notice(there)
        yield self._at(outage.until_s)
        _set_away(there, False)
        for instance in there:
            instance.driver.feed(StoreFound())
        if (outage.until_s - outage.from_s) * 1000 >= SESSION_MS:
            self._mesh.records.lose_leases([instance.name for instance in there])
            for instance in there:
                instance.driver.feed(SessionRenewed())

    def _notice(self, there: list[Instance]) -> None:
        for instance in there:
            if instance.store.is_away:
                instance.store.is_known_away = True
                instance.driver.feed(StoreLost())

    def _find(self, there: Iterable[Instance], is_lost: bool) -> None:
        for instance in there:
            instance.driver.feed(StoreFound())
            if is_lost:
                instance.driver.feed(SessionRenewed())


def _set_away(instances: Iterable[Instance], is_away: bool) -> None:
    for instance in instances:
        instance.store.is_away = is_away
        if not is_away:
            instance.store.is_known_away = False
