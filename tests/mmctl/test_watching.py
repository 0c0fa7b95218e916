"""What has changed between two looks, and waiting for models, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace

import pytest

from mmctl.errors import NotFound, Unavailable
from mmctl.values import Copy, Failure, Model, Status
from mmctl.watching import POLL_PART, Seen, Waited, Wanted, changes, wait_for, watched
from tests import virtual_loop

COLD = Model("a", "t", Status.NOT_LOADED)
ONE = replace(COLD, status=Status.LOADED, copies=(Copy("i0", 5, Status.LOADED),))
TWO = replace(ONE, copies=(*ONE.copies, Copy("i1", 6, Status.LOADED)))
AWAY, GONE = Unavailable("nobody"), NotFound("gone")
LOADING = replace(COLD, status=Status.LOADING, copies=(Copy("i0", 5, Status.LOADING),))


@pytest.mark.parametrize(
    ("wanted", "model", "is_so"),
    [
        (Wanted.LOADED, None, False),
        (Wanted.LOADED, COLD, False),
        (Wanted.LOADED, LOADING, False),
        (Wanted.LOADED, ONE, True),
        (Wanted.LOADED, replace(ONE, min_copies=2), True),
        (Wanted.READY, None, False),
        (Wanted.READY, COLD, False),
        (Wanted.READY, LOADING, False),
        (Wanted.READY, ONE, True),
        (Wanted.READY, replace(ONE, min_copies=2), False),
        (Wanted.READY, replace(TWO, min_copies=2), True),
        (Wanted.READY, replace(TWO, min_copies=2, copies=(*ONE.copies, *LOADING.copies)), False),
        (Wanted.GONE, None, True),
        (Wanted.GONE, COLD, False),
    ],
)
def test_what_is_waited_for_is_so_or_not(wanted: Wanted, model: Model | None, is_so: bool) -> None:
    assert wanted.is_so(model) is is_so


def test_changes_are_what_is_new_another_or_gone_and_no_mere_use() -> None:
    def named(*models: Model) -> Mapping[str, Model]:
        return {model.name: model for model in models}

    b, c = replace(COLD, name="b"), replace(COLD, name="c")
    assert changes({}, named(c, b)) == [Seen(b), Seen(c)]
    assert changes(named(COLD, b), named(replace(COLD, last_used_ms=7, revision=9), c)) == [Seen(b, True), Seen(c)]
    failed = replace(COLD, failures=(Failure("i0", 5, "no"),))
    assert changes(named(COLD), named(failed)) == [Seen(failed)]


def test_watch_tells_all_at_first_then_changes_and_goes_on_where_nobody_answers() -> None:
    looks: list[dict[str, Model] | None] = [{"a": COLD}, {"a": COLD}, None, None, {"a": ONE}, {}]
    said: list[str] = []

    async def look() -> dict[str, Model]:
        found = looks.pop(0)
        if found is None:
            raise Unavailable("nobody answers")
        return found

    async def test() -> list[list[Seen]]:
        async with aclosing(watched(look, said.append)) as seen:
            return [await anext(seen) for _ in range(3)]

    assert virtual_loop.run(test()) == [[Seen(COLD)], [Seen(ONE)], [Seen(ONE, True)]]
    assert said == ["nobody answers; trying again", "there again"]
    looks = [None]
    with pytest.raises(Unavailable):
        virtual_loop.run(test())


def test_list_that_takes_long_is_looked_at_less_often() -> None:
    async def test() -> list[float]:
        begun: list[float] = []

        async def look() -> dict[str, Model]:
            begun.append(asyncio.get_running_loop().time())
            await asyncio.sleep(10)
            return {str(len(begun)): COLD}

        async with aclosing(watched(look, str)) as seen:
            for _ in range(3):
                await anext(seen)
        return begun

    begun = virtual_loop.run(test())
    assert begun[2] - begun[1] == 10 + 10 / POLL_PART


def waited(
    models: Mapping[str, list[Model | Exception]], wanted: Wanted, timeout_s: float, warnings: list[str] | None = None
) -> list[Waited]:
    """Each look at a model takes the next one; the last one stays."""
    left = {name: list(each) for name, each in models.items()}
    warn = ([] if warnings is None else warnings).append

    async def get(name: str) -> Model:
        model = left[name].pop(0) if len(left[name]) > 1 else left[name][0]
        if isinstance(model, Exception):
            raise model
        return model

    return virtual_loop.run(wait_for(get, list(models), wanted, timeout_s, lambda left: None, warn))


def test_wait_ends_when_all_are_as_wanted() -> None:
    assert waited({"a": [COLD, LOADING, ONE], "b": [ONE]}, Wanted.LOADED, 60) == [
        Waited("a", True, ONE), Waited("b", True, ONE),
    ]  # fmt: skip
    assert waited({"a": [ONE, GONE]}, Wanted.GONE, 60) == [Waited("a", True, None)]


def test_wait_ends_in_time_with_how_each_is() -> None:
    assert waited({"a": [COLD], "b": [ONE]}, Wanted.LOADED, 3) == [Waited("a", False, COLD), Waited("b", True, ONE)]


def test_model_that_is_not_registered_is_not_waited_for() -> None:
    assert waited({"a": [GONE, ONE]}, Wanted.READY, 60) == [Waited("a", False, None)]


def test_wait_bears_that_nobody_answers_for_a_while() -> None:
    warnings: list[str] = []
    assert waited({"a": [COLD, AWAY, AWAY, ONE], "b": [ONE]}, Wanted.LOADED, 60, warnings) == [
        Waited("a", True, ONE), Waited("b", True, ONE),
    ]  # fmt: skip
    assert warnings == ["nobody; trying again", "there again"]


def test_wait_is_unavailable_where_nobody_answers_at_first_or_at_the_end() -> None:
    with pytest.raises(Unavailable, match=r"^nobody; when somebody answered last 1 of 2 were not loaded$"):
        waited({"b": [ONE], "a": [COLD, AWAY]}, Wanted.LOADED, 3)
    with pytest.raises(Unavailable, match=r"^nobody$"):
        waited({"b": [ONE], "a": [AWAY]}, Wanted.LOADED, 3)
