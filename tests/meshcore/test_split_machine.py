"""Virtual models with weights and shadows, written by several at once: references are right after every step.

Two instances of ours plan by what they read, perhaps a while ago, and write it if it still stands; a ModelMesh pod does
the same with the two models that it knows of, and leaves the rest as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshcore import vmodel_edits
from meshcore.records import ModelRecord
from meshcore.split import WHOLE
from meshcore.vmodel_asks import ModelWrite, SetVModel
from meshcore.vmodel_edits import Standing
from meshcore.vmodel_record import VModelRecord
from tests.builders import NOW
from tests.steps import steps

MODELS = ("a", "b", "c", "d")
KEPT = "a"
"""The one that is not deleted when nobody refers to it any more; the others are made anew when they are wanted."""
VMODELS = ("v", "w")


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    models = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True))
    first = draw(st.integers(1, WHOLE - len(models) + 1)) if len(models) > 1 else WHOLE
    rest = [(WHOLE - first) // (len(models) - 1)] * (len(models) - 1) if len(models) > 1 else []
    if rest:
        rest[-1] += WHOLE - first - sum(rest)
    return dict(zip(models, [first, *rest], strict=True))


@dataclass(frozen=True)
class Plan:
    """What somebody is about to write, by what it read."""

    vmodel: str
    standing: Standing
    after: VModelRecord | None
    writes: tuple[ModelWrite, ...]


class Writers(RuleBasedStateMachine):
    """The store: what stands under each name, at which revision."""

    def __init__(self) -> None:
        super().__init__()
        self.mod = 1
        self.models: dict[str, tuple[ModelRecord, int]] = {}
        self.vmodels: dict[str, tuple[VModelRecord, int]] = {}
        self.plans: dict[str, Plan] = {}
        for model in MODELS:
            self.register(model)

    def register(self, model: str) -> None:
        self.mod += 1
        self.models[model] = (ModelRecord("t", last_used=NOW, auto_delete=model != KEPT), self.mod)

    def standing(self, vmodel: str, *named: str) -> Standing:
        record, mod = self.vmodels.get(vmodel, (None, 0))
        roles = record.roles if record is not None else frozenset()
        found = {model: self.models.get(model, (None, 0)) for model in sorted({*roles, *named})}
        return Standing(
            record, mod, {model: one for model, (one, _) in found.items()}, {m: at for m, (_, at) in found.items()}
        )

    def planned(self, writer: str, vmodel: str, standing: Standing, after: VModelRecord | None) -> None:
        self.plans[writer] = Plan(vmodel, standing, after, vmodel_edits.writes(standing, after, standing.models))

    # -- what is done ----------------------------------------------------------------------------------------

    @rule(
        writer=st.sampled_from("xy"), vmodel=st.sampled_from(VMODELS), wanted=weights(),
        shadow=st.sampled_from((None, "", *MODELS)), is_forced=st.booleans(), may_switch=st.booleans(),
    )  # fmt: skip
    def plan_to_set(
        self, writer: str, vmodel: str, wanted: dict[str, int], shadow: str | None, is_forced: bool, may_switch: bool
    ) -> None:
        shadow = "" if shadow in wanted else shadow
        for model in {*wanted, shadow or KEPT} - self.models.keys():
            self.register(model)
        asked = SetVModel(vmodel, wanted, is_forced=is_forced, shadow=shadow)
        standing = self.standing(vmodel, *wanted, *([shadow] if shadow else []))
        vmodel_edits.check(asked, standing)
        after = vmodel_edits.wanted(asked, standing.vmodel, may_switch, "")
        assert after.shadow not in wanted
        assert after.wanted == wanted
        self.planned(writer, vmodel, standing, after)

    @rule(writer=st.sampled_from("xy"), vmodel=st.sampled_from(VMODELS), has_failed=st.booleans())
    def plan_to_end_a_transition(self, writer: str, vmodel: str, has_failed: bool) -> None:
        standing = self.standing(vmodel)
        record = standing.vmodel
        if record is not None and record.is_in_transition and all(standing.models[m] for m in record.wanted):
            after = replace(record, has_failed=True) if has_failed else record.switched()
            assert has_failed or after.shares == record.wanted
            self.planned(writer, vmodel, standing, after)

    @rule(writer=st.sampled_from("xy"), vmodel=st.sampled_from(VMODELS))
    def plan_to_delete(self, writer: str, vmodel: str) -> None:
        if vmodel in self.vmodels:
            self.planned(writer, vmodel, self.standing(vmodel), None)

    @precondition(lambda self: self.plans)
    @rule(writer=st.sampled_from("xy"))
    def write(self, writer: str) -> None:
        plan = self.plans.pop(writer, None)
        if plan is None or self.vmodels.get(plan.vmodel, (None, 0))[1] != plan.standing.mod:
            return
        if any(self.models.get(write.model, (None, 0))[1] != write.expect for write in plan.writes):
            return
        self.mod += 1
        for write in plan.writes:
            if write.value is not None:
                self.models[write.model] = (ModelRecord.decode(write.value), self.mod)
            elif not write.is_kept:
                del self.models[write.model]
        if plan.after is None:
            del self.vmodels[plan.vmodel]
        else:
            self.vmodels[plan.vmodel] = (VModelRecord.decode(plan.after.encode()), self.mod)

    @rule(vmodel=st.sampled_from(VMODELS), model=st.sampled_from(MODELS), is_at_once=st.booleans())
    def a_pod_writes(self, vmodel: str, model: str, is_at_once: bool) -> None:
        """It counts for the two models that it knows of, and does not know which others this name refers to."""
        record, _ = self.vmodels.get(vmodel, (None, 0))
        pair = {record.active, record.target} if record is not None else set()
        if record is None or model in record.roles - pair or record.shadow in pair or model not in self.models:
            return
        after = replace(record, target=model, active=model if is_at_once else record.active)
        now = {after.active, after.target}
        if after.roles & (pair - now):
            return  # one that it lets go has another part that it does not know of: nobody can tell from the record
        self.mod += 1
        self.vmodels[vmodel] = (after, self.mod)
        for changed in pair ^ now:
            one, _ = self.models[changed]
            one = replace(one, references=one.references + (1 if changed in now else -1))
            if one.auto_delete and not one.references:
                del self.models[changed]
            else:
                self.models[changed] = (one, self.mod)

    # -- what has to be so -----------------------------------------------------------------------------------

    @invariant()
    def references_are_counted_once_for_each_virtual_model(self) -> None:
        expected = Counter(model for record, _ in self.vmodels.values() for model in record.roles)
        assert {model: record.references for model, (record, _) in self.models.items() if record.references} == expected

    @invariant()
    def what_answers_adds_up(self) -> None:
        for record, _ in self.vmodels.values():
            assert sum(record.shares.values()) == sum(record.wanted.values()) == WHOLE
            assert {*record.shares, *record.wanted} <= record.roles
            assert record.active in record.shares
            assert record.target in record.wanted


TestWriters = Writers.TestCase
TestWriters.settings = steps(50, 4)
