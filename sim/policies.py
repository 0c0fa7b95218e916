"""The rules that a scenario can be played by, by name, and the orders of eviction that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from meshcore.entry import Entry
from meshcore.eviction import EVICT_ORDERS, lru_order
from meshcore.ranking import ByAge
from meshcore.rules import MakeRanking, Rules
from sim.placements import as_coded, by_chance, never
from sim.s3fifo import S3Fifo
from sim.scalings import cause_as_coded, further_as_coded, is_memory_wanted_as_coded, no_second_copy, use_as_coded
from sim.scored import Gdsf, Lfu

RANKINGS: Mapping[str, MakeRanking] = {"gdsf": Gdsf, "lfu": Lfu, "s3fifo": S3Fifo}
"""Orders of eviction that the simulator alone has."""

EVICTIONS = (*EVICT_ORDERS, *RANKINGS)
"""All orders of eviction: the core's two and these."""


def age_alone(entry: Entry, units: int) -> int:
    """By age, whether others answer in its place or not."""
    return 1


POLICIES: Mapping[str, Rules] = {
    "mesh": Rules(),
    "no-second-copies": Rules(second_copy=no_second_copy),
    "random": Rules(place=by_chance, outdone=never),
    "modelmesh": Rules(
        place=as_coded,
        outdone=never,
        evict_order=age_alone,
        is_used_regularly=use_as_coded,
        scale_up=further_as_coded,
        is_memory_wanted=is_memory_wanted_as_coded,
        scale_down=cause_as_coded,
    ),
}
"""Rules but for the order of eviction, which is the scenario's where they have none of their own."""


def rules_named(name: str, eviction: str = "lru") -> Rules:
    """The rules of ``mesh`` or ``mesh+gdsf``, say: those of POLICIES and how they evict.

    Without the second part they evict as they say themselves or, if they do not, by ``eviction``. Raises ValueError
    with a sentence that says what is allowed.
    """
    policy, plus, chosen = name.partition("+")
    if policy not in POLICIES:
        raise ValueError(f"{name!r} {_no(policy, 'rules', tuple(POLICIES))}")
    if plus and chosen not in EVICTIONS:
        raise ValueError(f"{name!r} {_no(chosen, 'eviction', EVICTIONS)}")
    rules = POLICIES[policy]
    if not plus and rules.evict_order is not lru_order:
        return rules
    order = chosen or eviction
    return replace(rules, evict_order=EVICT_ORDERS.get(order, lru_order), ranking=RANKINGS.get(order, ByAge))


def _no(name: str, what: str, allowed: tuple[str, ...]) -> str:
    near = get_close_matches(name, allowed, n=1)
    return f"has no {what} that there are{f', did you mean {near[0]}' if near else ''}; allowed: {', '.join(allowed)}"
