"""Seeing an upgrade to its end: carried out by this mmctl where no other does, else asked of that and followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from mmctl.errors import NotFound, Unavailable
from mmctl.progress import Progress
from mmctl.upgrade.driver import Driver
from mmctl.upgrade.ledger import RUNNER_TTL_S, Busy, Ledger
from mmctl.upgrade.loads import Loads
from mmctl.upgrade.reach import Reach
from mmctl.upgrade.record import Limits, Upgrade
from mmctl.upgrade.runner import Patience, Runner, Told

LOOK_S = {"local": 0.3, "kubernetes": 2.0}
"""Between two looks, by the kind of the upgrade."""
_FOLLOW_S = 0.5


async def carry_out(reach: Reach, upgrade: Upgrade, driver: Driver, told: Told) -> Upgrade:
    """Run it to its end; the claim on the ledger has to be held."""
    loads = Loads(f"{reach.root}/registry/")
    async with loads.followed(reach.store):
        return await Runner(reach.ledger, driver, reach.cluster, loads, told, LOOK_S[upgrade.kind]).run()


async def see_through(
    reach: Reach,
    ask: Callable[[Upgrade], Upgrade],
    driver_for: Callable[[Upgrade], Driver],
    progress: Progress,
    is_awaited: bool,
) -> Upgrade:
    """Ask something of the upgrade that is under way, and be there until its end, as its runner if there is none.

    Raises NotFound where none is under way. Not ``is_awaited``: return once a runner that is there has been asked.
    """
    has_asked, told = False, Told(progress)
    while True:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(reach.ledger.claimed())
            except Busy as busy:
                runner = busy.runner
            else:
                upgrade = _under_way(await reach.ledger.read(), has_asked)
                if upgrade.phase.is_over:
                    told.tell(upgrade)
                    return upgrade
                driver = driver_for(upgrade)
                if not has_asked:
                    told.last = upgrade.events[-1]
                    await reach.ledger.ask(ask)
                return await carry_out(reach, upgrade, driver, told)
        if not has_asked:
            told.last = _under_way(await reach.ledger.ask(ask), has_asked).events[-1]
            has_asked = True
            progress.line(f"asked {runner}")
        upgrade = await follow(reach.ledger, told, is_awaited)
        if upgrade.phase.is_over or not is_awaited:
            return upgrade
        progress.line(f"{runner} is gone; this mmctl goes on in its place", style="yellow")


async def follow(ledger: Ledger, told: Told, is_awaited: bool = True) -> Upgrade:
    """The upgrade at its end, or as it is once nobody carries it out; not ``is_awaited``: as it is now.

    Unavailable when etcd is away for longer than a step may take.
    """
    loop, patience, bound_ms = asyncio.get_running_loop(), Patience(told.progress), Limits().max_wait_ms
    nobody_from_s = loop.time()
    while True:
        try:
            upgrade = _under_way(await ledger.read(), is_over_too=True)
            runner = await ledger.runner()
        except Unavailable as error:
            patience.bear(error, bound_ms)
            # The lease of whoever carries it out may have ended meanwhile: it gets time to claim it again.
            nobody_from_s = loop.time() + RUNNER_TTL_S
        else:
            patience.end()
            bound_ms = upgrade.limits.max_wait_ms
            told.tell(upgrade)
            is_left = not runner and loop.time() >= nobody_from_s
            if upgrade.phase.is_over or not is_awaited or is_left:
                return upgrade
        await asyncio.sleep(_FOLLOW_S)


def _under_way(upgrade: Upgrade | None, is_over_too: bool) -> Upgrade:
    if upgrade is None or (upgrade.phase.is_over and not is_over_too):
        raise NotFound("no upgrade of this mesh is under way")
    return upgrade
