"""Whether clients may be sent to this instance, beyond its being up: what a rolling change of all of them waits for.

Not before, once it has started, nobody is going: so one goes after the other. And not any more if what clients have it
load at first goes wrong (fail-fast): so a change to a broken build stops at its first instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.failfast import Blame, Trials, blame, verdict
from meshcore.reasons import Reason, Rule
from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.entry import Entry
    from meshcore.node import Node

NAMED = 3
"""Instances that are waited for and named; there may be many."""


class Readiness:
    """One instance's, from its start on."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._going: tuple[str, ...] = ()
        """Others that are going, as long as that is waited for."""
        self._started_ms = NEVER
        self._is_let_in = False
        self._broken = ""
        self._trials = Trials()

    @property
    def missing(self) -> tuple[str, ...]:
        """What keeps this instance from being ready, a text each; none: nothing."""
        waits = f"waits until other instances are gone: {_named(self._going)}" if self._going else ""
        broken = f"{self._broken}, so it stays out of use (fail-fast)" if self._broken else ""
        return tuple(filter(None, (waits, broken)))

    # -- others that are going ---------------------------------------------------------------------

    def started(self) -> None:
        """There is nothing else to wait for."""
        self._started_ms = min(self._started_ms, self._node.now)
        self.look()

    def look(self) -> None:
        """Records of instances are others, or the runtime is away or back: until this instance was ready once it is
        looked who is going."""
        if self._is_let_in:
            return
        node, before = self._node, self._going
        self._going = tuple(name for name, it in node.view.instances() if it.is_shutting_down and name != node.me)
        if not self._going and self._started_ms != NEVER and not node.is_runtime_away:
            self._let_in("nobody is going any more" if before else "")
        elif self._going and not before:
            node.explain(Reason(Rule.GATE, "", node.me, f"waits for {_named(self._going)}", node.view.revision))

    def next_wake(self) -> int:
        """The instant at which nobody is waited for any longer."""
        node = self._node
        return self._started_ms + node.settings.ready_wait_ms if self._going and self._started_ms != NEVER else NEVER

    def tick(self) -> None:
        """Wait no longer than that: whoever is going may never get there."""
        if self.next_wake() <= self._node.now:
            self._let_in(f"waited long enough for {_named(self._going)}")

    def _let_in(self, cause: str) -> None:
        self._is_let_in, self._going = True, ()
        if cause:
            self._node.explain(Reason(Rule.GATE, "", self._node.me, cause, self._node.view.revision))

    # -- loads that go wrong -----------------------------------------------------------------------

    def tried(self, entry: Entry, is_loaded: bool) -> None:
        """The runtime ended a load; a failure is not in the model's record yet."""
        node, settings, trials = self._node, self._node.settings, self._trials
        since_ms = node.now - node.identity.start_ms
        if self._broken or since_ms >= settings.failfast_ms:
            return
        if is_loaded:
            trials.loaded += entry.is_asked_for
            return
        record = node.record_or_none(entry.model)
        if record is None:
            return
        timeout_ms = node.cache.params.load_timeout_ms
        how = blame(record, entry.is_asked_for, node.me, self._is_there, timeout_ms, node.now, settings)
        trials.failed += how is not Blame.NONE
        trials.fatal += how is Blame.FATAL
        self._broken = verdict(trials, node.copies.queue.asked_for, settings)
        if self._broken:
            inputs: dict[str, int | str] = {
                "loaded": trials.loaded, "failed": trials.failed, "fatal": trials.fatal, "since_ms": since_ms
            }  # fmt: skip
            cause = f"{self._broken}: not ready any more, for good"
            node.explain(Reason(Rule.FAILFAST, "", node.me, cause, node.view.revision, inputs))

    def _is_there(self, instance: str, load_ts: int) -> bool:
        record = self._node.view.instance(instance)
        return record is not None and load_ts >= record.start_ms


def _named(instances: tuple[str, ...]) -> str:
    more = f" and {len(instances) - NAMED} more" if len(instances) > NAMED else ""
    return ", ".join(instances[:NAMED]) + more
