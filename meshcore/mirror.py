"""The newest known value of every key under one prefix, in whatever order the news of them comes.

News comes by watch, and ahead of it by own commits and reads, so what is older than what is known is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshcore.events import Seen

MOST_ABSENT = 4096
"""Keys that were asked for in vain and are remembered: anybody may ask for any, and the watch may stand still long."""


class Mirror:
    """Values as bytes by id, each with the store revision that wrote it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[bytes, int]] = {}
        self._deleted: dict[str, int] = {}
        """Revisions of deletions that the watch has yet to come to: until then it may tell what was there before."""
        self.revision = 0
        """The watch has told everything up to this revision."""

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def items(self) -> list[tuple[str, bytes, int]]:
        """Every (key, value, revision), ascending by key."""
        return sorted((key, value, mod) for key, (value, mod) in self._held.items())

    def ids(self) -> list[str]:
        """Every key, as first seen."""
        return list(self._held)

    def value(self, key: str) -> bytes | None:
        """What ``key`` holds."""
        held = self._held.get(key)
        return held[0] if held else None

    def mod(self, key: str) -> int:
        """The revision that wrote ``key``; 0: there is no such key."""
        held = self._held.get(key)
        return held[1] if held else 0

    def see(self, key: str, value: bytes | None, mod: int) -> bool:
        """``key`` held ``value`` (None: was absent) at revision ``mod``; True iff that is news.

        ``mod`` of an absent key is any revision at which it was absent.
        """
        held = self._held.get(key)
        if mod <= (held[1] if held else max(self._deleted.get(key, 0), self.revision)):
            return False
        if value is not None:
            self._deleted.pop(key, None)
            self._held[key] = (value, mod)
            return True
        if held is None and len(self._deleted) >= MOST_ABSENT:
            return False
        self._deleted[key] = mod
        return self._held.pop(key, None) is not None

    def advance(self, revision: int, seen: Iterable[Seen]) -> list[str]:
        """The watch tells ``seen`` and thereby everything up to ``revision``; the ids that changed, as told."""
        changed = [item.id for item in seen if self.see(item.id, item.value, item.mod)]
        self._reach(revision)
        return changed

    def reset(self, revision: int, seen: Iterable[Seen]) -> list[str]:
        """``seen`` is all there was at ``revision``; the ids that changed: as told, then those gone, as first seen.

        What is known to be newer than ``revision`` stays; unless the watch has told more, for then the store was put
        back to an earlier state: a snapshot is never older than what somebody was told.
        """
        before = self._held
        if revision < self.revision:
            self.revision = 0
            self._deleted = {}
            newer: dict[str, tuple[bytes, int]] = {}
        else:
            newer = {key: held for key, held in before.items() if held[1] > revision}
        self._held = dict(newer)
        told: set[str] = set()
        changed = []
        for item in seen:
            if item.value is None:
                continue
            told.add(item.id)
            if item.id in newer or self._deleted.get(item.id, 0) > revision:
                continue
            self._held[item.id] = (item.value, item.mod)
            if before.get(item.id) != (item.value, item.mod):
                changed.append(item.id)
        changed += [key for key in before if key not in told and key not in self._held]
        self._reach(revision)
        return changed

    def _reach(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if self._deleted:
            self._deleted = {key: mod for key, mod in self._deleted.items() if mod > self.revision}
