"""The one way in which a test is left out for want of a tool, so that the end of a run can list what was."""

from __future__ import annotations

import os
from collections import Counter
from typing import NoReturn

import pytest

OMITTED: Counter[str] = Counter()
"""How many tests were left out for each reason."""


def omit(reason: str) -> NoReturn:
    """Leave the running test out, naming the tool it wants; with REQUIRE_ALL=1 that is a failure."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1, but a test would be left out: {reason}", pytrace=False)
    OMITTED[reason] += 1
    pytest.skip(reason)
