"""Whatever instances and constraints come and go, what is kept step by step is what a fresh look would find."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from meshcore.constraints import DEFAULT, TypeConstraint
from meshcore.events import Seen
from meshcore.order import PlacementOrder, ranked, why_no_loads
from meshcore.partitions import Partitions
from meshcore.placement import Want, choose, outdone
from meshcore.reasons import Rejected
from meshcore.records import InstanceRecord, ModelRecord, Phase
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.meshcore.instances import T, full, instance
from tests.steps import steps

ME = "aaaaaa-me"
NAMES = (ME, "aaaaaa-1", "aaaaaa-2", "bbbbbb-1", "bbbbbb-2", "cc")
TYPES = ("t", "u", "v")
CHURN_MS = 300_000

any_name = st.sampled_from(NAMES)
any_type = st.sampled_from(TYPES)
any_labels = st.lists(st.sampled_from(["cpu", "fast", "gpu"]), unique=True, max_size=3).map(sorted).map(tuple)
any_constraints = st.dictionaries(
    st.sampled_from([*TYPES, DEFAULT]), st.builds(TypeConstraint, any_labels, any_labels), max_size=4
)


class PlacesMachine(RuleBasedStateMachine):
    """One view; beside it what was said last, from which everything is worked out anew after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.mod = T, 0
        self.view = ClusterView(ME, T - 1, Settings(), CHURN_MS)
        self.constraints: dict[str, TypeConstraint] = {}
        self.stands: dict[str, InstanceRecord] = {}
        self.loading: dict[str, tuple[str, ...]] = {}

    @rule(constraints=any_constraints)
    def constraints_change(self, constraints: dict[str, TypeConstraint]) -> None:
        self.constraints = constraints
        self.view.constrain(constraints)

    @rule(
        name=any_name, labels=any_labels, is_full=st.booleans(), phase=st.sampled_from([Phase.READY, Phase.DRAINING]),
        loads=st.integers(0, 3), zone=st.sampled_from(["", "z1", "z2"]),
    )  # fmt: skip
    def instance_publishes(
        self, name: str, labels: tuple[str, ...], is_full: bool, phase: Phase, loads: int, zone: str
    ) -> None:
        make = full if is_full else instance
        start_ms = self.stands[name].start_ms if name in self.stands else self.now
        record = make(labels=labels, phase=phase, loads_in_progress=loads, zone=zone, start_ms=start_ms)
        self.stands[name] = record
        self._tell(name, record.encode())

    @rule(name=any_name)
    def instance_goes(self, name: str) -> None:
        if self.stands.pop(name, None) is not None:
            self._tell(name, None)

    def _tell(self, name: str, value: bytes | None) -> None:
        self.mod += 1
        self.view.see_instances(self.mod, (Seen(name, value, self.mod),))
        self.view.came_or_went(name, self.now)

    @rule(model=st.sampled_from("mn"), names=st.lists(any_name, unique=True, max_size=2))
    def loads_change(self, model: str, names: list[str]) -> None:
        self.loading[model] = tuple(names)
        self.view.loads_of(model, ModelRecord("t", copies=dict.fromkeys(names, T)))

    @rule(name=any_name, is_back=st.booleans())
    def peer_fails_or_is_back(self, name: str, is_back: bool) -> None:
        if is_back:
            self.view.health.succeeded(name)
        else:
            self.view.health.failed(name, self.now)

    @rule(ms=st.sampled_from([1, 60_000, 600_000, 900_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self.view.expire(self.now)

    @rule(
        model_type=any_type, exclude=st.dictionaries(any_name, st.sampled_from([Rejected.HOLDS, Rejected.FAILED])),
        is_balanced=st.booleans(), seed=st.integers(0, 9),
    )  # fmt: skip
    def load_is_placed(self, model_type: str, exclude: dict[str, Rejected], is_balanced: bool, seed: int) -> None:
        want = Want("m", model_type, 10, 0, exclude, is_balanced)
        chosen, why = choose(self.view, want, self.now, Random(seed))
        may = [name for name in self._targets() if self._has_labels(name, model_type) and name not in exclude]
        assert (chosen in may) if may else (chosen is None), "somebody who may, if there is anybody"
        assert why.chosen == (chosen or "")
        kept = [name for name in may if not self.view.upgrades.is_replaced(name) and self._is_ok(name)]
        assert chosen in kept or not kept, "nobody who goes or cannot be reached, if others are there"
        better = outdone(self.view, want, self.now)
        assert better is None or better.chosen in may

    def _has_labels(self, name: str, model_type: str) -> bool:
        listed = {name: each for name, each in self.constraints.items() if each.required or each.preferred}
        constraint = listed.get(model_type, listed.get(DEFAULT, TypeConstraint()))
        return set(constraint.required) <= set(self.stands[name].labels)

    def _is_ok(self, name: str) -> bool:
        return self.view.health.is_ok(name, self.now)

    def _targets(self) -> list[str]:
        return [name for name, record in sorted(self.stands.items()) if not why_no_loads(record, name == ME)]

    @invariant()
    def sets_and_sums_are_those_of_a_fresh_look(self) -> None:
        fresh, order = Partitions(), PlacementOrder(CHURN_MS)
        fresh.constrain(self.constraints)
        for name in self._targets():
            record = self.stands[name]
            fresh.add(record)
            loads = sum(name in names for names in self.loading.values())
            extra = 0 if name == ME else max(0, loads - record.loads_in_progress)
            is_replaced = self.view.upgrades.is_replaced(name)
            order.put(ranked(name, record, 0, extra, fresh.of(record.labels), is_replaced))
        for model_type in TYPES:
            assert self.view.partitions.eligible(model_type) == fresh.eligible(model_type)
            assert self.view.totals_for(model_type) == fresh.totals_for(model_type)
            among = fresh.eligible(model_type).candidates
            for with_replaced in (False, True):
                walked = self.view.order.walk(self.now, among, with_replaced)
                assert list(walked) == list(order.walk(self.now, among, with_replaced))
                mine = [entry.id for entry in order.walk(self.now, among, with_replaced)]
                assert sorted(mine) == [
                    name
                    for name in self._targets()
                    if self._has_labels(name, model_type)
                    and (with_replaced or not self.view.upgrades.is_replaced(name))
                ]
        assert self.view.totals == fresh.totals()


TestPlacesMachine = PlacesMachine.TestCase
TestPlacesMachine.settings = steps(50, part=2)
