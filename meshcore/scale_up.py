"""How many further copies a model gets because the copy here has more requests than it should (D-11)."""

from __future__ import annotations

from meshcore.settings import Settings
from meshcore.standing import Standing

AT_ONCE = 2
"""Copies that may always be added at once; beyond that a third of the instances."""


def further(standing: Standing, settings: Settings) -> int:
    """The number of further copies; 0: none."""
    if standing.rpm < standing.threshold or standing.is_arriving:
        return 0
    more = min(standing.rpm // standing.threshold, standing.candidates - standing.busy)
    if standing.max_copies:
        more = min(more, standing.max_copies - standing.copies)
    return max(0, min(more, max(AT_ONCE, standing.instances // 3)))
