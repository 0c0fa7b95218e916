"""Who may load models of a type, who had better, and what they add up to, as instances come and go."""

from __future__ import annotations

import pytest

from meshcore import partitions as partitions_module
from meshcore.constraints import Partition, TypeConstraint
from meshcore.partitions import Partitions
from meshcore.records import InstanceRecord
from meshcore.totals import Totals
from meshcore.units import NEVER
from tests.meshcore.instances import T, instance

GPU, CPU, BOTH = ("gpu",), ("cpu",), ("cpu", "gpu")


def partitions(constraints: dict[str, TypeConstraint], *records: InstanceRecord) -> Partitions:
    found = Partitions()
    found.constrain(constraints)
    for record in records:
        found.add(record)
    return found


def labelled(labels: tuple[str, ...], **changes: object) -> InstanceRecord:
    return instance(labels=labels, **changes)


def where(found: Partitions, model_type: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Label sets that are candidates, and those that are preferred."""
    eligible = found.eligible(model_type)
    sets = [(), GPU, CPU, BOTH, ("fast",), ("fast", "gpu")]
    return (
        [labels for labels in sets if found.of(labels) in eligible.candidates],
        [labels for labels in sets if found.of(labels) in eligible.preferred],
    )


def test_without_constraints_everybody_is_a_candidate_and_nobody_better() -> None:
    """One partition holds all."""
    found = partitions({}, labelled(GPU), labelled(CPU))
    assert found.eligible("t").candidates == {Partition()}
    assert found.eligible("t").preferred == frozenset()


def test_nobody_with_the_labels_makes_no_candidates() -> None:
    """Required labels that nobody has leave nowhere to go."""
    found = partitions({"t": TypeConstraint(GPU)}, labelled(CPU))
    assert (found.eligible("t").candidates, found.eligible("t").preferred) == (frozenset(), frozenset())
    assert found.totals_for("t") == Totals(0, 0, 0, 0, NEVER)


def test_preferred_labels_make_a_better_place_of_those_that_may_load() -> None:
    """Any preferred label, among the candidates alone (D-09)."""
    found = partitions(
        {"t": TypeConstraint(GPU, ("fast",))}, labelled(GPU), labelled(("fast", "gpu")), labelled(("fast",))
    )
    assert where(found, "t") == ([GPU, BOTH, ("fast", "gpu")], [("fast", "gpu")])


def test_order_of_arrival_makes_no_difference() -> None:
    """D-09: one rule, whether an instance was there from the start or came later, or constraints came later."""
    constraints = {"t": TypeConstraint(GPU, ("fast",)), "_default": TypeConstraint(CPU)}
    records = [labelled(GPU), labelled(("fast", "gpu")), labelled(CPU), labelled(("fast",))]
    told = {str(where(partitions(constraints, *each), "t")) for each in (records, records[::-1])}
    late = partitions({}, *records)
    late.constrain(constraints)
    for record in records:
        late.add(record)
    assert told == {str(where(late, "t"))}


def test_unconstrained_types_prefer_what_others_cannot_use() -> None:
    """Inferred: the highest 4 x prohibited - preferring, so what is special stays free for whom it is special."""
    found = partitions({"g": TypeConstraint(GPU)}, labelled(GPU), labelled(CPU))
    assert where(found, "other") == ([(), GPU, CPU, BOTH, ("fast",), ("fast", "gpu")], [(), CPU, ("fast",)])
    found = partitions({"p": TypeConstraint((), ("fast",))}, labelled(("fast",)), labelled(()))
    assert found.eligible("other").preferred == {Partition()}


def test_equal_scores_prefer_nobody() -> None:
    """Where all are as special there is no better place."""
    found = partitions({"g": TypeConstraint(GPU), "c": TypeConstraint(CPU)}, labelled(GPU), labelled(CPU))
    assert found.eligible("other").preferred == frozenset()


def test_constrained_types_prefer_among_their_candidates() -> None:
    """Inferred for a type with required labels, too: over those that may load it; _default as any other (D-09)."""
    found = partitions({"g": TypeConstraint(GPU), "_default": TypeConstraint(CPU)}, labelled(GPU), labelled(BOTH))
    assert where(found, "g") == ([GPU, BOTH, ("fast", "gpu")], [GPU, ("fast", "gpu")])


def test_preference_that_nobody_meets_is_inferred() -> None:
    """Preferred labels that no candidate has count as none."""
    found = partitions({"t": TypeConstraint((), ("nobody",)), "g": TypeConstraint(GPU)}, labelled(GPU), labelled(CPU))
    assert where(found, "t")[1] == [(), CPU, ("fast",)]


def test_sets_follow_those_who_come_and_go() -> None:
    """A preference holds as long as somebody is there to prefer, and comes back with the next."""
    found = partitions(
        {"t": TypeConstraint((), ("fast",)), "g": TypeConstraint(GPU)}, labelled(GPU), labelled(("fast",))
    )
    assert where(found, "t")[1] == [("fast",)]
    found.remove(labelled(("fast",)))
    assert found.eligible("t").candidates == {found.of(GPU)}
    assert found.eligible("t").preferred == frozenset()
    found.add(labelled(("fast",)))
    assert where(found, "t")[1] == [("fast",)]


def test_totals_for_a_type_are_of_those_that_may_load_it() -> None:
    """D-25: each partition has its own numbers, whoever was first in it; _default is asked as any other (D-09)."""
    found = partitions(
        {"g": TypeConstraint(GPU), "_default": TypeConstraint(CPU)},
        labelled(GPU, count=1, used_units=300, lru_ms=T - 5),
        labelled(GPU, count=2, used_units=1000, lru_ms=T - 9),
        labelled(CPU, count=4, used_units=100, lru_ms=T - 7),
        labelled(BOTH, count=8, used_units=500, lru_ms=T - 1),
    )
    assert found.totals_for("g") == Totals(3, 11, 3000, 1200, T - 9)
    assert found.totals_for("anything") == Totals(2, 12, 2000, 1400, T - 7)
    assert found.totals() == Totals(4, 15, 4000, 2100, T - 9)
    found.remove(labelled(GPU, count=2, used_units=1000, lru_ms=T - 9))
    assert found.totals_for("g") == Totals(2, 9, 2000, 1200, T - 5)


def test_few_sets_of_labels_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sets of labels there are, a bounded number is remembered."""
    monkeypatch.setattr(partitions_module, "PLACED_KEPT", 2)
    found = partitions({"g": TypeConstraint(GPU)})
    for number in range(5):
        assert found.of((str(number),)) == Partition(("g",), ())
    assert len(found._placed) <= 2
