"""What is refused of a virtual model's weights and shadow before anything is read."""

from __future__ import annotations

import pytest

from meshcore.asks import Failed
from meshcore.errors import InvalidRequest
from meshcore.vmodel_asks import SetVModel
from tests.meshcore.lone import Lone


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (SetVModel("v", {"a": 90, "b": 20}), "vmodel v: the weights add up to 110 (90 + 20) and not to 100"),
        (SetVModel("v", {"a": 50, "b": 50}, shadow="b"), "vmodel v: b is a target and cannot be the shadow too"),
        (SetVModel("v", {}, shadow="b"), "Must provide target modelId for vmodel v"),
        (SetVModel("", {"a": 100}), "Must provide vModelId"),
    ],
)
def test_a_set_that_makes_no_sense_ends_at_once(asked: SetVModel, text: str) -> None:
    assert Lone().ask(asked).step == Failed(InvalidRequest(text))
