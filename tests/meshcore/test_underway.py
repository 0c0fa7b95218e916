"""Loads under way elsewhere, as the registry tells of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshcore.records import ModelRecord
from meshcore.underway import Underway


def record(*loading: str, ready: tuple[str, ...] = ()) -> ModelRecord:
    return ModelRecord("t", copies=dict.fromkeys((*loading, *ready), 5), ready=dict.fromkeys(ready, 5))


def test_copy_is_under_way_from_its_naming_to_its_readiness() -> None:
    """Named and not ready: a load. Who is told of is who has one more or one less."""
    found = Underway()
    assert found.see("m", record("a")) == ["a"]
    assert found.see("m", record("a", "b")) == ["b"]
    assert found.see("m", record("a", "b", ready=("c",))) == []
    assert found.see("n", record("a")) == ["a"]
    assert (list(found.of("a")), list(found.of("b")), list(found.of("c"))) == (["m", "n"], ["m"], [])
    assert found.see("m", record("b", ready=("a",))) == ["a"]
    assert found.see("m", None) == ["b"]
    assert (list(found.of("a")), list(found.of("b"))) == (["n"], [])


INSTANCES = st.lists(st.sampled_from("abc"), unique=True, max_size=3)


@given(st.lists(st.tuples(st.sampled_from("mn"), st.one_of(st.none(), INSTANCES)), max_size=20))
def test_loads_are_those_of_the_records_as_they_stand(changes: list[tuple[str, list[str] | None]]) -> None:
    """Step by step as from scratch, and nothing is kept of what is over."""
    found, stands = Underway(), dict[str, list[str]]()
    for model, loading in changes:
        found.see(model, None if loading is None else record(*loading))
        stands[model] = loading or []
        for instance in "abc":
            assert sorted(found.of(instance)) == sorted(m for m, each in stands.items() if instance in each)
    for model in list(stands):
        found.see(model, None)
    assert (found._models, found._instances) == ({}, {})
