"""How many models are in which state, and which of them are named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.census import EXAMPLES, Census, Count, Counted, FailedModel, ShortModel, StuckLoad
from meshcore.records import Failure, InstanceRecord, ModelRecord
from tests.builders import NOW, instance, model

TIMEOUT_MS, EXPIRY_MS = 60_000, 900_000
STARTED = NOW - 3_600_000
INSTANCES = {"a": instance(), "b": instance(), "java": InstanceRecord(start_ms=STARTED)}


def counted(models: dict[str, ModelRecord | bytes]) -> Counted:
    count = Count(INSTANCES, NOW, TIMEOUT_MS, EXPIRY_MS)
    for revision, (name, record) in enumerate(models.items(), 1):
        count.add(name, record if isinstance(record, bytes) else record.encode(), revision)
    return count.done()


def copy(at: int = NOW - 1_000, is_ready: bool = True, name: str = "a") -> dict[str, Any]:
    return {"copies": {name: at}, "ready": {name: at} if is_ready else {}}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (model(), {}),
        (model(**copy()), {"loaded": 1, "copies": 1}),
        (model(**copy(is_ready=False)), {"loading": 1, "copies": 1}),
        (model(copies={"a": NOW, "b": NOW}, ready={"b": NOW}), {"loaded": 1, "copies": 2}),
        (model(**copy(STARTED - 1)), {}),  # of a process before this one
        (model(**copy(name="java")), {}),
        (model(**copy(name="gone")), {"gone": (("gone", 1),)}),
        (
            model(**copy(NOW - TIMEOUT_MS - 1, is_ready=False)),
            {"loading": 1, "copies": 1, "stuck": 1, "stuck_loads": (StuckLoad("m", "a", NOW - TIMEOUT_MS - 1),)},
        ),
        (model(**copy(NOW - TIMEOUT_MS, is_ready=False)), {"loading": 1, "copies": 1}),
        (
            model(failures={"a": Failure(NOW - 2, "old"), "b": Failure(NOW - 1, "new")}),
            {"failed": 1, "failed_models": (FailedModel("m", "b", NOW - 1, "new"),)},
        ),
        (model(failures={"a": Failure(NOW - EXPIRY_MS, "long ago")}), {}),
        (model(failures={"gone": Failure(NOW, "with it")}), {}),
        (
            model(failures={"a": Failure(NOW - 2, "here"), "gone": Failure(NOW - 1, "with it")}),
            {"failed": 1, "failed_models": (FailedModel("m", "a", NOW - 2, "here"),)},
        ),
        (model(failures={"b": Failure(NOW, "x")}, **copy()), {"loaded": 1, "copies": 1}),
        (model(min_copies=2), {"short": 1, "short_models": (ShortModel("m", 0, 2),)}),
        (
            model(min_copies=2, **copy()),
            {"loaded": 1, "copies": 1, "short": 1, "short_models": (ShortModel("m", 1, 2),)},
        ),
        (model(min_copies=1, **copy(is_ready=False)), {"loading": 1, "copies": 1}),
        (b'{"instanceIds": 7}', {"unreadable": 1}),
    ],
)
def test_a_model_counts_as_what_it_is(record: ModelRecord | bytes, expected: dict[str, Any]) -> None:
    assert counted({"m": record}) == Counted(**{"registered": 1, "revision": 1, "at_ms": NOW, **expected})


def test_of_each_kind_a_few_are_named_the_worst_of_them() -> None:
    failed = {f"f{n}": model(failures={"a": Failure(NOW - n, "x")}) for n in range(9)}
    stuck = {f"s{n}": model(**copy(NOW - TIMEOUT_MS - 10 + n, is_ready=False)) for n in range(9)}
    short = {f"m{n}": model(min_copies=1) for n in range(9)}
    found = counted({**failed, **stuck, **short})
    assert (found.failed, found.stuck, found.short) == (9, 9, 9)
    assert [each.model for each in found.failed_models] == [f"f{n}" for n in range(EXAMPLES)]
    assert [each.model for each in found.stuck_loads] == [f"s{n}" for n in range(EXAMPLES)]
    assert [each.model for each in found.short_models] == [f"m{n}" for n in range(EXAMPLES)]


RECORDS = st.one_of(
    st.none(),
    st.just(b"not a record with instanceIds"),
    st.just(b'{"instanceIds": []}'),
    st.builds(
        lambda copies, ready, failed, least: model(
            copies=copies,
            ready={name: at for name, at in copies.items() if name in ready},
            failures={name: Failure(at, "x") for name, at in failed.items() if name not in copies},
            min_copies=least,
        ).encode(),
        st.dictionaries(st.sampled_from(["a", "b", "java", "gone"]), st.integers(STARTED - 5, NOW), max_size=3),
        st.sets(st.sampled_from(["a", "b", "java"])),
        st.dictionaries(st.sampled_from(["a", "b", "gone"]), st.integers(NOW - EXPIRY_MS - 5, NOW), max_size=2),
        st.integers(0, 3),
    ),
)


@given(st.lists(st.tuples(st.sampled_from("mnop"), RECORDS), max_size=20))
def test_following_the_changes_counts_what_counting_all_does(changes: list[tuple[str, bytes | None]]) -> None:
    census, there = Census(), dict[str, tuple[bytes, int]]()
    for revision, (name, value) in enumerate(changes, 1):
        census.see(name, value, revision)
        there.pop(name, None)
        if value is not None:
            there[name] = value, revision
    whole = Count(INSTANCES, NOW, TIMEOUT_MS, EXPIRY_MS)
    whole.add_revision(len(changes))
    for name, (value, revision) in sorted(there.items()):
        whole.add(name, value, revision)
    found = census.into(Count(INSTANCES, NOW, TIMEOUT_MS, EXPIRY_MS))
    assert found == whole.done()
    assert found.registered == len(there)
    assert found.loaded + found.loading + found.failed + found.unreadable <= found.registered
