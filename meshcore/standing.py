"""How one copy here, its model and the cluster stand: all that the rules of scaling go by, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.units import NEVER


@dataclass(frozen=True, slots=True)
class Standing:
    """Times are milliseconds as this instance lived them, NEVER: it did not happen; no instant is among them."""

    copies: int = 1
    """Copies that are there, or load, the one here included."""
    min_copies: int = 0
    max_copies: int = 0
    """0: any number."""
    instances: int = 1
    """Instances that may take loads."""
    candidates: int = 0
    """Those without a copy, or a failure to load it that stands."""
    busy: int = 0
    """Candidates with so many requests that a further copy would not do well there."""
    rpm: int = 0
    """Requests a minute for the copy here."""
    threshold: int = 1
    """Requests a minute that call for a further copy."""
    is_regular: bool = False
    """Whether it was used, and used some time before."""
    is_arriving: bool = False
    """Whether a further copy is on its way, or so new that its share of requests has not come to it."""
    newest_ms: int = NEVER
    """Since the load of the latest of the other copies began."""
    load_ms: int = 0
    """How long a load of its type is expected to take."""
    free_units: int = 0
    """Of the instances that are not full."""
    capacity_units: int = 0
    lru_age_ms: int = 0
    """For how long the cluster's least recently used model was not used; NEVER: nothing there can be evicted."""
    unused_ms: int = 0
    calm_ms: int = NEVER
    """Since it had almost as many requests as call for a further copy."""
    settled_ms: int = 0
    """Since a further copy became ready, the one here included."""
    unloaded_ms: int = NEVER
    """Since one of many copies went."""
    queued: int = 0
    is_better_placed: bool = False
    """Whether this instance is a better place than that of the one other copy."""
