"""Which replica sets count as being replaced."""

from __future__ import annotations

import pytest

from meshcore.upgrades import Upgrades, replica_set_of
from tests.meshcore.instances import T, instance

MINUTE = 60_000
DAY = 86_400_000


class Rollout:
    """Instances come and go; a name's first letter is its replica set, and it may have labels."""

    def __init__(self) -> None:
        self.upgrades = Upgrades()
        self.known: list[str] = []

    def come(self, *names: str, at: int, start: int | None = None, labels: tuple[str, ...] = ()) -> list[str]:
        changed: list[str] = []
        for name in names:
            record = instance(start_ms=at if start is None else start, replica_set=name[0], labels=labels)
            changed += self.upgrades.see(name, record, at)
            self.known.append(name)
        return changed

    def go(self, name: str, at: int) -> list[str]:
        self.known.remove(name)
        return self.upgrades.see(name, None, at)

    @property
    def replaced(self) -> list[str]:
        return [name for name in self.known if self.upgrades.is_replaced(name)]


def rollout(at: int = T) -> Rollout:
    """Two instances of a day ago, and the first of the next replica set."""
    found = Rollout()
    found.come("a1", "a2", at=at - DAY)
    found.come("b1", at=at)
    return found


@pytest.mark.parametrize(
    ("instance_id", "name"),
    [("7d9c5b-abcde", "7d9c5b"), ("node-a-1", ""), ("model-mesh-0", ""), ("i-a", "")],
)
def test_first_six_characters_of_an_id_name_its_replica_set(instance_id: str, name: str) -> None:
    """As in ids made from names of a Deployment's pods; those of others, and those that people give, name none."""
    assert replica_set_of(instance_id) == name


def test_who_was_there_before_a_new_replica_set_is_being_replaced() -> None:
    """D-18: the first of a new replica set marks those of the others that all started before it."""
    found = Rollout()
    assert found.come("a1", "a2", at=T - DAY) == []
    assert found.come("b1", at=T) == ["a1", "a2"]
    assert found.replaced == ["a1", "a2"]
    assert found.come("a3", at=T + 1, start=T - 1) == ["a3"], "which comes to light late"


def test_what_an_instance_publishes_later_says_nothing() -> None:
    """D-18: first seen counts; another start under the same id is the same pod."""
    found = Rollout()
    found.come("a1", at=T - DAY)
    found.come("b1", at=T - DAY + 1)
    found.upgrades.expire(T - 1)
    for _ in range(3):
        assert found.come("b1", at=T) == []
    assert found.replaced == []


def test_labels_tell_deployments_apart() -> None:
    """D-19: what comes with other labels replaces nobody; with the same labels it does."""
    found = Rollout()
    found.come("a1", at=T - DAY, labels=("gpu",))
    assert found.come("b1", at=T, labels=("cpu",)) == []
    assert found.come("c1", at=T, labels=("gpu",)) == ["a1"]
    assert found.replaced == ["a1"]


def test_two_that_started_side_by_side_replace_nobody() -> None:
    """A replica set that has an instance younger than the newest's first is not before it."""
    found = Rollout()
    found.come("a1", at=T - 20)
    found.come("b1", at=T - 10)
    assert found.replaced == ["a1"]
    assert found.come("a2", at=T) == ["a1", "a2"], "both are wanted"
    assert found.replaced == []


@pytest.mark.parametrize(
    ("newest_min", "before_min", "is_replaced"),
    [
        pytest.param(9, 1000, True, id="the newest came within 10 min"),
        pytest.param(10, 1000, False, id="not within 10 min, and nothing happened to the other"),
        pytest.param(14, 13, False, id="is not before the newest"),
        pytest.param(15, 16, False, id="not within 10 min, and the other changed over 15 min ago"),
        pytest.param(13, 14, True, id="within 20 min, and the other changed within 15 min"),
        pytest.param(20, 21, False, id="over 20 min ago"),
    ],
)
def test_how_long_after_a_new_replica_set_others_are_found_to_be_replaced(
    newest_min: int, before_min: int, is_replaced: bool
) -> None:
    """20 min, of which 10 only if the other changed within 15 min; by ages of starts, so that who starts late and sees
    all at once comes to the same."""
    found = Rollout()
    found.come("a1", at=T, start=T - before_min * MINUTE)
    found.come("b1", at=T, start=T - newest_min * MINUTE)
    assert found.upgrades.is_replaced("a1") is is_replaced


def test_replica_set_stays_after_all_when_nothing_happens_for_15_minutes() -> None:
    """An upgrade that stopped half-way keeps nobody out for ever."""
    found = rollout()
    assert found.upgrades.expire(T + 15 * MINUTE - 1) == []
    assert found.upgrades.expire(T + 15 * MINUTE) == ["a1", "a2"]
    assert found.replaced == []
    assert found.upgrades.expire(T + DAY) == []


def test_every_instance_that_comes_or_goes_prolongs_it() -> None:
    """A rollout takes as long as it takes: 15 min from the last of the new that came, or of the old that went."""
    found = rollout()
    found.come("b2", at=T + 10 * MINUTE)
    assert found.upgrades.expire(T + 24 * MINUTE) == []
    found.go("a1", T + 24 * MINUTE)
    assert found.upgrades.expire(T + 38 * MINUTE) == []
    assert found.replaced == ["a2"]
    assert found.upgrades.expire(T + 39 * MINUTE) == ["a2"]


def test_rollback_takes_the_mark_away() -> None:
    """When the newest is gone, those before it stay."""
    found = rollout()
    assert found.go("b1", T + MINUTE) == ["a1", "a2"]
    assert found.replaced == []


def test_going_of_the_last_leaves_nothing_behind() -> None:
    """What is gone is forgotten, and going of what is not marked marks nothing."""
    found = rollout()
    found.upgrades.expire(T + DAY)
    assert found.go("a1", T + DAY) == []
    assert found.replaced == []
    found.go("a2", T + DAY)
    found.go("b1", T + DAY)
    assert (found.upgrades._sets, found.upgrades._homes) == ({}, {})


def test_only_the_latest_upgrade_s_end_is_waited_for() -> None:
    """Two deployments roll at different times; each ends by itself."""
    found = Rollout()
    for label, start in (("x", T), ("y", T + 5 * MINUTE)):
        found.come(f"a{label}", at=start - DAY, labels=(label,))
        found.come(f"b{label}", at=start, labels=(label,))
    assert found.replaced == ["ax", "ay"]
    assert found.upgrades.expire(T + 15 * MINUTE) == ["ax"]
    assert found.upgrades.expire(T + 19 * MINUTE) == []
    assert found.upgrades.expire(T + 20 * MINUTE) == ["ay"]


def test_java_pods_and_instances_without_a_replica_set_are_passed_over() -> None:
    """Neither is part of an upgrade of ours; other labels or another replica set make another instance of one."""
    upgrades = Upgrades()
    assert upgrades.see("java-pod-1", instance(address=""), T) == []
    assert upgrades.see("i-a", instance(), T) == []
    assert upgrades._homes == {}
    upgrades.see("a1", instance(replica_set="a", start_ms=T - 5), T)
    upgrades.see("b1", instance(replica_set="b", start_ms=T - 2), T)
    assert upgrades.is_replaced("a1")
    assert upgrades.see("a1", instance(replica_set="c", start_ms=T - 1), T) == ["a1", "b1"]
    assert not upgrades.is_replaced("a1")
    assert upgrades.is_replaced("b1")


def test_start_in_the_future_counts_as_now() -> None:
    """A clock that is ahead makes nobody newer than now."""
    found = Rollout()
    found.come("a1", at=T, start=T + DAY)
    assert found.come("b1", at=T + 1) == ["a1"]
