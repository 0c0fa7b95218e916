"""What a look at a mesh tells only beside the looks before it: who vanished, and who is behind the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshcore.census import Counted
from mmctl.values import Instance

LAG_MS = 1_000
"""An instance that was not told of a change after so long is behind."""
VANISHED_MS = 600_000
"""So long it is told that an instance was seen and is gone."""
_GOING = ("draining", "stopping")


class Lookback:
    """The looks so far; instants are epoch ms."""

    def __init__(self) -> None:
        self._revision = 0
        self._revision_ms = 0
        """When somebody knew of that revision."""
        self._known: dict[str, int] = {}
        """Instances that did not say that they go, and when they were seen last."""

    def late(self, instances: Sequence[Instance], census: Counted, now_ms: int) -> dict[str, int] | None:
        """Who is behind, and by how many revisions; None: somebody may be, look again in LAG_MS.

        That is who was not told of what stood in the store that long before: a change on its way is no lag.
        """
        newest = newest_revision(instances, census)
        if not self._revision:
            self._revision, self._revision_ms = newest, now_ms
            return None if behind(instances, newest) else {}
        if now_ms - self._revision_ms < LAG_MS:
            return {}
        late = behind(instances, self._revision)
        self._revision, self._revision_ms = newest, now_ms
        return late

    def vanished(self, instances: Iterable[Instance], now_ms: int) -> dict[str, int]:
        """Who was there, did not say that it goes, and is not there; and when it was seen last."""
        there = set()
        for each in instances:
            there.add(each.id)
            self._known[each.id] = now_ms
            if each.phase in _GOING:
                del self._known[each.id]
        self._known = {name: at_ms for name, at_ms in self._known.items() if now_ms - at_ms < VANISHED_MS}
        return {name: at_ms for name, at_ms in self._known.items() if name not in there}


def newest_revision(instances: Iterable[Instance], census: Counted) -> int:
    """Of the last change that every instance is to be told of, as far as anybody has told."""
    return max([census.revision, *(each.revision for each in instances)])


def behind(instances: Iterable[Instance], revision: int) -> dict[str, int]:
    """Instances that were not told of ``revision``, and by how many revisions they are behind it."""
    return {
        each.id: revision - each.now.seen_revision
        for each in instances
        if each.now is not None and each.now.seen_revision and each.now.seen_revision < revision
    }
