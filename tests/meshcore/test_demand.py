"""What the models in use need of an instance's memory."""

from __future__ import annotations

import pytest

from meshcore.cache import Cache
from meshcore.demand import IN_USE_MS, wanted_units
from tests.builders import NOW, loaded, params


@pytest.mark.parametrize(
    ("age_ms", "is_redundant", "ready", "wanted"),
    [
        (0, False, 1, 30),
        (IN_USE_MS, False, 1, 30),
        (IN_USE_MS + 1, False, 1, 0),
        (0, True, 2, 15),
        (0, True, 4, 7),
        (0, False, 2, 30),
        (0, True, 0, 30),
    ],
    ids=[
        "just used", "used an hour ago", "not used for longer", "one of two", "one of four",
        "one of two that must be", "not in the table any more",
    ],
)  # fmt: skip
def test_a_copy_counts_by_its_use_and_its_share(age_ms: int, is_redundant: bool, ready: int, wanted: int) -> None:
    cache = Cache(params())
    loaded(cache, "m", 30, age_ms)
    cache.mark_redundant("m", is_redundant)
    assert wanted_units(cache, lambda _: ready, NOW) == wanted


def test_copies_in_use_add_up_and_nothing_needs_nothing() -> None:
    cache = Cache(params())
    assert wanted_units(cache, lambda _: 1, NOW) == 0
    loaded(cache, "a", 30)
    loaded(cache, "b", 20, 10)
    loaded(cache, "old", 20, 2 * IN_USE_MS)
    assert wanted_units(cache, lambda _: 1, NOW) == 50
