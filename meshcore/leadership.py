"""Which instance leads: of all candidates, of either kind, the one that has been one the longest."""

from __future__ import annotations

from collections.abc import Mapping

MARK = "_"
"""Stands before an instance's id in the name of its candidacy, as ModelMesh writes it."""


def candidate(instance: str) -> str:
    """The name that ``instance`` is a candidate under."""
    return MARK + instance


def leader(candidates: Mapping[str, int]) -> str:
    """The instance that leads, of candidates by name with the revision that made each; empty: there is none."""
    if not candidates:
        return ""
    return min(candidates, key=lambda name: (candidates[name], name)).removeprefix(MARK)
