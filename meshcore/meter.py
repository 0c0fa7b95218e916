"""What is measured of one copy here to decide whether its model has too few copies or too many."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH_ENDED = 64
"""Requests that tell how long one takes, without those before them."""
LEAST_ENDED = 8
"""Requests below which nothing is known about how long one takes."""
UNLIMITED = 2**31 - 1


@dataclass(slots=True)
class Meter:
    """One copy that answers. Moments are milliseconds as a ``Pace`` counts them, -1: there was none."""

    used_at: int
    """When it was used last; never yet: when it became ready."""
    others_at: int
    """When a further copy became ready, here or elsewhere, as seen from here."""
    others: tuple[tuple[str, int], ...] = ()
    """The other copies (instance, load_ts) that are ready."""
    count: int = 0
    """Requests since the last pass."""
    rpm: int = 0
    """Requests a minute before the pass numbered ``rated_in``; in any other there were none."""
    rated_in: int = 0
    threshold: int = 0
    """Requests a minute that called for a further copy at the last pass; 0: it was in none."""
    heavy_at: int = -1
    """When it had almost as many requests as call for a further copy."""
    asked_at: int = -1
    """When a further copy was asked for."""
    first_use: int = -1
    last_use: int = -1
    """Two uses that a second copy is judged by."""
    queued: int = 0
    """Requests that wait for their turn."""
    ended: int = 0
    service_us: int = 0
    prior_ended: int = 0
    prior_service_us: int = 0
    """The requests, and the time that they took, before those in ``ended``."""

    def full_rpm(self, max_concurrency: int, percent: int, otherwise: int) -> int:
        """Requests a minute at which it is busy for ``percent`` of its time, by how long they take; ``otherwise``
        where too few have ended to tell."""
        ended, service_us = self.ended, self.service_us
        if ended < ENOUGH_ENDED:
            ended, service_us = ended + self.prior_ended, service_us + self.prior_service_us
            if ended < LEAST_ENDED:
                return otherwise
        else:
            self.prior_ended, self.prior_service_us = ended, service_us
            self.ended = self.service_us = 0
        if not service_us:
            return UNLIMITED
        return max(1, max_concurrency) * ended * 600_000 * percent // service_us
