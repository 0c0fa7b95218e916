"""How evenly loads came to the instances: the most that any had, of what would have been its share."""

from __future__ import annotations

from collections.abc import Sequence


def most_of_share(counts: Sequence[int], weights: Sequence[int]) -> float | None:
    """The largest count as a multiple of its share: of all counts together, in proportion to ``weights``.

    1 is as even as can be; None: there was nothing to share.
    """
    total, weight = sum(counts), sum(weights)
    if not total:
        return None
    return round(max(count * weight / (total * each) for count, each in zip(counts, weights, strict=True)), 3)
