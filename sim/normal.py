"""The normal distribution as a table: what is drawn from it is the same with every library."""

from __future__ import annotations

from statistics import NormalDist

QUANTILES = 1024


def quantiles() -> list[float]:
    """What ``QUANTILES`` equally probable parts of the standard normal distribution have in their middle, ascending."""
    normal = NormalDist()
    return [normal.inv_cdf((number + 0.5) / QUANTILES) for number in range(QUANTILES)]
