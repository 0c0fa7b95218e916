"""Which copy answers a request for a model that is ready: the one rule that runs for every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from random import Random

from meshcore.commands import Holder, Route


class Choice(Enum):
    """The two choices that are not a holder's id."""

    LOCAL = "local"  # the copy here
    ASK = "ask"  # nobody is ready: the core decides whether to wait, load or fail


def decide(
    route: Route,
    me: str,
    is_balanced: bool,
    outstanding: Mapping[str, int],
    is_ok: Callable[[str], bool],
    rng: Random,
) -> Choice | str:
    """Choose LOCAL, ASK or the instance to forward to (docs/design.md, data plane).

    A copy here is ready iff ``route.local`` is set, whatever ``route.holders`` says of this instance. Requests that
    were spread over the instances before they came (``is_balanced``) stay here if they can. Otherwise the ready
    holder with the fewest requests under way, of two drawn at random, gets it; ``outstanding`` counts them per
    instance, this one under its own id. Holders that are not ok are passed over unless all are.

    The draw is exactly two calls of ``rng.random()``, u then v, for two or more holders and none for fewer: positions
    are floor(u n) and floor(v (n - 1)), the second counted without the first. If one of the two cannot be used, the
    fractional parts, which are independent of the positions, draw in the same way among those that can.
    """
    has_local = route.local is not None
    if has_local and is_balanced:
        return Choice.LOCAL
    holders = route.holders
    count = len(holders)
    if count < 2:
        return alone(route, me)
    u = rng.random() * count
    v = rng.random() * (count - 1)
    i = int(u)
    j = int(v)
    first = holders[i]
    second = holders[j if j < i else j + 1]
    one, other = first.instance, second.instance  # what follows is the usual, and not a call more than it needs
    if (has_local if one == me else first.is_ready and is_ok(one)) and (
        has_local if other == me else second.is_ready and is_ok(other)
    ):
        if outstanding.get(other, 0) < outstanding.get(one, 0):
            one = other
        return Choice.LOCAL if one == me else one
    ready = [h for h in holders if (has_local if h.instance == me else h.is_ready)]
    usable = [h for h in ready if h.instance == me or is_ok(h.instance)] or ready
    count = len(usable)
    if not count:
        return Choice.LOCAL if has_local else Choice.ASK
    if count == 1:
        return Choice.LOCAL if usable[0].instance == me else usable[0].instance
    i, j = int((u - i) * count), int((v - j) * (count - 1))
    return _lesser(usable[i], usable[j if j < i else j + 1], me, outstanding)


def alone(route: Route, me: str) -> Choice | str:
    """What ``decide`` chooses where there are fewer than two holders: the same for as long as the route stands."""
    holders = route.holders
    if holders and holders[0].is_ready and holders[0].instance != me:
        return holders[0].instance
    return Choice.ASK if route.local is None else Choice.LOCAL


def _lesser(first: Holder, second: Holder, me: str, outstanding: Mapping[str, int]) -> Choice | str:
    """The holder with fewer requests under way; equal: the one drawn first, so that idle holders share alike."""
    fewer = outstanding.get(second.instance, 0) < outstanding.get(first.instance, 0)
    instance = second.instance if fewer else first.instance
    return Choice.LOCAL if instance == me else instance
