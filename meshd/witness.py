"""Turns the stream of reasons into metrics and log lines: whatever a node decides is counted in one place."""

from __future__ import annotations

import logging

from meshcore.demand import wanted_units
from meshcore.node import Node
from meshcore.reasons import Reason, Rule
from meshcore.units import UNIT_BYTES
from meshd.metrics import Metrics

_QUIET = frozenset({Rule.PUBLISH, Rule.HOLDER, Rule.TOUCH})
_LEVELS = {
    Rule.FAIL: logging.WARNING, Rule.UNLOAD: logging.WARNING, Rule.UNREADABLE: logging.WARNING,
    Rule.UNSATISFIED: logging.WARNING, Rule.HOLD: logging.WARNING, Rule.FAILFAST: logging.ERROR,
}  # fmt: skip

_log = logging.getLogger("meshd.decisions")


class Witness:
    """Follows one node's reasons from the first on."""

    def __init__(self, node: Node, metrics: Metrics) -> None:
        self._node, self._metrics = node, metrics
        self._seen = 0

    def catch_up(self) -> None:
        """Take in what was decided since the last call."""
        for reason in self._node.log.since(self._seen):
            self._seen = reason.seq
            self._take(reason)

    def scrape(self) -> None:
        """Bring what metrics say of this instance up to now."""
        self.catch_up()
        node = self._node
        record = node.own_record()
        self._metrics.worth(node.cache.lost_units * UNIT_BYTES, node.cache.unsatisfied_units * UNIT_BYTES)
        self._metrics.instance(
            record.lru_ms, node.now, record.capacity_units * UNIT_BYTES, record.used_units * UNIT_BYTES, record.count
        )
        wanted = wanted_units(node.cache, node.routes.ready, node.now)
        self._metrics.wanted(wanted * UNIT_BYTES, record.capacity_units * UNIT_BYTES)
        self._metrics.store(node.outage.is_blind, len(node.writer))
        upkeep = node.upkeep
        self._metrics.upkeep(upkeep.is_leading, len(upkeep.minimum.unsatisfied), upkeep.counts)

    def _take(self, reason: Reason) -> None:
        metrics, counters = self._metrics, self._metrics.counters
        metrics.decision(reason.rule)
        match reason.rule:
            case Rule.READY if "load_ms" in reason.inputs:
                counters.loads += 1
                metrics.load.observe(_whole(reason, "load_ms"), reason.model)
            case Rule.LOAD:
                metrics.loading_queue_delay.observe(_whole(reason, "waited_ms"), reason.model)
            case Rule.EVICT:
                counters.evictions += 1
                metrics.age_at_eviction.observe(_whole(reason, "age_ms"), reason.model)
            case Rule.FAIL:
                counters.load_failures += 1
            case Rule.UNLOAD if "attempts" in reason.inputs:
                counters.unload_attempt_failures += 1
                counters.unload_failures += _whole(reason, "attempts") > self._node.settings.unload_retries
        if reason.rule not in _QUIET:
            level = _LEVELS.get(reason.rule, logging.INFO)
            _log.log(level, "%s %s -> %s: %s", reason.rule, reason.model, reason.chosen, reason.cause)


def _whole(reason: Reason, name: str) -> int:
    value = reason.inputs[name]
    assert isinstance(value, int)
    return value
