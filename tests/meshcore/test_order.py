"""The placement order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.order import PlacementOrder, Ranked, ranked, why_no_loads
from meshcore.records import InstanceRecord, Phase
from meshcore.units import NEVER, age_ms
from tests.meshcore.instances import T, full, instance

CHURN_MS = 300_000


def order(**records: InstanceRecord) -> list[str]:
    placement = PlacementOrder(CHURN_MS)
    for name, record in records.items():
        placement.put(ranked(name, record))
    return [entry.id for entry in placement.walk(T)]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(instance(count=5), full(), id="not full before full, however many models"),
        pytest.param(instance(count=1, used_units=800), instance(count=2), id="fewer models"),
        pytest.param(instance(used_units=10), instance(used_units=11), id="more free space"),
        pytest.param(instance(lru_ms=T - 2), instance(lru_ms=T - 1), id="least recently used model older"),
        pytest.param(instance(lru_ms=T - 1), instance(lru_ms=NEVER), id="something to evict before nothing"),
        pytest.param(instance(loads_in_progress=1), instance(loads_in_progress=2), id="more free load threads"),
        pytest.param(
            instance(loads_in_progress=1),
            instance(loads_in_progress=5, load_threads=8),
            id="as many free load threads, fewer loads",
        ),
        pytest.param(instance(capacity_units=1001, used_units=1), instance(), id="larger"),
        pytest.param(instance(rpm=3), instance(rpm=4), id="less busy"),
        pytest.param(full(count=9, lru_ms=T - 9**7), full(lru_ms=T - 8**7), id="full: least recently used older"),
        pytest.param(full(count=1), full(count=2, used_units=950), id="full: fewer models"),
        pytest.param(full(used_units=950), full(used_units=951), id="full: more free space"),
        pytest.param(full(loads_in_progress=1), full(loads_in_progress=2), id="full: more free load threads"),
        pytest.param(instance(version=2, count=9), instance(version=1), id="newer version"),
        pytest.param(full(version=2), instance(version=1), id="newer version though full"),
    ],
)
def test_better_instance_comes_first(better: InstanceRecord, worse: InstanceRecord) -> None:
    """Each criterion in turn decides between two instances that are equal up to it."""
    assert order(a=worse, b=better) == ["b", "a"]
    assert order(a=better, b=worse) == ["a", "b"]


def test_places_are_in_the_order_of_the_walk() -> None:
    """Saturated ones last, whatever their version; who takes no loads has none."""
    placement = PlacementOrder(CHURN_MS)
    hot = T - CHURN_MS
    records = {
        "a": instance(version=1), "b": full(version=1), "c": instance(version=2), "d": full(version=3, lru_ms=hot),
        "e": full(version=3, lru_ms=hot + 1), "f": full(version=0, lru_ms=hot + 2), "g": full(version=1, count=3),
    }  # fmt: skip
    for name, record in records.items():
        placement.put(ranked(name, record))
    walked = [entry.id for entry in placement.walk(T)]
    places = {name: placement.place(name, T) for name in records}
    assert walked == ["c", "a", "b", "g", "d", "e", "f"]
    assert sorted(places, key=lambda name: places[name] or ()) == walked
    assert placement.place("z", T) is None


def test_equal_instances_come_by_id() -> None:
    """The id decides last."""
    assert order(b=instance(), a=instance()) == ["a", "b"]


def test_fullness_is_judged_by_each_instance_s_own_threshold() -> None:
    """Each candidate is judged by its own record, fullness by its own min_space (D-08)."""
    roomy = instance(used_units=900, min_space_units=100)
    tight = instance(used_units=850, min_space_units=151)
    assert not ranked("a", roomy).is_full
    assert ranked("b", tight).is_full
    assert order(a=tight, b=roomy) == ["b", "a"]


def test_newer_version_that_is_full_of_recently_used_models_comes_last() -> None:
    """Newer version first unless it is full and its LRU age is below twice the churn age (D-07)."""
    fresh = T - 2 * CHURN_MS + 1
    assert order(new=full(version=2, lru_ms=fresh), old=instance(version=1)) == ["old", "new"]
    assert order(new=full(version=2, lru_ms=fresh - 1), old=instance(version=1)) == ["new", "old"]
    assert order(new=full(version=2, lru_ms=NEVER), old=instance(version=1)) == ["old", "new"]


def test_saturation_is_judged_at_the_head_of_the_bucket() -> None:
    """One full instance with an old LRU speaks for the full ones of its version (D-07)."""
    records = {"n1": full(version=2, lru_ms=T - 2 * CHURN_MS), "n2": full(version=2, lru_ms=T), "o": instance()}
    assert order(**records) == ["n1", "n2", "o"]


def test_saturated_versions_come_together_oldest_used_first() -> None:
    """Among the saturated the version does not count, only what would be evicted."""
    assert order(
        n1=full(version=2, lru_ms=T - 30),
        n2=full(version=2, lru_ms=T - 10),
        m=full(version=1, lru_ms=T - 2 * CHURN_MS),
        o1=full(lru_ms=T - 40),
        o2=full(lru_ms=T - 20),
    ) == ["m", "o1", "n1", "o2", "n2"]


def test_reserved_loads_count_as_if_they_were_there() -> None:
    """What is on its way takes space, counts as a model and occupies a loader."""
    entry = ranked("a", instance(count=3, loads_in_progress=1, used_units=700), 250, 2)
    assert (entry.free_units, entry.count, entry.loads, entry.is_full) == (50, 5, 3, True)
    assert entry.load_permille == 750
    assert ranked("a", instance(), 1200, 1).free_units == -200
    assert ranked("a", instance(load_threads=0, loads_in_progress=1)).load_permille == 1000


@pytest.mark.parametrize(
    ("record", "for_others", "for_itself"),
    [
        (instance(), "", ""),
        (instance(phase=""), "", ""),
        (instance(phase="later"), "", ""),
        (instance(phase=Phase.STARTING), "starting", ""),
        (instance(phase=Phase.DRAINING), "draining", ""),
        (instance(phase=Phase.STOPPING), "stopping", ""),
        (instance(phase=Phase.STOPPING, is_shutting_down=True), "draining", "draining"),
        (instance(address=""), "not ours", "not ours"),
    ],
)
def test_who_is_offered_loads(record: InstanceRecord, for_others: str, for_itself: str) -> None:
    """Instances of ours that are not shutting down; others only while they are ready (D-20)."""
    assert why_no_loads(record, False) == for_others
    assert why_no_loads(record, True) == for_itself


def test_entry_replaces_the_former_one() -> None:
    """An instance is ranked once; discarding it leaves nothing behind."""
    placement = PlacementOrder(CHURN_MS)
    placement.put(ranked("a", instance(count=1)))
    placement.put(ranked("a", full()))
    assert [entry.count for entry in placement.walk(T)] == [0]
    assert placement.get("a") == ranked("a", full())
    placement.discard("a")
    placement.discard("a")
    assert (len(placement), placement.get("a"), placement._buckets) == (0, None, {})


RECORDS = st.builds(
    lambda version, used, count, lru, loads, threads, rpm: instance(
        version=version, used_units=used, count=count, lru_ms=T - lru, loads_in_progress=loads, load_threads=threads,
        rpm=rpm,
    ),
    st.integers(0, 2), st.sampled_from([0, 500, 950, 1000]), st.integers(0, 2),
    st.sampled_from([0, 1, 2 * CHURN_MS - 1, 2 * CHURN_MS, 10 * CHURN_MS]), st.integers(0, 2), st.integers(1, 2),
    st.integers(0, 1),
)  # fmt: skip


def sorted_naively(entries: list[Ranked], now: int) -> list[str]:
    """The order restated: one sort by everything, the buckets' heads found by looking at all."""
    heads: dict[int, int] = {}
    for entry in entries:
        if entry.is_full:
            version, lru = entry.record.version, entry.record.lru_ms
            heads[version] = min(lru, heads.get(version, lru))

    def rank(entry: Ranked) -> tuple[object, ...]:
        record = entry.record
        by_size = (entry.count, -entry.free_units)
        by_need = (record.lru_ms, *by_size) if entry.is_full else (*by_size, record.lru_ms)
        is_saturated = entry.is_full and age_ms(heads[record.version], now) < 2 * CHURN_MS
        bucket = (1, 0, 0) if is_saturated else (0, -record.version, int(entry.is_full))
        free_threads = record.load_threads - entry.loads
        return (*bucket, *by_need, -free_threads, entry.loads, -record.capacity_units, record.rpm, entry.id)

    return [entry.id for entry in sorted(entries, key=rank)]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), RECORDS), st.integers(0, 200), st.integers(0, 1)),
        max_size=25,
    )
)
def test_walk_is_the_sorted_order_after_every_change(
    changes: list[tuple[str, InstanceRecord | None, int, int]],
) -> None:
    """Buckets kept up step by step give what sorting everything anew gives."""
    placement = PlacementOrder(CHURN_MS)
    entries: dict[str, Ranked] = {}
    for name, record, units, loads in changes:
        if record is None:
            entries.pop(name, None)
            placement.discard(name)
        else:
            entries[name] = ranked(name, record, units, loads)
            placement.put(entries[name])
        assert [entry.id for entry in placement.walk(T)] == sorted_naively(list(entries.values()), T)
        assert len(placement) == len(entries)
