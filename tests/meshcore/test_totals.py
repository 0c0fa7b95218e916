"""What the instances add up to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshcore.totals import Tally, Totals, summed
from meshcore.units import NEVER
from tests.meshcore.instances import T, full, instance


def test_nothing_adds_up_to_nothing() -> None:
    """Without instances there is no least recently used instant."""
    assert summed([Tally()]) == summed([]) == Totals(0, 0, 0, 0, NEVER)


def test_space_of_full_instances_is_not_free() -> None:
    """Free is what those have that are not full; the oldest instant is over all that have one."""
    tally = Tally()
    tally.add(instance(count=2, used_units=300, lru_ms=T - 5))
    tally.add(full(count=7, used_units=950, lru_ms=T - 9))
    tally.add(instance(lru_ms=0))
    assert summed([tally]) == Totals(3, 9, 3000, 1700, T - 9)
    tally.remove(full(count=7, used_units=950, lru_ms=T - 9))
    tally.remove(instance(lru_ms=0))
    assert summed([tally]) == Totals(1, 2, 1000, 700, T - 5)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 500, 950]), st.sampled_from([0, 5, 6, NEVER])), max_size=20
    ),
    st.integers(0, 20),
)
def test_sums_match_a_fresh_count(numbers: list[tuple[int, int, int]], removed: int) -> None:
    """Adding all and removing some is the same as adding the rest."""
    records = [instance(count=count, used_units=used, lru_ms=lru) for count, used, lru in numbers]
    tally, fresh = Tally(), Tally()
    for record in records:
        tally.add(record)
    for record in records[:removed]:
        tally.remove(record)
    for record in reversed(records[removed:]):
        fresh.add(record)
    assert tally == fresh
