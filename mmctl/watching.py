"""What becomes of models while somebody looks: lists compared with each other, and what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mmctl.errors import NotFound, Unavailable
from mmctl.values import Model, Status

POLL_S = 1.0
POLL_PART = 0.2
"""Of the time at most so much goes into looking: a mesh with very many models is looked at less often."""


class Wanted(StrEnum):
    """What can be waited for."""

    LOADED = "loaded"
    READY = "ready"
    GONE = "gone"

    def is_so(self, model: Model | None) -> bool:
        """Whether it is so; ``model`` is None where there is none of that name.

        loaded: a copy answers. ready: as many as it is to have at least. gone: it is not registered.
        """
        if self is Wanted.GONE or model is None:
            return self is Wanted.GONE and model is None
        if self is Wanted.LOADED:
            return model.status is Status.LOADED
        loaded = sum(copy.state is Status.LOADED for copy in model.copies)
        return loaded >= max(1, model.min_copies)


@dataclass(frozen=True, slots=True)
class Seen:
    """A model that is new or another now, or (``is_gone``) is not there, or not among those asked for, any more."""

    model: Model
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Waited:
    """Whether what was waited for has come; ``model`` is None where there is none."""

    name: str
    is_met: bool
    model: Model | None


def changes(before: Mapping[str, Model], now: Mapping[str, Model]) -> list[Seen]:
    """What is another ``now``, by name; that a model was used once more is no change."""
    seen = [Seen(before[name], is_gone=True) for name in before.keys() - now.keys()]
    seen += [
        Seen(model) for name, model in now.items() if name not in before or _matters(before[name]) != _matters(model)
    ]
    return sorted(seen, key=lambda each: each.model.name)


def _matters(model: Model) -> Model:
    return replace(model, last_used_ms=0, revision=0)


async def watched(
    look: Callable[[], Awaitable[Mapping[str, Model]]], tell: Callable[[str], None], poll_s: float = POLL_S
) -> AsyncGenerator[list[Seen], None]:
    """First what is there, then again and again what has changed; it never ends by itself.

    Where nobody answers ``tell`` is told so, once, and it goes on; only the first look raises Unavailable.
    """
    clock = asyncio.get_running_loop().time
    before: Mapping[str, Model] | None = None
    is_away = False
    while True:
        begun = clock()
        try:
            now = await look()
        except Unavailable as error:
            if before is None:
                raise
            if not is_away:
                tell(f"{error}; trying again")
            is_away = True
        else:
            if is_away:
                tell("there again")
            is_away = False
            if before is None or (found := changes(before, now)):
                yield changes({}, now) if before is None else found
            before = now
        await asyncio.sleep(max(poll_s, (clock() - begun) / POLL_PART))


async def wait_for(
    get: Callable[[str], Awaitable[Model]],
    names: Sequence[str],
    wanted: Wanted,
    timeout_s: float,
    tell: Callable[[int], None],
    warn: Callable[[str], None],
    poll_s: float = POLL_S,
) -> list[Waited]:
    """How each of ``names`` is when all are as wanted, or ``timeout_s`` is over; ``tell`` is told how many are not.

    One that is not registered is not waited for, unless to be gone. Where nobody answers ``warn`` is told so, once, and
    it goes on. Raises Unavailable if nobody answers the first look, or nobody does when the time is over.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + timeout_s
    found: dict[str, Waited] = {}
    left = list(names)
    away: Unavailable | None = None
    while True:
        try:
            for name in left:
                found[name] = await _waited(get, name, wanted)
        except Unavailable as error:
            if len(found) < len(names):
                raise
            if away is None:
                warn(f"{error}; trying again")
            away = error
        else:
            if away is not None:
                warn("there again")
            away = None
        left = [name for name in left if not found[name].is_met and found[name].model is not None]
        rest_s = ends - clock()
        if not left or rest_s <= 0:
            break
        tell(len(left))
        await asyncio.sleep(min(poll_s, rest_s))
    if away is not None and left:
        raise Unavailable(
            f"{away}; when somebody answered last {len(left):,} of {len(names):,} were not {wanted.value}"
        )
    return [found[name] for name in names]


async def _waited(get: Callable[[str], Awaitable[Model]], name: str, wanted: Wanted) -> Waited:
    try:
        model = await get(name)
    except NotFound:
        return Waited(name, wanted.is_so(None), None)
    return Waited(name, wanted.is_so(model), model)
