"""Routes that an instance's coming, going or end changes, a slice at a time."""

from __future__ import annotations

from dataclasses import replace

from meshcore.commands import Holder, Route
from meshcore.events import InstancesSeen, Seen
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

B = instance(address="b:1")
GOING = replace(B, phase="draining", is_shutting_down=True)


def mesh(models: int, slice_models: int = 2, *, here: int = 0, copies: str = "b") -> Lone:
    """Models with a copy on each of ``copies``, the first few of them ready here too."""
    lone = Lone(settings=Settings(slice_models=slice_models), peers=dict.fromkeys("bc", B))
    there = dict.fromkeys(copies, NOW - 60_000)
    for number in range(models):
        name = f"m{number}"
        if number < here:
            lone.load(name)
            record = lone.record(name)
            lone.know(name, replace(record, copies={**record.copies, **there}, ready={**record.ready, **there}))
        else:
            lone.know(name, model(copies=there, ready=there))
    lone.commands.clear()
    return lone


def rerouted(lone: Lone) -> list[str]:
    """Models that the plane was told other routes of since the last call."""
    told = [route.model for route in lone.all(Route)]
    lone.commands.clear()
    return told


def redundant(lone: Lone) -> list[str]:
    return [name for name, entry in lone.node.cache.entries.items() if entry.is_redundant]


def test_routes_to_an_instance_that_is_gone_are_taken_back_in_slices() -> None:
    """The first with the news itself, the others a pause apart."""
    lone = mesh(5)
    lone.lose("b")
    assert rerouted(lone) == ["m0", "m1"]
    assert lone.node.next_wake(lone.now) == lone.now + 10
    lone.tick(9)
    assert rerouted(lone) == []
    lone.tick(1)
    assert rerouted(lone) == ["m2", "m3"]
    lone.tick(10)
    assert rerouted(lone) == ["m4"]
    assert lone.node.rerouting.next_wake() == NEVER


def test_an_instance_that_starts_anew_has_none_of_the_former_copies() -> None:
    lone = mesh(1)
    lone.meet("b", replace(B, start_ms=NOW))
    assert lone.last(Route) == Route("m0", None, ())
    lone.meet("b", B)
    assert lone.last(Route) == Route("m0", None, (Holder("b", NOW - 60_000, True),))


def test_an_instance_that_goes_answers_as_before() -> None:
    """No route is another one; only models that are here are looked at again."""
    lone = mesh(3, 9, here=1)
    assert redundant(lone) == ["m0"]
    lone.meet("b", GOING)
    assert redundant(lone) == []
    assert rerouted(lone) == []
    lone.meet("b", B)
    assert redundant(lone) == ["m0"]


def test_an_instance_that_only_writes_its_record_again_causes_no_work() -> None:
    """Another phase, address or number changes no route."""
    lone = mesh(3, here=1)
    for record in (replace(B, count=7), replace(B, address="b:2"), replace(B, phase="starting")):
        lone.meet("b", record)
        assert lone.node.rerouting.next_wake() == NEVER
    assert rerouted(lone) == []


def test_instances_that_change_together_share_a_slice() -> None:
    """As many models as one alone, whoever they belong to; those without models take no place."""
    lone = mesh(3, copies="b")
    for name in "yz":
        lone.know(name, model(copies={"c": NOW - 60_000}))
    rerouted(lone)
    lone.revision += 1
    gone = tuple(Seen(name, None, lone.revision) for name in "abc")
    lone.feed(InstancesSeen(lone.revision, gone))
    assert rerouted(lone) == ["m0", "m1"]
    lone.tick(10)
    assert rerouted(lone) == ["m2", "y"]
    lone.tick(10)
    assert rerouted(lone) == ["z"]
    lone.tick(10)
    assert lone.node.rerouting.next_wake() == NEVER


def test_end_after_going_takes_back_what_was_not_looked_at_yet() -> None:
    """What is known last holds, whatever the slice before was for."""
    lone = mesh(5, here=1)
    lone.meet("b", GOING)
    lone.lose("b")
    while lone.node.rerouting.next_wake() != NEVER:
        lone.tick(10)
    assert sorted(rerouted(lone)) == ["m0", "m1", "m2", "m3", "m4"]
    assert redundant(lone) == []


def test_an_instance_that_is_not_ours_holds_nothing() -> None:
    lone = mesh(1)
    lone.meet("b", InstanceRecord(start_ms=B.start_ms))
    assert rerouted(lone) == ["m0"]
