"""Whatever Java pods do beside our instances, and these do beside them, nobody touches what is the other's."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from meshcore.records import ModelRecord
from tests.meshcore.java import JavaPods
from tests.meshcore.stored import MODELS
from tests.meshcore.test_cluster_machine import ClusterMachine, any_number, pick
from tests.steps import steps

PODS = ("java-1", "java-2")

any_pod = st.sampled_from(PODS)


class MixedMachine(ClusterMachine):
    """The cluster machine with Java pods that come, load, fail, rewrite, take off, unregister, register and go.

    That our instances agree at rest, and answer, is held by ``Cluster.settle`` as without any Java.
    """

    @property
    def java(self) -> JavaPods:
        pods = getattr(self, "_java", None)
        if pods is None:
            pods = self._java = JavaPods(self.cluster.kv)
        return pods

    @rule(pod=any_pod)
    def java_comes_or_goes(self, pod: str) -> None:
        if pod in self.java.leases:
            self.java.leave(pod)
        else:
            self.java.join(pod, self.cluster.now)

    @rule(pod=any_pod)
    def java_stands(self, pod: str) -> None:
        if pod in self.java.leases:
            self.java.stand(pod)

    @rule(pod=any_pod, is_going=st.booleans(), used=st.integers(0, 10**6))
    def java_publishes(self, pod: str, is_going: bool, used: int) -> None:
        if pod in self.java.leases:
            self.java.say(pod, shutdown=is_going, used=used)

    @rule(pod=any_pod, model=any_number, age=st.sampled_from([0, 1, 10**6]))
    def java_loads(self, pod: str, model: int, age: int) -> None:
        self.java.load(pod, pick(self.models, model), self.cluster.now - age)

    @rule(pod=any_pod, model=any_number)
    def java_unloads(self, pod: str, model: int) -> None:
        self.java.unload(pod, pick(self.models, model), self.cluster.now)

    @rule(pod=any_pod, model=any_number)
    def java_fails(self, pod: str, model: int) -> None:
        self.java.fail(pod, pick(self.models, model), self.cluster.now)

    @rule(model=any_number, host=any_number)
    def java_takes_off_a_copy_of_ours(self, model: int, host: int) -> None:
        self.java.take_off(pick(self.models, model), self.host(host).id)

    @rule(model=any_number, value=st.integers())
    def java_writes_what_we_do_not_know(self, model: int, value: int) -> None:
        self.java.mark(pick(self.models, model), value)

    @rule(model=any_number, path=st.sampled_from("pq"), is_anew=st.booleans())
    def java_registers(self, model: int, path: str, is_anew: bool) -> None:
        if is_anew:
            self.java.unregister(pick(self.models, model))
        self.java.register(pick(self.models, model), type="t", mPath=path)

    @precondition(lambda self: len(self.cluster.live) > 0)
    @rule(model=any_number)
    def java_unregisters(self, model: int) -> None:
        self.java.unregister(pick(self.models, model))

    @invariant()
    def what_is_javas_stays(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.java.check()
        for host in self.cluster.live:
            assert not host.peers.keys() & set(PODS), "nobody is to call it"
            assert all(host.node.view.order.get(pod) is None for pod in PODS)
            holders = {holder.instance for route in host.table.values() for holder in route.holders}
            assert not holders & set(PODS)

    @invariant()
    def ready_is_said_of_copies_of_ours(self) -> None:
        if hasattr(self, "cluster"):
            for pair in self.cluster.kv.snapshot(MODELS).pairs:
                assert not ModelRecord.decode(pair.value).ready.keys() & set(PODS)


TestMixedMachine = MixedMachine.TestCase
TestMixedMachine.settings = steps(50, part=2)
