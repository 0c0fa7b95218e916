"""The live half: all requests to the real mesh, one instance taken out of service and brought back in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from demo.client import Answer, Endpoints, endpoints, get, send
from demo.fleet import Fleet, Process, stop
from demo.scrape import Counted, parse
from demo.traffic import Ask
from demo.training import Model

OUTAGE_AFTER = 0.4
"""This part of the requests has been answered when an instance is taken down; it takes a while until it is back."""
SCRAPE_S = 0.05
TELL_EVERY = 500

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outage:
    """When an instance got its SIGTERM, was gone, and was back, in seconds from the first request."""

    instance: str
    asked_s: float
    gone_s: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Live:
    """What was seen."""

    answers: list[Answer]
    counted: dict[str, Counted]
    """By instance, in their order."""
    outage: Outage


async def play(
    fleet: Fleet, processes: Sequence[Process], models: Sequence[Model], asks: Sequence[Ask], tell: Tell
) -> Live:
    """Send all of ``asks``. Raises FleetError where the instance does not come back."""
    addresses = [process.address for process in processes]
    counted = {address.name: Counted() for address in addresses}
    soon, answered, bad = asyncio.Event(), 0, 0

    async with aiohttp.ClientSession() as http, endpoints(addresses, http) as ready:

        def note(answer: Answer) -> None:
            nonlocal answered, bad
            answered += 1
            if answer.failure or answer.mistake:
                bad += 1
                tell(f"{models[answer.ask.model].name} at {answer.instance}: {answer.failure or answer.mistake}")
            if answered == int(OUTAGE_AFTER * len(asks)):
                soon.set()
            if not answered % TELL_EVERY:
                tell(f"{answered:,} of {len(asks):,} answered by {len(ready.ready)} ready instances, {bad} not well")

        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            sending = group.create_task(send(asks, models, ready, note))
            victim = processes[len(processes) // 2]
            outage = group.create_task(
                _outage(fleet, victim, counted[victim.address.name], http, ready, soon, began, tell)
            )
        for address in addresses:
            counted[address.name].now = parse(await get(http, address.metrics) or "")
    return Live(sending.result(), counted, outage.result())


async def _outage(
    fleet: Fleet, victim: Process, counted: Counted, http: aiohttp.ClientSession, ready: Endpoints, soon: asyncio.Event,
    began: float, tell: Tell,
) -> Outage:  # fmt: skip
    """Take an instance out of service when the time has come, count all it does until it ends, bring it back."""
    await soon.wait()
    name = victim.address.name
    asked_s = time.monotonic() - began
    tell(f"SIGTERM to {name}")
    stop(victim)
    while (exposition := await get(http, victim.address.metrics)) is not None:
        if exposition:
            counted.now = parse(exposition)
        await asyncio.sleep(SCRAPE_S)
    counted.restarted()
    gone_s = time.monotonic() - began
    tell(f"{name} has finished what it had and is gone; bringing it back")
    await fleet.restart(name)
    await ready.look(victim.address)
    back_s = time.monotonic() - began
    tell(f"{name} is back after {back_s - asked_s:.1f} s")
    return Outage(name, asked_s, gone_s, back_s)
