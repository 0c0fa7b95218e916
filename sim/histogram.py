"""How many durations were how long, in buckets that each are a little wider than the one before."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST_MS = 1e-3
PER_DOUBLING = 64
"""Buckets; each is 1.1 % wider than the one before."""
BUCKETS = 48 * PER_DOUBLING
"""Enough for years."""


def buckets_of(durations_ms: Any) -> Any:
    """The bucket of each duration (an array)."""
    doublings = np.log2(np.maximum(durations_ms, LEAST_MS) / LEAST_MS)
    return np.minimum((doublings * PER_DOUBLING).astype(np.int64), BUCKETS - 1)


class Histogram:
    """``counts`` by bucket, ``per_doubling`` of them where a duration doubles; the longest is ``max_ms``."""

    def __init__(self, counts: Any, max_ms: float, per_doubling: int = PER_DOUBLING) -> None:
        self._counts, self._per_doubling = counts, per_doubling
        self.max_ms = max_ms
        self.count = int(counts.sum())

    def quantile_ms(self, part: float) -> float:
        """The duration that ``part`` of all are not above, to about half a bucket; 0 for none."""
        if not self.count:
            return 0.0
        rank = max(1, int(np.ceil(part * self.count)))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(float(LEAST_MS * 2.0 ** ((bucket + 0.5) / self._per_doubling)), self.max_ms)
