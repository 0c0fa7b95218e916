"""Runs checks side by side, each with a deadline; one that fails is a finding and takes no other with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from meshd.store.base import StoreError
from mmctl.doctor.finding import Finding, note, problem
from mmctl.errors import CommandError, Usage, nearest

DEADLINE_S = 15.0
NOT_LOOKED = "not looked at: "
"""How the finding of a check begins that could not be made."""

Told = Callable[[str, Sequence[str]], None]
"""Hears of each check that ends, and of those that are still under way."""


class NotLooked(Exception):
    """A check that cannot be made here; the text says what it would take."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at. ``look`` raises NotLooked, CommandError or StoreError when it cannot."""

    name: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    within_s: float = DEADLINE_S


def chosen(checks: Sequence[Check], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """Those that are wanted, in their order; Usage for a name that none has."""
    names = [check.name for check in checks]
    for name in (*only, *skip):
        if name not in names:
            raise Usage(f"there is no check {name!r} here; {nearest(name, names)}")
    return [check for check in checks if (not only or check.name in only) and check.name not in skip]


async def examine(checks: Sequence[Check], told: Told, in_order: bool = False) -> list[Finding]:
    """What all of them found, in the order of the checks; ``in_order``: one after the other."""
    left = [check.name for check in checks]

    async def one(check: Check) -> list[Finding]:
        found = await _found(check)
        left.remove(check.name)
        told(check.name, left)
        return [replace(finding, check=check.name) for finding in found]

    if in_order:
        return [finding for check in checks for finding in await one(check)]
    return [finding for found in await asyncio.gather(*map(one, checks)) for finding in found]


async def _found(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.within_s):
            return await check.look()
    except TimeoutError:
        return [problem(f"no result within {check.within_s:g} s", do="see what answers slowly, or --skip it")]
    except NotLooked as error:
        return [note(f"{NOT_LOOKED}{error}")]
    except (CommandError, StoreError) as error:
        return [problem(str(error))]
    except Exception as error:  # whatever else was found is worth having
        return [problem(f"the check itself failed: {type(error).__name__}: {error}", do="report this mistake of mmctl")]
