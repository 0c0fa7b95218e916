"""How long loads take here, by the models' type."""

from __future__ import annotations

TYPES_KEPT = 1_000

WEIGHT_OF_THE_PAST = 7
"""Against 1 for the latest load: what took long once is forgotten after a dozen others."""


class LoadTimes:
    """Running means of what loads took, those of the types that were loaded last."""

    def __init__(self) -> None:
        self._means: dict[str, int] = {}

    def took(self, kind: str, load_ms: int) -> None:
        """A model of type ``kind`` was loaded in ``load_ms``."""
        mean = self._means.pop(kind, load_ms)
        if len(self._means) >= TYPES_KEPT:
            del self._means[next(iter(self._means))]
        self._means[kind] = (WEIGHT_OF_THE_PAST * mean + load_ms) // (WEIGHT_OF_THE_PAST + 1)

    def expected_ms(self, kind: str, otherwise_ms: int) -> int:
        """What a load of that type is likely to take; ``otherwise_ms`` where there was none yet."""
        return self._means.get(kind, otherwise_ms)
