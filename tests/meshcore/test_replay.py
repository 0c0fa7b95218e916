"""Journals replay without a difference, whatever happened; what came out otherwise is found, what is damaged named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from meshcore import placement
from meshcore.asks import Answered, Register, Request
from meshcore.events import Committed, RegistrySeen, Seen
from meshcore.journal import fingerprint, gap_line
from meshcore.placement import Want
from meshcore.reasons import Reason
from meshcore.replay import BadJournal, Gap, replay
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.builders import NOW, params
from tests.meshcore.journals import CORE, Journals
from tests.meshcore.test_recorder import ME, RECORD
from tests.meshcore.test_replay_machine import busy_day


@pytest.fixture(scope="module")
def day() -> list[bytes]:
    """One node's whole journal, with many loads and evictions."""
    files = busy_day(11, 0)
    return max(files, key=len)


def test_a_journal_says_whose_it_is_and_of_when(day: list[bytes]) -> None:
    found = replay(day)
    header = json.loads(day[0])
    assert (found.instance, found.core, found.t0_ms) == (header["instance"], CORE, header["t0"])
    assert found.until_ms == max(json.loads(line).get("t", 0) for line in day)


# -- differences --------------------------------------------------------------------------------------------


def place_last(view: ClusterView, want: Want, now: int, rng: Random) -> tuple[str | None, Reason]:
    """Another rule: what can be chosen is not reached."""
    chosen, why = placement.choose(view, want, now, rng)
    return (None, replace(why, chosen="", cause="not today")) if chosen else (chosen, why)


def test_another_rule_shows_in_the_first_command_that_it_changes(day: list[bytes]) -> None:
    found = replay(day, Rules(place=place_last))
    assert found.difference is not None
    line = json.loads(day[found.difference.line - 1])
    assert (found.difference.cause, found.difference.at_ms) == (line["a"], line["t"])
    wanted = [*line["c"], line["s"]]
    assert found.difference.recorded in wanted, "a load, here or elsewhere, that is not begun now"
    assert found.difference.now is None or found.difference.now["error"]["text"] == "Nowhere available to load"
    assert replay(day[: found.difference.line - 1], Rules(place=place_last)).difference is None


def test_a_journal_is_replayed_under_the_policy_of_eviction_that_it_was_written_under(day: list[bytes]) -> None:
    """It is a setting of the instance; no other rule is."""
    header = json.loads(day[0])
    assert header["rules"]["evict_order"] == "meshcore.eviction.lru_order"
    by_cost = day[0].replace(b"lru_order", b"cost_order")
    difference = replay([by_cost, *day[1:]]).difference
    assert difference is not None
    assert "evict" in json.dumps(difference.recorded), "the first eviction has another score"
    with pytest.raises(BadJournal, match=r"the rule evict_order was meshcore\.eviction\.other_order"):
        replay([day[0].replace(b"lru_order", b"other_order"), *day[1:]])


def test_another_setting_shows_in_the_first_command_that_it_changes(day: list[bytes]) -> None:
    found = replay(day, changes={"publish_gap_ms": 60_000})
    assert found.difference is not None
    assert found.difference.recorded["@"] == "Publish"
    assert found.difference.now is None
    assert replay(day, changes={"max_hops": 4}).difference is None, "nobody went so far"


def test_another_setting_shows_in_a_file_that_begins_later_too() -> None:
    files = [file for file in busy_day(2, 25) if b"drain_copy_ms" in file[0]]
    differing = [replay(file, changes={"drain_copy_ms": 5}).difference for file in files[1:]]
    shown = [difference for difference in differing if difference is not None]
    assert shown
    assert {difference.recorded["deadline_ms"] for difference in shown} == {Settings().drain_copy_ms}
    assert {difference.now["deadline_ms"] for difference in shown} == {5}


def test_a_setting_that_there_is_not_is_a_mistake_of_the_caller(day: list[bytes]) -> None:
    with pytest.raises(TypeError):
        replay(day, changes={"patience": 3})


def changed(day: list[bytes], number: int, change: Callable[[Any], object]) -> list[bytes]:
    """The journal with another line ``number`` (from 1)."""
    plain = json.loads(day[number - 1])
    change(plain)
    return [*day[: number - 1], json.dumps(plain).encode() + b"\n", *day[number:]]


def numbered(day: list[bytes], mark: bytes) -> int:
    return next(number for number, line in enumerate(day, 1) if mark in line)


def test_one_more_and_one_less_command_are_differences(day: list[bytes]) -> None:
    number = numbered(day, b'"Publish"')
    recorded = json.loads(day[number - 1])["c"]
    less = replay(changed(day, number, lambda plain: plain["c"].pop())).difference
    assert less is not None
    assert (less.line, less.recorded, less.now) == (number, None, recorded[-1])
    more = replay(changed(day, number, lambda plain: plain["c"].append({"@": "Stop"}))).difference
    assert more is not None
    assert (more.line, more.recorded, more.now) == (number, {"@": "Stop"}, None)


def test_another_step_is_a_difference(day: list[bytes]) -> None:
    number = numbered(day, b'"s":{"@":"Put"')
    found = replay(changed(day, number, lambda plain: plain["s"].update(model="x"))).difference
    assert found is not None
    assert (found.line, found.recorded["model"]) == (number, "x")
    assert found.now["@"] == "Put"


# -- what is not as it should be ------------------------------------------------------------------------------


def recorded_defects(most: int) -> list[list[bytes]]:
    journals = Journals(most)
    node = journals.make(ME, Settings(), params(), 1)
    node.step(RegistrySeen(5, (Seen("m", RECORD, 5),), True), NOW)
    flow = node.serve(Register("m", "t", expected=5))
    node.resume(flow, None, NOW)
    for ask in (lambda: node.step(Committed(77, 1), NOW), lambda: node.resume(flow, Answered(None), NOW)):
        with pytest.raises((KeyError, AssertionError)):
            ask()
    node.resume(node.serve(Request("m")), None, NOW + 1)
    return journals.files


def test_a_defect_of_the_core_comes_again() -> None:
    (file,) = recorded_defects(0)
    assert sum(b'"x":' in line for line in file) == 2
    assert replay(file).difference is None


def test_a_defect_that_is_mended_or_new_is_a_difference() -> None:
    (file,) = recorded_defects(0)
    number = numbered(file, b'"x":"KeyError(77)"')
    other = replay(changed(file, number, lambda plain: plain.update(x="KeyError(78)"))).difference
    assert other is not None
    assert (other.recorded, other.now) == ("the core failed: KeyError(78)", "the core failed: KeyError(77)")
    new = replay(changed(file, number, lambda plain: plain.update(c=plain.pop("x") and []))).difference
    assert new is not None
    assert (new.recorded, new.now) == (None, "the core failed: KeyError(77)")
    seen = numbered(file, b"RegistrySeen")
    mended = replay(changed(file, seen, lambda plain: plain.update(x="ValueError()"))).difference
    assert mended is not None
    assert (mended.recorded, mended.now) == ("the core failed: ValueError()", None)


def test_a_journal_that_was_cut_off_is_replayed_as_far_as_it_goes(day: list[bytes]) -> None:
    whole = replay(day)
    found = replay([*day[:-1], day[-1][: len(day[-1]) // 2]])
    assert (found.is_cut, found.difference) == (True, None)
    assert whole.lines - 1 <= found.lines <= whole.lines
    assert not replay([*day[:-1], day[-1].rstrip()]).is_cut, "only the end of the line is missing"


def test_nothing_is_replayed_beyond_a_gap(day: list[bytes]) -> None:
    gap = gap_line("the disk is full", 5, None).encode()
    found = replay([*day, gap])
    assert (found.gap, found.difference) == (Gap("the disk is full", 5, None), None)
    assert found.lines == replay(day).lines
    with pytest.raises(BadJournal, match="line 5: this comes after a gap"):
        replay([*day[:3], gap_line("slow", 5, 9).encode(), *day[3:]])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda plain: plain.update(v=2), "of version 2, and this program reads version 1"),
        (lambda plain: plain.pop("v"), "this is no journal"),
        (lambda plain: plain.update(seed="x"), "lacks core, rules, seed or t0"),
        (lambda plain: plain.pop("t0"), "lacks core, rules, seed or t0"),
        (lambda plain: plain.pop("me"), "does not say whose it is"),
        (lambda plain: plain.update(settings=3), "lacks settings"),
        (lambda plain: plain.pop("params"), "lacks params"),
        (lambda plain: plain["settings"].update(patience_ms=3), "Settings has no patience_ms"),
        (lambda plain: plain["settings"].update(max_hops="x"), "Settings cannot have 'x' as max_hops"),
        (lambda plain: plain["rules"].update(place="my.rule"), "the rule place was my.rule, and here it is meshcore."),
    ],
)
def test_a_first_line_that_is_not_as_it_should_be_is_named(
    day: list[bytes], change: Callable[[Any], object], text: str
) -> None:
    with pytest.raises(BadJournal, match=f"^line 1: .*{text}"):
        replay(changed(day, 1, change))


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "line 1: nothing is written there"),
        ([b"[]\n"], "line 1: this is no journal"),
        ([b'{"v":'], "line 1: nothing is written there"),
        ([b"\x89PNG\n", b"more\n"], "line 1: this is no JSON"),
    ],
)
def test_what_is_no_journal_is_named(lines: list[bytes], text: str) -> None:
    with pytest.raises(BadJournal, match=text):
        replay(lines)


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b'{"state":{}}\n'])
def test_a_state_that_is_none_is_named(day: list[bytes], line: bytes) -> None:
    with pytest.raises(BadJournal, match=r"line 2: .*state"):
        replay([day[0], line, *day[2:]])
    with pytest.raises(BadJournal, match="line 1: the state that the journal begins with is missing"):
        replay(day[:1])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"nonsense\n", "this is no JSON: the file is damaged"),
        (b"[" * 100_000 + b"\n", "this is no JSON: the file is damaged"),
        (b"[]\n", "this is no line of a journal"),
        (b'{"t":5}\n', "'f'"),
        (b'{"t":"x"}\n', "'x' is no instant"),
        (b'{"t":5,"e":{"@":"Loaded"},"c":[]}\n', "a Loaded without model"),
        (b'{"t":5,"f":77,"o":null,"s":null,"c":[]}\n', "flow 77 goes on, and there is no line that begins it"),
        (b'{"t":5,"f":77,"a":{"@":"Ticked"},"s":null,"c":[]}\n', "nobody can ask for"),
        (b'{"t":5,"f":77,"h":[["place"]],"c":[]}\n', "what a flow did is not written as it should be"),
        (b'{"t":5,"f":77,"h":[["_node",[],{}]],"c":[]}\n', "no flow can do '_node'"),
        (b'{"t":5,"f":77,"h":[["fly",[],{}]],"c":[]}\n', "no flow can do 'fly'"),
    ],
)
def test_a_damaged_line_is_named(day: list[bytes], line: bytes, text: str) -> None:
    with pytest.raises(BadJournal, match=f"^line 3: .*{text}"):
        replay([*day[:2], line, *day[2:]])


def test_a_copy_that_is_not_here_now_is_a_difference(day: list[bytes]) -> None:
    line = b'{"t":5,"f":7,"h":[["await_load",[{"copy":["m",3]}],{"is_inference":true}]],"c":[]}\n'
    found = replay([*day[:2], line]).difference
    assert found is not None
    assert "a flow used copy 3 of m, which is not here" in found.now


def test_a_flow_that_was_left_before_is_no_mistake(day: list[bytes]) -> None:
    assert replay([*day[:2], b'{"l":99}\n', *day[2:]]).difference is None


def test_versions_of_the_rules_are_told_apart_by_their_text() -> None:
    assert fingerprint("1.0", [b"a", b"b"]) == fingerprint("1.0", [b"a", b"b"])
    told = {fingerprint("1.0", [b"a", b"b"]), fingerprint("1.0", [b"ab"]), fingerprint("1.1", [b"a", b"b"])}
    assert len(told) == 3
