"""How long a machine of random steps is driven: some seconds in every run, as long as one likes by MESHD_STEPS."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

STEPS = int(os.environ.get("MESHD_STEPS", "5000"))
"""Steps that a machine takes in all, at most."""


def steps(each: int, part: int = 1) -> settings:
    """Runs of up to ``each`` steps, as many as STEPS has room for, or one in ``part`` of them."""
    return settings(
        max_examples=max(1, STEPS // each // part),
        stateful_step_count=each,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
