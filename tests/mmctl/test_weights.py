"""How the targets of a virtual model are written."""

from __future__ import annotations

import pytest

from mmctl.errors import Usage
from mmctl.weights import parse_targets


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (["a"], {"a": 100}),
        (["a=100"], {"a": 100}),
        (["a=90", "b=10"], {"a": 90, "b": 10}),
        (["a=b"], {"a=b": 100}),
        (["a=inf"], {"a=inf": 100}),
        (["a=1=50", "b==50"], {"a=1": 50, "b=": 50}),
        (["näme/v1 =40", "nan=60"], {"näme/v1 ": 40, "nan": 60}),
    ],
)
def test_a_target_is_a_name_or_a_name_with_its_weight(given: list[str], weights: dict[str, int]) -> None:
    assert parse_targets("v", given) == weights


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["a", "b=10"], "--target a: where there are several, each has its share: --target a=PERCENT"),
        (["a=90", "b=many"], "--target b=many: where there are several, each has its share: --target b=many=PERCENT"),
        (["a=90", "b=10%"], "--target b=10%: the weight is 10%, and has to be a whole number of percent"),
        (["a=9.5"], "--target a=9.5: the weight is 9.5, and has to be a whole number of percent"),
        (["a=90"], "vmodel v: the weights add up to 90 (90) and not to 100"),
        (["a=90", "b=20"], "vmodel v: the weights add up to 110 (90 + 20) and not to 100"),
        (["a=50", "a=50"], "vmodel v: target a is named twice; give it one weight"),
        (["a=100", "b=0"], "vmodel v: the weight of target b is 0; weights are whole percentages from 1 to 100, "
         "and a model that is to get nothing is left out"),
        (["=100"], "Must provide target modelId for vmodel v"),
        ([], "Must provide target modelId for vmodel v"),
    ],
)  # fmt: skip
def test_targets_that_make_no_split_are_refused_before_anything_is_asked(given: list[str], text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_targets("v", given)
    assert str(caught.value) == text
