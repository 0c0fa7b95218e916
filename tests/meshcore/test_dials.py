"""Settings that change while an instance runs: in one place, for every part, and again in a replay."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from meshcore import image
from meshcore.asks import Kind, Op, Request
from meshcore.dials import Dials
from meshcore.dynamic import ALL, BY_NAME, LOG_LEVELS
from meshcore.events import RegistrySeen, Seen, Tuned
from meshcore.node import Node
from meshcore.reasons import Rule
from meshcore.records import ModelRecord
from meshcore.replay import replay
from meshcore.rules import Rules
from meshcore.settings import Settings
from tests.builders import NOW, params
from tests.meshcore.journals import Journals
from tests.meshcore.lone import START, Lone
from tests.meshcore.test_recorder import ME

MARK = 987_654_321
"""A number that nothing else has."""

KNOBS = {dynamic.knob for dynamic in ALL if dynamic.knob}


def test_what_is_set_holds_and_what_is_no_longer_set_is_as_it_was_given() -> None:
    """All that is set is told each time."""
    dials = Dials(Settings(max_hops=4, scale_up_rpm=100))
    assert dials.turn({"scale_up_rpm": 50})
    assert (dials.settings.scale_up_rpm, dials.settings.max_hops) == (50, 4)
    assert not dials.turn({"scale_up_rpm": 50})
    assert dials.turn({"max_hops": 1})
    assert (dials.settings.scale_up_rpm, dials.settings.max_hops) == (100, 1)
    assert dials.turn({})
    assert dials.settings == Settings(max_hops=4, scale_up_rpm=100)


@runs(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(KNOBS)), st.integers(10, 99)), max_size=5))
def test_the_last_that_was_set_is_all_that_counts(turns: list[dict[str, int]]) -> None:
    """Whatever was set before leaves nothing behind."""
    dials = Dials(Settings())
    for values in turns:
        dials.turn(values)
    assert dials.settings == Settings(**(turns[-1] if turns else {}))


def test_every_part_sees_a_setting_that_changed() -> None:
    """The desk, where flows look, and the publisher, which is asked by time."""
    lone = Lone(settings=Settings(scale_up_rpm=100))
    lone.feed(Tuned({"scale_up_rpm": 50, "publish_period_ms": 7}))
    assert (lone.node.settings.scale_up_rpm, lone.node.desk.settings.scale_up_rpm) == (50, 50)
    lone.tick(lone.node.publisher.next_wake() - lone.now)
    assert lone.node.publisher.next_wake() == lone.now + 7


def parts(node: Node) -> Iterator[tuple[str, str, Any]]:
    for place, part, _ in image._walk(node):
        for name, value in vars(part).items():
            if not isinstance(part, Random):
                yield place, name, value


def test_no_part_keeps_a_setting_that_can_change() -> None:
    """A part that kept one would go by an old number: all ask the dials, each time."""
    lone = Lone(settings=Settings(**dict.fromkeys(KNOBS, MARK)))
    kept = [
        f"{place}.{name}"
        for place, name, value in parts(lone.node)
        if place != "dials" and (isinstance(value, Settings) or value == MARK)
    ]
    assert kept == []


def test_a_change_is_explained_once() -> None:
    """The same again is no change."""
    lone = Lone()
    for values in ({"scale_up_rpm": 50}, {"scale_up_rpm": 50}, {}):
        lone.feed(Tuned(values))
    told = [(why.cause, dict(why.inputs)) for why in lone.node.log.since(0) if why.rule is Rule.SETTINGS]
    assert told == [("set for all instances", {"scale_up_rpm": 50}), ("as given to this instance", {})]


def made(settings: Settings | None = None) -> Node:
    return Node(ME, settings or Settings(), params(), Rules(), Random(1))


def test_an_image_carries_what_is_set() -> None:
    """A journal's next file begins with a state, and may begin after a change."""
    node, other = made(), made()
    node.step(Tuned({"scale_up_rpm": 50}), NOW)
    image.put(other, image.take(node).encode())
    assert other.settings == node.settings == Settings(scale_up_rpm=50)


@pytest.mark.parametrize("most", [0, 1])
def test_a_journal_replays_over_a_change_of_settings(most: int) -> None:
    """From its first file, and from one that began after the change."""
    journals = Journals(most)
    node = journals.make(ME, Settings(), params(), 1)
    node.step(Tuned({"scale_up_rpm": 50}), START)
    node.step(Tuned({"scale_up_rpm": 51}), START + 1)
    node.step(Tuned({}), START + 2)
    assert len(journals.files) == (4 if most else 1)
    for file in journals.files:
        found = replay(file)
        assert (found.difference, found.gap) == (None, None)
    assert sum(replay(file).lines for file in journals.files) == 3


def test_a_replay_by_another_setting_goes_by_that_whatever_was_set() -> None:
    """Who asks what another threshold would have done does not mean: until somebody set one."""
    journals = Journals()
    node = journals.make(ME, Settings(), params(), 1)
    node.step(Tuned({"predict_deadline_ms": 50}), START)
    node.step(RegistrySeen(1, (Seen("m", ModelRecord("t").encode(), 1),), True), START)
    node.resume(node.serve(Request("m", Op.ENSURE, Kind.LOAD)), None, START)
    assert replay(journals.files[0]).difference is None
    difference = replay(journals.files[0], changes={"predict_deadline_ms": 7}).difference
    assert difference is not None
    assert (difference.recorded["deadline_ms"], difference.now["deadline_ms"]) == (50, 7)


# -- what stands in the store ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("scaleup_rpm_threshold", "10", 10),
        ("scaleup_rpm_threshold", " 2000\n", 2000),
        ("scaleup_rpm_threshold", "2147483647", 2**31 - 1),
        ("log_each_invocation", "TRUE", True),
        ("log_each_invocation", "false", False),
        ("send_destination_id", "true", True),
        ("disable", "", True),
        ("disable", "yes", True),
        ("disable", "False", False),
        *(("logger_level", level.upper(), named) for level, named in LOG_LEVELS.items()),
    ],
)
def test_a_text_in_the_store_means_what_it_means_to_modelmesh(name: str, text: str, value: object) -> None:
    """Names and forms are ModelMesh's; blanks around and the case of letters do not matter."""
    assert BY_NAME[name].parsed(text.encode()) == value


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("scaleup_rpm_threshold", b"9", "9"),
        ("scaleup_rpm_threshold", b"-10", "-10"),
        ("scaleup_rpm_threshold", b"1e3", "1e3"),
        ("scaleup_rpm_threshold", b"2147483648", "2147483648"),
        ("scaleup_rpm_threshold", b"9" * 5000, "9" * 80),
        ("scaleup_rpm_threshold", "\u0661\u0661".encode(), "\u0661\u0661"),
        ("scaleup_rpm_threshold", b"", ""),
        ("log_each_invocation", b"1", "1"),
        ("log_each_invocation", b"\xff\n", "\\xff\\n"),
        ("logger_level", b"verbose", "verbose"),
    ],
)
def test_a_text_that_makes_no_sense_is_told_with_what_would(name: str, value: bytes, shown: str) -> None:
    """One sentence: what is set, to what, and what is allowed."""
    with pytest.raises(ValueError) as caught:
        BY_NAME[name].parsed(value)
    assert str(caught.value) == f"{name}={shown} is not allowed; allowed: {BY_NAME[name].allowed}"
