"""What constraints make of an instance's labels."""

from __future__ import annotations

import pytest

from meshcore.constraints import Constraints, Partition, TypeConstraint


def needs(*required: str, prefers: tuple[str, ...] = ()) -> TypeConstraint:
    return TypeConstraint(required, prefers)


def constraints(**listed: TypeConstraint) -> Constraints:
    found = Constraints()
    found.put(listed)
    return found


@pytest.mark.parametrize(
    ("labels", "may_load"),
    [((), False), (("gpu",), False), (("big", "gpu"), True), (("big", "gpu", "new"), True), (("big",), False)],
)
def test_an_instance_needs_all_labels_that_a_type_requires(labels: tuple[str, ...], may_load: bool) -> None:
    """Required: all of them. A type that nobody lists may be loaded anywhere."""
    found = constraints(t=needs("big", "gpu"))
    assert found.allow("t", labels) is may_load
    assert found.allow("other", labels)
    assert (found.required("t"), found.required("other")) == (("big", "gpu"), ())


def test_labels_of_a_type_are_sorted_and_each_counts_once() -> None:
    """What is asked for in both ways is required."""
    assert TypeConstraint.of(["gpu", "big", "gpu"], ["new", "gpu", "fast", "new"]) == needs(
        "big", "gpu", prefers=("fast", "new")
    )


def test_types_that_are_not_listed_go_by_the_default() -> None:
    """_default counts for all types that are not listed, and for no other."""
    found = constraints(t=needs("gpu"), _default=needs("cpu"))
    assert (found.name("t"), found.name("u")) == ("t", "_default")
    assert found.allow("t", ["gpu"])
    assert not found.allow("u", ["gpu"])
    assert found.allow("u", ["cpu"])


def test_type_that_is_listed_with_nothing_is_as_good_as_not_listed() -> None:
    """A type with neither required nor preferred labels goes by _default."""
    found = constraints(t=needs(), _default=needs("cpu"))
    assert found.name("t") == "_default"
    assert constraints(t=needs()).name("t") == ""


def test_constraints_replace_those_before() -> None:
    """What is put in force is all there is."""
    found = constraints(t=needs("gpu"))
    found.put({"u": needs("cpu")})
    assert (found.required("t"), found.required("u")) == ((), ("cpu",))


def test_partition_is_told_by_what_the_labels_allow() -> None:
    """Which types cannot use it, and which that can would rather; _default is one of them (D-09)."""
    found = constraints(
        gpu=needs("gpu"),
        pick=needs(prefers=("fast", "new")),
        both=needs("gpu", prefers=("fast",)),
        _default=needs("cpu"),
    )
    assert found.partition(["cpu"]) == Partition(("both", "gpu"), ())
    assert found.partition(["fast", "gpu"]) == Partition(("_default",), ("both", "pick"))
    assert found.partition(["fast"]) == Partition(("_default", "both", "gpu"), ("pick",)), (
        "preferred only where allowed"
    )


def test_score_is_four_for_a_type_that_cannot_use_it_less_one_for_a_type_that_wants_it() -> None:
    """4 x prohibited - preferring."""
    assert Partition(("a", "b"), ("c", "d", "e")).score == 5
    assert Partition().score == 0
