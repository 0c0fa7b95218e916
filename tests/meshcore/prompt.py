"""A cluster in which all that is asked for is answered at once, and time goes by."""

from __future__ import annotations

from meshcore.commands import Load
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Pending
from tests.meshcore.stored import WATCHED


class Prompt(Cluster):
    """Goes on by itself for as long as it is told."""

    def is_bad(self, load: Load, instance: str) -> bool:
        """Whether a load fails."""
        return False

    def go_on(self, ms: int) -> None:
        """Let so much time go by, with everything answered at once."""
        until = self.now + ms
        while True:
            if self.pending:
                self._answer(self.pending[0])
            elif not sum(self.watch(host, prefix) for host in self.live for prefix in WATCHED):
                wake = min(self.wake(host) for host in self.live)
                if wake > until:
                    break
                self.advance(max(0, wake - self.now))
        self.now = until

    def _answer(self, pending: Pending) -> None:
        is_bad = isinstance(pending.what, Load) and self.is_bad(pending.what, pending.host.id)
        self.deliver(pending, is_well=not is_bad)
