"""The vocabulary of one request."""

from __future__ import annotations

import pytest

from meshcore.asks import AwaitLoaded, Op, Refused, Request, Verdict, VerdictError
from meshcore.errors import Code


@pytest.mark.parametrize(("op", "is_inference"), [(Op.INFER, True), (Op.ENSURE, False), (Op.STATUS, False)])
def test_only_an_inference_is_served_before_other_loads(op: Op, is_inference: bool) -> None:
    """D-03: the class of a load comes from what the request is after."""
    assert Request("m", op).is_inference is is_inference


def test_verdict_is_an_unavailable_that_says_why() -> None:
    """A peer's verdict carries the error's text, and its own name where there is none."""
    error = VerdictError(Refused(Verdict.FULL, "b", text="no room"))
    assert (error.code, error.text, error.refused.verdict) == (Code.UNAVAILABLE, "no room", "full")
    assert VerdictError(Refused(Verdict.NOT_HERE)).text == "not-here"


def test_only_a_wait_for_a_load_is_a_cold_start() -> None:
    """Whether the runtime restarted is waited for too, and no load may come of it."""
    assert AwaitLoaded("m", 1, 5).is_cold_start
    assert not AwaitLoaded("", 1, 5).is_cold_start
