"""The cluster as one instance knows it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore import view as view_module
from meshcore.commands import Holder
from meshcore.errors import BadRecord
from meshcore.events import Seen
from meshcore.mirror import Mirror
from meshcore.order import PlacementOrder, ranked, why_no_loads
from meshcore.records import InstanceRecord, ModelRecord, Phase
from meshcore.settings import Settings
from meshcore.totals import Tally, Totals, summed
from meshcore.units import NEVER
from meshcore.view import ClusterView
from tests.meshcore.instances import T, full, instance

ME = "i-me"
START = T - 1000
CHURN_MS = 300_000


def new_view() -> ClusterView:
    return ClusterView(ME, START, Settings(reservation_ms=10_000), CHURN_MS)


def with_instances(**records: InstanceRecord) -> ClusterView:
    view = new_view()
    view.reset_instances(1, tuple(Seen(name, record.encode(), 1) for name, record in records.items()))
    return view


def model(**changes: object) -> ModelRecord:
    return ModelRecord(**{"type": "t", **changes})  # type: ignore[arg-type]


# models


def test_record_is_read_when_asked_for() -> None:
    """A registration has its record and the revision that wrote it; an unknown one neither."""
    view = new_view()
    assert view.reset_models(9, (Seen("m", model(path="p").encode(), 5),)) == ["m"]
    record = view.record("m")
    assert record == model(path="p")
    assert view.record("m") is record
    assert view.mod("m") == 5
    assert (view.record("x"), view.mod("x")) == (None, 0)


def test_all_that_is_known_is_listed_by_id() -> None:
    """Registrations as they stand, undecoded, and instances; both ascend, whatever order they came in."""
    view = with_instances(b=instance(), a=instance())
    view.reset_models(9, (Seen("n", b"{", 6), Seen("m", model().encode(), 5)))
    assert view.models() == [("m", model().encode(), 5), ("n", b"{", 6)]
    assert list(view.instances()) == [("a", instance()), ("b", instance())]
    assert (view.instance_mod("a"), view.instance_mod("x")) == (1, 0)


def test_unreadable_registration_is_an_error_where_it_is_asked_for() -> None:
    """A bad record names its key; the others are not touched."""
    view = new_view()
    view.reset_models(9, (Seen("m", b"{", 5), Seen("n", model().encode(), 6)))
    with pytest.raises(BadRecord, match='"registry/m"'):
        view.record("m")
    assert view.record("n") == model()


def test_news_of_a_model_replaces_what_was_read_before() -> None:
    """Commits, watches and snapshots all reach the next reader; old news reaches nobody."""
    view = new_view()
    assert view.see_model("m", model(path="1").encode(), 5)
    assert view.record("m") == model(path="1")
    assert not view.see_model("m", model(path="0").encode(), 4)
    assert view.record("m") == model(path="1")
    assert view.see_models(6, (Seen("m", model(path="2").encode(), 6),)) == ["m"]
    assert view.record("m") == model(path="2")
    assert view.reset_models(8, (Seen("m", model(path="3").encode(), 8),)) == ["m"]
    assert view.record("m") == model(path="3")
    assert view.see_model("m", None, 9)
    assert view.record("m") is None


def test_few_records_are_kept_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of records is kept decoded: those asked for last."""
    monkeypatch.setattr(view_module, "DECODED_KEPT", 2)
    view = new_view()
    view.reset_models(9, tuple(Seen(m, model(path=m).encode(), 5) for m in "abc"))
    a, b = view.record("a"), view.record("b")
    assert view.record("a") is a
    view.record("c")
    assert view.record("a") is a
    assert view.record("b") == b
    assert view.record("b") is not b


def test_view_has_come_as_far_as_its_watches() -> None:
    """The revision is the newest that a watch has told, of models or of instances."""
    view = new_view()
    assert view.revision == 0
    view.reset_models(9, ())
    view.reset_instances(7, ())
    assert view.revision == 9
    view.see_instances(12, ())
    assert view.revision == 12


# holders


def test_holders_are_the_live_copies_by_id() -> None:
    """A copy on a known instance of ours is a holder, ready iff the record says so of this very load."""
    view = with_instances(b=instance(), a=instance())
    record = model(copies={"b": T, "a": T + 1, "gone": T}, ready={"a": T + 1, "b": T - 5})
    assert view.holders(record) == (Holder("a", T + 1, True), Holder("b", T, False))


def test_copy_from_before_its_instance_started_is_a_ghost() -> None:
    """A load time before the instance's start names a copy of an earlier process."""
    view = with_instances(a=instance(start_ms=T))
    assert view.holders(model(copies={"a": T - 1})) == ()
    assert view.holders(model(copies={"a": T})) == (Holder("a", T, False),)
    assert not view.is_live("a", T - 1)
    assert [view.is_ghost(name, load_ts) for name, load_ts in (("a", T - 1), ("a", T), ("gone", 0))] == [
        True,
        False,
        False,
    ]


def test_java_instance_is_no_holder_and_not_counted() -> None:
    """An instance record without our part is shown, never a holder, never a target, not counted."""
    view = with_instances(java=instance(address="", phase="", min_space_units=0))
    assert view.holders(model(copies={"java": T})) == ()
    assert not view.is_ghost("java", 0), "what it has is its own business"
    assert [name for name, _ in view.instances()] == ["java"]
    assert view.totals.instances == 0
    assert len(view.order) == 0


def test_draining_instance_stays_a_holder() -> None:
    """An instance that drains takes no loads and keeps answering (D-20)."""
    view = with_instances(a=instance(is_shutting_down=True, phase=Phase.DRAINING))
    assert view.holders(model(copies={"a": T})) == (Holder("a", T, False),)
    assert view.totals.instances == 0
    assert len(view.order) == 0


def test_own_copies_need_no_published_record() -> None:
    """This instance knows its own start before anybody has seen its record."""
    view = new_view()
    assert view.holders(model(copies={ME: START})) == (Holder(ME, START, False),)
    assert view.holders(model(copies={ME: START - 1})) == ()


# instances


def test_instances_come_by_id() -> None:
    """All readable instances, ascending, whichever way they came and went."""
    view = with_instances(c=instance(count=3), a=instance(count=1))
    assert view.see_instance("b", instance(count=2).encode(), 4)
    assert not view.see_instance("b", None, 3)
    assert view.see_instances(6, (Seen("a", None, 5), Seen("d", instance(count=4).encode(), 6))) == ["a", "d"]
    assert [(name, record.count) for name, record in view.instances()] == [("b", 2), ("c", 3), ("d", 4)]
    assert view.instance("d") == instance(count=4)
    assert view.instance("a") is None
    assert view.reset_instances(9, ()) == ["c", "b", "d"]
    assert list(view.instances()) == []
    assert view.totals == Totals(0, 0, 0, 0, NEVER)


def test_unreadable_instance_is_as_good_as_gone_and_named() -> None:
    """A bad instance record is skipped and kept by key with what is wrong, until a good one comes."""
    view = with_instances(a=instance())
    view.see_instance("a", b"[]", 4)
    view.see_instance("b", b"[]", 5)
    assert list(view.bad) == ["a", "b"]
    assert "instances/a" in view.bad["a"]
    assert (view.instance("a"), len(view.order), view.totals.instances) == (None, 0, 0)
    view.see_instance("a", instance().encode(), 6)
    view.see_instance("b", None, 7)
    assert view.bad == {}
    assert view.instance("a") == instance()


def test_own_numbers_stand_for_the_published_ones() -> None:
    """Once told, this instance's own numbers are placed and counted by, whatever of them is published."""
    view = with_instances(**{ME: instance(count=1), "a": instance(count=2)})
    view.see_self(instance(count=5))
    view.see_instance(ME, instance(count=9).encode(), 4)
    assert view.instance(ME) == instance(count=5)
    assert [entry.id for entry in view.order.walk(T)] == ["a", ME]
    view.see_instance(ME, None, 5)
    view.see_self(instance(count=5))
    assert view.totals.copies == 7
    view.see_self(full())
    assert [entry.is_full for entry in view.order.walk(T)] == [False, True]


def test_own_numbers_count_before_anything_is_published() -> None:
    """This instance can place on itself from its start, while it is starting too."""
    view = new_view()
    view.see_self(instance(phase=Phase.STARTING))
    assert [entry.id for entry in view.order.walk(T)] == [ME]


def test_record_told_by_its_instance_counts_until_the_next_published_one() -> None:
    """A declining target sends its fresh record with the answer: the next choice goes by it (D-04)."""
    view = with_instances(**{"a": instance(), ME: instance()})
    view.see_told("a", full().encode())
    assert view.instance("a") == full()
    view.see_told("a", b"")
    assert view.instance("a") == full()
    view.see_told("unknown", instance().encode())
    view.see_told(ME, full().encode())
    assert view.instance("unknown") is None
    assert view.instance(ME) == instance()
    view.see_instance("a", instance(count=1).encode(), 4)
    assert view.instance("a") == instance(count=1)


# loads on their way, and whom it can reach


def free(view: ClusterView, name: str) -> int:
    entry = view.order.get(name)
    assert entry is not None
    return entry.free_units


def test_reserved_space_counts_until_the_target_shows_it() -> None:
    """A load on its way is in the order at once, and out of the reservations when the record has it."""
    view = with_instances(a=instance(accepted=7))
    view.reserve("a", 300, T)
    assert free(view, "a") == 700
    view.see_instance("a", instance(accepted=7, count=1).encode(), 4)
    assert free(view, "a") == 700
    view.see_instance("a", instance(accepted=8, used_units=290).encode(), 5)
    assert free(view, "a") == 710
    assert view.totals.free_units == 710


def test_load_that_does_not_come_gives_its_space_back() -> None:
    """A failure or the end of its time ends a reservation."""
    view = with_instances(a=instance())
    view.reserve("a", 300, T)
    view.reserve("a", 200, T)
    view.release("a", 1)
    view.release("a", 300)
    assert free(view, "a") == 800
    view.expire(T + 9_999)
    assert free(view, "a") == 800
    view.expire(T + 10_000)
    assert free(view, "a") == 1000


def test_reservation_on_an_instance_that_takes_no_loads_ranks_nobody() -> None:
    """What was sent to an instance that drains or vanished does not bring it back."""
    view = with_instances(a=instance(is_shutting_down=True))
    view.reserve("a", 300, T)
    view.reserve("unknown", 300, T)
    assert len(view.order) == 0


def test_restarted_or_vanished_instance_begins_anew() -> None:
    """A new process under an old id has none of the loads sent before and is not what could not be reached."""
    view = with_instances(a=instance(accepted=7), b=instance())
    for name in "ab":
        view.reserve(name, 300, T)
        view.health.failed(name, T)
    view.see_instance("a", instance(start_ms=T, accepted=0).encode(), 4)
    view.see_instance("b", None, 5)
    assert free(view, "a") == 1000
    assert view.reservations.loads("b") == 0
    assert view.health.is_ok("a", T)
    assert view.health.is_ok("b", T)
    view.see_instance("a", instance(start_ms=T, accepted=1).encode(), 6)
    view.reserve("a", 100, T)
    view.see_instance("a", instance(start_ms=T, accepted=1, count=1).encode(), 7)
    assert free(view, "a") == 900


RECORDS = st.builds(
    lambda start, used, count, lru, phase, address, leaving, accepted: instance(
        start_ms=T - start, used_units=used, count=count, lru_ms=lru, phase=phase, address=address,
        is_shutting_down=leaving, accepted=accepted,
    ),
    st.integers(0, 1), st.sampled_from([0, 950]), st.integers(0, 3), st.sampled_from([T - 9, T - 5, NEVER]),
    st.sampled_from(["", *Phase]), st.sampled_from(["10.0.0.1:1", "10.0.0.1:1", ""]), st.booleans(), st.integers(0, 2),
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["see", "see", "watch", "reset", "self", "reserve", "release", "expire"]),
        st.sampled_from(["a", "b", "c", ME]),
        st.one_of(st.none(), st.just(b"bad"), RECORDS, RECORDS),
        st.integers(-2, 2),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(CHANGES)
def test_everything_derived_matches_a_fresh_count(
    changes: list[tuple[str, str, InstanceRecord | bytes | None, int]],
) -> None:
    """Whatever came in whatever order: instances, sums, order and holders are those of the records that stand."""
    view, stored = new_view(), Mirror()
    values: dict[bytes, InstanceRecord] = {}
    mine: InstanceRecord | None = None
    now = T
    for mod, (what, name, value, drift) in enumerate(changes, 3):
        now += 1000
        encoded = value.encode() if isinstance(value, InstanceRecord) else value
        if isinstance(value, InstanceRecord):
            values[value.encode()] = value
        seen = (Seen(name, encoded, mod),)
        match what:
            case "see":
                assert view.see_instance(name, encoded, mod + drift) == stored.see(name, encoded, mod + drift)
            case "watch":
                assert view.see_instances(mod, seen) == stored.advance(mod, seen)
            case "reset":
                whole = seen if encoded is not None else ()
                assert view.reset_instances(mod, whole) == stored.reset(mod, whole)
            case "self" if isinstance(value, InstanceRecord):
                view.see_self(value)
                mine = value
            case "reserve":
                view.reserve(name, 100, now)
            case "release":
                view.release(name, 100)
            case _:
                view.expire(now)
    held = {name: stored.value(name) for name in sorted(["a", "b", "c", ME]) if name in stored}
    stands = {name: values[value] for name, value in held.items() if value in values}
    if mine is not None:
        stands[ME] = mine
    assert list(view.instances()) == sorted(stands.items())
    assert sorted(view.bad) == [name for name, value in held.items() if value == b"bad"]
    tally, order = Tally(), PlacementOrder(CHURN_MS)
    for name, record in stands.items():
        if not why_no_loads(record, name == ME):
            tally.add(record)
            order.put(ranked(name, record, view.reservations.units(name), view.reservations.loads(name)))
    assert view.totals == view.totals_for("t") == summed([tally])
    assert list(view.order.walk(now)) == list(order.walk(now))
    live = [name for name, record in stands.items() if name != ME and record.is_ours and record.start_ms <= T - 1]
    holders = view.holders(model(copies=dict.fromkeys(["a", "b", "c", ME], T - 1)))
    assert [holder.instance for holder in holders] == sorted([*live, ME])
