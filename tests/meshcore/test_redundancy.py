"""Which copies their models could do without, and that those make room first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.commands import Withdraw
from meshcore.records import ModelRecord
from tests.builders import NOW, instance
from tests.meshcore.copy_words import ask
from tests.meshcore.lone import Lone


def extra(lone: Lone, name: str = "m", others: tuple[str, ...] = ("b",), **fields: object) -> ModelRecord:
    """The copy here as one of several that are ready."""
    record = lone.record(name)
    shared = dict.fromkeys(others, NOW - 60_000)
    record = replace(record, copies={**record.copies, **shared}, ready={**record.ready, **shared}, **fields)  # type: ignore[arg-type]
    lone.know(name, record)
    return record


def is_redundant(lone: Lone, name: str = "m") -> bool:
    return lone.node.cache.entries[name].is_redundant


def here(**limits: int) -> Lone:
    lone = Lone(peers={"b": instance(address="b:8080"), "c": instance(address="c:8080")}, **limits)
    lone.load("m")
    assert not is_redundant(lone)
    return lone


def test_copy_is_redundant_while_another_answers() -> None:
    """Whatever changes that: the record, the other instance, or its going."""
    lone = here()
    alone = lone.record("m")
    extra(lone)
    assert is_redundant(lone)
    lone.know("m", alone)
    assert not is_redundant(lone)
    extra(lone)
    lone.lose("b")
    assert not is_redundant(lone)


def test_copy_on_an_instance_that_goes_does_not_make_another_redundant() -> None:
    lone = here()
    extra(lone)
    lone.meet("b", instance(address="b:8080", is_shutting_down=True))
    assert not is_redundant(lone)


def test_copy_that_loads_elsewhere_does_not_make_another_redundant() -> None:
    lone = here()
    record = lone.record("m")
    lone.know("m", replace(record, copies={**record.copies, "b": NOW}))
    assert not is_redundant(lone)


@pytest.mark.parametrize(("min_copies", "expected"), [(0, True), (1, True), (2, True), (3, False), (4, False)])
def test_copies_up_to_the_least_that_there_must_be_are_not_redundant(min_copies: int, expected: bool) -> None:
    lone = here()
    extra(lone, others=("b", "c"), min_copies=min_copies)
    assert is_redundant(lone) is expected


def test_redundant_copy_makes_room_before_an_older_single_one() -> None:
    """It counts as four times as old."""
    lone = Lone(peers={"b": instance(address="b:8080", used_units=1000)})
    lone.load("single", 40, last_used=NOW - 300_000)
    lone.load("m", 40, last_used=NOW - 100_000)
    extra(lone)
    lone.commands.clear()
    ask(lone, "new", 40)
    assert [command.model for command in lone.all(Withdraw)] == ["m"]


def test_copy_here_that_only_loads_is_not_redundant() -> None:
    lone = Lone(peers={"b": instance(address="b:8080")})
    lone.begin_load("m")
    record = lone.record("m")
    lone.know("m", replace(record, copies={**record.copies, "b": NOW}, ready={"b": NOW}))
    assert not is_redundant(lone)


def test_model_without_a_record_is_not_redundant() -> None:
    """An unregistered one goes anyhow."""
    lone = here()
    extra(lone)
    lone.know("m", None)
    assert "m" not in lone.node.cache.entries
