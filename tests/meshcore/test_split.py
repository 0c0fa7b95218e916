"""Weights of a virtual model's targets: what is refused, and who answers for which point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.errors import Code, InvalidRequest
from meshcore.split import MOST_TARGETS, Split, checked, heaviest, pick, point_of

COUNT = 20_000
RNG = Random(1)
POINTS = {
    "random": [RNG.getrandbits(64) for _ in range(COUNT)],
    "hashed": [point_of(f"user-{number}".encode()) for number in range(COUNT)],
    "counted": list(range(COUNT)),
}
WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100), min_size=1)


def picked(weights: Mapping[str, int], points: list[int]) -> list[str]:
    split = Split.of(weights)
    return [pick(split, point) for point in points]


# -- what is refused --------------------------------------------------------------------------------------------


def test_weights_that_add_up_are_taken_as_they_are() -> None:
    assert checked("v", [("a", 90), ("b", 10)]) == {"a": 90, "b": 10}
    assert checked("v", [("a", 100)]) == {"a": 100}
    most = [(f"m{number}", 5 if number else 25) for number in range(MOST_TARGETS)]
    assert checked("v", most) == dict(most)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ([], "Must provide target modelId for vmodel v"),
        ([("a", 50), ("", 50)], "Must provide target modelId for vmodel v"),
        ([("a", 90), ("b", 20)], "vmodel v: the weights add up to 110 (90 + 20) and not to 100"),
        ([("a", 99)], "vmodel v: the weights add up to 99 (99) and not to 100"),
        ([("a", 50), ("b", 25), ("a", 25)], "vmodel v: target a is named twice; give it one weight"),
        ([(f"m{n}", 1) for n in range(17)], "vmodel v has 17 targets; 16 are the most"),
        *(
            ([("a", 100), ("b", weight)],
             f"vmodel v: the weight of target b is {weight}; "
             "weights are whole percentages from 1 to 100, and a model that is to get nothing is left out")
            for weight in (0, -10, 101)
        ),
    ],
)  # fmt: skip
def test_weights_that_make_no_split_are_refused_with_what_is_wrong(targets: list[tuple[str, int]], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked("v", targets)
    assert (caught.value.code, caught.value.text) == (Code.INVALID_ARGUMENT, text)


@pytest.mark.parametrize(
    ("weights", "model"),
    [({"b": 90, "a": 10}, "b"), ({"b": 50, "a": 50}, "a"), ({"c": 40, "b": 40, "a": 20}, "b"), ({"a": 100}, "a")],
)
def test_the_heaviest_is_the_first_by_name_of_equal_ones(weights: dict[str, int], model: str) -> None:
    assert heaviest(weights) == model


# -- who answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize(
    "weights",
    [{"a": 90, "b": 10}, {"a": 10, "b": 90}, {"a": 99, "b": 1}, {"a": 50, "b": 30, "c": 20},
     {f"m{number}": 5 if number else 25 for number in range(MOST_TARGETS)}],
)  # fmt: skip
def test_each_model_has_its_share_within_a_point(points: str, weights: dict[str, int]) -> None:
    counts = Counter(picked(weights, POINTS[points]))
    assert all(abs(counts[model] - weight * COUNT // 100) < COUNT // 100 for model, weight in weights.items()), counts


@pytest.mark.parametrize("points", POINTS)
def test_moving_ten_points_moves_ten_points_and_all_of_them_one_way(points: str) -> None:
    before = picked({"a": 90, "b": 10}, POINTS[points])
    after = picked({"a": 80, "b": 20}, POINTS[points])
    moved = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    assert moved.keys() == {("a", "b")}
    assert abs(moved["a", "b"] - COUNT // 10) < COUNT // 100


@given(WEIGHTS, WEIGHTS, st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_a_point_moves_only_to_a_model_that_gains_on_the_one_it_leaves(
    old: dict[str, int], new: dict[str, int], points: list[int]
) -> None:
    for was, now in zip(picked(old, points), picked(new, points), strict=True):
        if was != now:
            assert new[now] * old[was] > new.get(was, 0) * old.get(now, 0)


@given(WEIGHTS, st.integers(0, 2**64 - 1))
def test_only_proportions_count_and_no_order(weights: dict[str, int], point: int) -> None:
    twice = {model: 2 * weight for model, weight in reversed(weights.items())}
    assert picked(weights, [point]) == picked(twice, [point])


def test_who_has_a_key_stays_the_same_from_release_to_release() -> None:
    """Clients of one value are with one model across instances, restarts, and upgrades of either."""
    assert point_of(b"user-1") == 0x9AAC5A8621EAE188
    keys = [point_of(f"user-{number}".encode()) for number in range(12)]
    assert "".join(picked({"a": 50, "b": 30, "c": 20}, keys)) == "aaccccacbaba"
