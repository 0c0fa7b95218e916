"""What somebody set for the whole mesh, below ``config/`` in the store, in force here as soon as it stands there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from meshcore.dynamic import (
    ALL,
    BY_NAME,
    DISABLE,
    LOG_EACH_INVOCATION,
    LOGGER_LEVEL,
    SCALEUP_RPM_THRESHOLD,
    SEND_DESTINATION_ID,
    Dynamic,
)
from meshcore.events import Event, Tuned
from meshcore.kv import Change, Deleted, Pair, Snapshot
from meshcore.node import Node
from meshd import log
from meshd.config import Config
from meshd.reach import Reach
from meshd.records import Keys
from meshd.settings.kinds import nearest
from meshd.start_error import StartError
from meshd.store.base import Store
from meshd.store.mirror import mirror

KEPT_MOST = 100
"""Keys that are looked at; somebody may have put any number there."""

_log = logging.getLogger(__name__)


class Plane(Protocol):
    """What of the plane can be set."""

    logs_each_request: bool


class Tuning:
    """The texts in the store by name; of each the last that made sense is in force."""

    def __init__(self, config: Config, node: Node, plane: Plane, feed: Callable[[Event], None]) -> None:
        """``config`` is what counts where the store says nothing; ``feed`` takes what the node is told."""
        self._config, self._node, self._plane, self._feed = config, node, plane, feed
        self._plane.logs_each_request = config.logs_each_request
        self._seen: dict[str, bytes] = {}
        self._good: dict[str, tuple[str, int | str | bool]] = {}

    @property
    def in_force(self) -> Mapping[str, str]:
        """The texts in force, by name; a name that is missing is as this instance was given it."""
        return {name: text for name, (text, _) in self._good.items()}

    def reset(self, texts: Mapping[str, bytes]) -> None:
        """These are all there are."""
        gone = [name for name in self._seen if name not in texts]
        self.change({**dict.fromkeys(gone), **texts})

    def change(self, texts: Mapping[str, bytes | None]) -> None:
        """These are others, or (None) gone."""
        before = dict(self._good)
        for name, value in texts.items():
            if value is None:
                self._seen.pop(name, None)
                self._good.pop(name, None)
            elif self._seen.get(name) != value and (
                name in BY_NAME or name in self._seen or len(self._seen) < KEPT_MOST
            ):
                self._seen[name] = value
                self._take(name, value)
        changed = [dynamic for dynamic in ALL if before.get(dynamic.name) != self._good.get(dynamic.name)]
        for dynamic in changed:
            self._tell(dynamic)
        if any(dynamic.knob for dynamic in changed):
            self._turn()

    def _take(self, name: str, value: bytes) -> None:
        dynamic = BY_NAME.get(name)
        if dynamic is None:
            _log.warning("config/%s is in the store and is no setting%s", ascii(name)[1:-1], nearest(name, BY_NAME))
            return
        try:
            parsed = dynamic.parsed(value)
        except ValueError as wrong:
            _log.warning("config/%s; what was in force before stays", wrong)
            return
        self._good[name] = value.decode().strip(), parsed

    def _tell(self, dynamic: Dynamic) -> None:
        """Say that a setting is another, and have the parts that are not the node's go by it."""
        config, good = self._config, self._good.get(dynamic.name)
        if dynamic is LOGGER_LEVEL:
            log.set_level(str(good[1]) if good else config.log_level)
        if dynamic is LOG_EACH_INVOCATION:
            self._plane.logs_each_request = bool(good[1]) if good else config.logs_each_request
        if good is None:
            _log.info("config/%s is gone from the store: this instance goes by what it was given", dynamic.name)
            return
        _log.info("config/%s is %s for all instances", dynamic.name, good[0])
        if dynamic is SCALEUP_RPM_THRESHOLD and self._node.cache.params.limits_concurrency:
            _log.warning("config/%s has no effect here: the runtime limits concurrency", dynamic.name)
        if dynamic is SEND_DESTINATION_ID:
            _log.warning("config/%s is a setting of ModelMesh that has no effect here", dynamic.name)
        if dynamic is DISABLE and good[1]:
            _log.warning("config/%s is set: no instance starts any more; this one goes on", dynamic.name)

    def _turn(self) -> None:
        numbers = {dynamic.knob: self._good[dynamic.name][1] for dynamic in ALL if dynamic.name in self._good}
        self._feed(Tuned({knob: int(number) for knob, number in numbers.items() if knob}))


async def follow_config(
    store: Store, keys: Keys, tuning: Tuning, is_known: asyncio.Event, reach: Reach, rng: Random
) -> None:
    """Keep ``tuning`` told of all that is set; ``is_known`` is set after the first time."""
    cut = len(keys.config)

    def on_snapshot(snapshot: Snapshot) -> None:
        tuning.reset({pair.key[cut:]: pair.value for pair in snapshot.pairs})
        is_known.set()

    def on_change(change: Change) -> None:
        tuning.change({pair.key[cut:]: _value(pair) for pair in change.pairs})

    await mirror(
        store, keys.config, on_snapshot, on_change,
        on_unavailable=lambda why: reach.lost(keys.config, why), on_available=lambda: reach.found(keys.config),
        rng=rng,
    )  # fmt: skip


def _value(pair: Pair | Deleted) -> bytes | None:
    return pair.value if isinstance(pair, Pair) else None


async def check_enabled(store: Store, keys: Keys) -> None:
    """Raises StartError where somebody set that no instance may start, StoreError."""
    key = keys.config + DISABLE.name
    for pair in (await store.read(key)).pairs:
        if pair.value.strip().lower() != b"false":
            raise StartError(f'"{key}" is set in the store, so no instance starts: delete it, or set it to false')
