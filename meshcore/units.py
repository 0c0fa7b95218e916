"""The units that the rules count in: cache units, instants and durations."""

from __future__ import annotations

UNIT_BYTES = 8192
"""One cache unit: sizes inside the mesh are whole numbers of these (docs/design.md, cache)."""

NEVER = 2**63 - 1
"""The instant that stands for "not yet used" in a record: an empty cache's least recently used time."""


def to_units(size_bytes: int) -> int:
    """Cache units needed for ``size_bytes``, rounded up."""
    return -(-size_bytes // UNIT_BYTES)


def age_ms(then: int, now: int) -> int:
    """Milliseconds from the instant ``then`` to ``now``, 0 for an instant in the future.

    The one way to compare two instants: a duration never stands beside an instant.
    """
    return max(0, now - then)
