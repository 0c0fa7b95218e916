"""How busy an instance is: the mean of its last minutes, which others weigh when they choose where to load."""

from __future__ import annotations

from collections import deque


class Busyness:
    """A counter sampled now and then; ``at`` is in the milliseconds of a ``Pace``."""

    def __init__(self) -> None:
        self._total = 0
        self._samples: deque[tuple[int, int]] = deque([(0, 0)])

    def add(self, amount: int) -> None:
        """So much more was done."""
        self._total += amount

    def sample(self, at: int, window_ms: int) -> None:
        """Remember how much was done until ``at``, and nothing from before the newest sample that is old enough."""
        samples = self._samples
        samples.append((at, self._total))
        while at - samples[1][0] >= window_ms:
            samples.popleft()

    def rate(self, at: int, per_ms: int, least_ms: int) -> int:
        """What was done in ``per_ms`` on the average since the oldest sample, of at least ``least_ms``."""
        since, before = self._samples[0]
        return (self._total - before) * per_ms // max(least_ms, at - since)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was done since the oldest sample."""
        return self._total == self._samples[0][1]
