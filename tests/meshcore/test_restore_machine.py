"""A store that is put back to an earlier state, in the middle of whatever goes on: in the end all agree with it."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import strategies as st
from hypothesis.stateful import rule

from meshcore.asks import Clashed, StoreSilent, Wrote
from meshcore.events import SessionRenewed
from meshcore.kv import Kv
from tests.meshcore.cluster import Cluster
from tests.meshcore.stored import INSTANCES, MODELS
from tests.meshcore.test_cluster_machine import ClusterMachine
from tests.steps import steps


class Backups:
    """Copies of the store, taken now and then."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kept: list[Kv] = [deepcopy(cluster.kv)]

    def take(self) -> None:
        self._kept.append(deepcopy(self._cluster.kv))

    def restore(self, number: int) -> None:
        """Nobody gets an answer to what the store forgot; then each instance finds another history and begins anew.

        To put a store back takes longer than the news of the last write: what was written had been told by then.
        """
        cluster = self._cluster
        for host in cluster.live:
            for prefix in (MODELS, INSTANCES):
                cluster.watch(host, prefix)
        kv = cluster.kv = deepcopy(self._kept[number % len(self._kept)])
        for pending in cluster.pending:
            if isinstance(pending.done, Wrote | Clashed):
                pending.done = StoreSilent("connection reset")
        for host in cluster.hosts:
            if not host.is_alive:
                host.lease = 0
        for lease in list(kv._leases):  # a lease from before lasts no longer than its time
            kv.revoke(lease)
        for host in cluster.live:
            host.lease = kv.grant(20_000, cluster.now)
            cluster.feed(host, SessionRenewed())
            cluster.look(host)


class RestoreMachine(ClusterMachine):
    """The cluster machine with backups that are taken and put back."""

    @property
    def backups(self) -> Backups:
        kept = getattr(self, "_backups", None)
        if kept is None:
            kept = self._backups = Backups(self.cluster)
        return kept

    @rule()
    def take_a_backup(self) -> None:
        self.backups.take()

    @rule(number=st.integers(0, 1_000))
    def put_a_backup_back(self, number: int) -> None:
        self.backups.restore(number)


TestRestoreMachine = RestoreMachine.TestCase
TestRestoreMachine.settings = steps(50, part=2)
