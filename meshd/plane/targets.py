"""Which model answers one request for a virtual model."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from meshcore.split import Split, pick, point_of
from meshd.plane.metadata import Metadata, sticky_key


class Target:
    """What requests for one virtual model go to: ``active``, or one of several models by their weights."""

    __slots__ = ("_split", "active", "shadow")

    def __init__(self, active: str, weights: Mapping[str, int], shadow: str) -> None:
        """``weights`` empty: no split; ``shadow`` empty: none."""
        self.active, self.shadow = active, shadow
        self._split = Split.of(weights) if weights else None

    def seen_by(self, model: str) -> str:
        """Who sees a request that ``model`` answers; empty: nobody else."""
        return "" if self.shadow == model else self.shadow

    def draw(self, metadata: Metadata, rng: Random) -> str:
        """The model for one request: by the client's key if it has one, else by chance."""
        if self._split is None:
            return self.active
        key = sticky_key(metadata)
        return pick(self._split, rng.getrandbits(64) if key is None else point_of(key))
