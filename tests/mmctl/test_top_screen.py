"""What the screens of ``top`` look like, on a terminal of any size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from meshcore.census import Counted
from mmctl.errors import Usage
from mmctl.health import Health
from mmctl.problems import Level, Problem
from mmctl.top.feed import Data
from mmctl.top.screen import Screen, drawn
from mmctl.top.state import BY_USE, Frame, Place, State
from mmctl.top.tables import COPIES, INSTANCES
from mmctl.values import Copy, Failure, Held, HeldCopy, Info, Instance, InstanceNow, Model, Status
from protos import meshd_pb2 as pb

NOW_MS = 1_800_000_000_000
ODD = "名前 [bold]\n\x1b[31m" + "x" * 200


def instance(name: str, rpm: int = 0, **fields: Any) -> Instance:
    usual = {"phase": "ready", "capacity_bytes": 512 << 20, "used_bytes": 100 << 20, "load_threads": 2, "zone": "z1"}
    return Instance(name, start_ms=NOW_MS - 60_000, now=InstanceNow(5, rpm), **(usual | fields))


INSTANCE_LIST = (
    instance("mesh-0", 1_200, lru_ms=NOW_MS - 5_000),
    instance("mesh-1", 30, loads_in_progress=2, models=7, lru_ms=NOW_MS - 9_000),
    instance("mesh-2", 500, phase="draining", version="0.2.0", used_bytes=1, is_silent=True),
)
PROBLEMS = (
    Problem("silent_instance", Level.ERROR, "1 instance does not answer mesh-0: mesh-2", "look whether it runs"),
    Problem("failed_model", Level.WARNING, f"{'m' * 90} failed to load", "mend it"),
)
HEALTH = Health(
    Info("fraud", "etcd", leader="mesh-0"), INSTANCE_LIST, Counted(registered=9, loaded=3, failed=1, copies=4),
    PROBLEMS, NOW_MS,
)  # fmt: skip
HELD = Held((HeldCopy("m1", "active", NOW_MS, 1 << 20, NOW_MS, 1, 2, 90), HeldCopy(ODD, "failed")), 700)
MODEL = Model(
    "m1", "onnx", Status.LOADED, path="p", copies=(Copy("mesh-0", NOW_MS - 5_000, Status.LOADED),),
    failures=(Failure("mesh-1", NOW_MS - 60_000, ODD),), unsatisfied=("2 copies at least",),
)  # fmt: skip
REASON = pb.Reason(at_ms=NOW_MS - 7_000, instance="mesh-0", rule="place", chosen="mesh-0", cause="drawn")
COPIES_FRAME, MODEL_FRAME = Frame(Place.COPIES, "mesh-1"), Frame(Place.MODEL, "m1")
OVERVIEW = Data(HEALTH, 100.0)
OF_INSTANCE = replace(OVERVIEW, about=(Place.COPIES, "mesh-1"), held=HELD)
OF_MODEL = replace(OVERVIEW, about=(Place.MODEL, "m1"), model=MODEL, decisions=(REASON,))


def state(*frames: Frame) -> State:
    return State((Frame(Place.INSTANCES), *frames))


def screen(at: State, data: Data, width: int = 80, height: int = 24, age_s: float = 0.0) -> Screen:
    return drawn(at, data, width, height, NOW_MS, age_s, 2.0)


def lines(*args: Any, **fields: Any) -> list[str]:
    return [line.plain.rstrip() for line in screen(*args, **fields).lines]


def test_the_overview_fits_80_columns() -> None:
    found = lines(state(), OVERVIEW)
    assert found[:9] == [
        "fraud                                                              leader mesh-0",
        "models  9 registered, 3 loaded, 1 failed; 4 copies",
        "memory  200 MiB of 1.5 GiB (13%); 1,730 requests a minute, 2 loads in progress",
        "1 instance does not answer mesh-0: mesh-2  (! shows 1 more)",
        "ID             PHASE    MODELS LOADING      RPM     USED CAPACITY    %  LRU  AGE",
        "mesh-0         ready         0     0/2    1,200  100 MiB  512 MiB  20%   5s  60s",
        "mesh-1         ready         7     2/2       30  100 MiB  512 MiB  20%   9s  60s",
        "mesh-2         silent        0     0/2      500      1 B  512 MiB   0%    -  60s",
        "",
    ]
    assert found[-1] == "q quit   / filter   Enter look into   < > sort   r reverse   ! problems"


def test_more_room_shows_more_columns() -> None:
    titles = lines(state(), OVERVIEW, width=140)[4]
    assert titles.split()[-4:] == ["ZONE", "VERSION", "PLANE", "LABELS"]


@pytest.mark.parametrize(
    ("column", "reverse", "order"),
    [
        ("id", False, "012"), ("id", True, "210"), ("rpm", False, "021"), ("RPM", True, "120"),
        ("loading", False, "102"),
        ("lru", False, "102"), ("used", False, "012"), ("version", False, "012"), ("phase", False, "012"),
    ],
)  # fmt: skip
def test_rows_are_ordered_by_a_column_the_largest_first(column: str, reverse: bool, order: str) -> None:
    frame = Frame(Place.INSTANCES, sort=INSTANCES.named(column), reverse=reverse)
    assert screen(State((frame,)), OVERVIEW).shown.ids == [f"mesh-{number}" for number in order]


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(Usage, match="did you mean 'zone'"):
        INSTANCES.named("zones")


def test_a_filter_looks_at_names_phases_zones_and_versions() -> None:
    for text, wanted in (("MESH-1", ["mesh-1"]), ("silent", ["mesh-2"]), ("0.2", ["mesh-2"]), ("z1", 3), ("no", [])):
        ids = screen(State((Frame(Place.INSTANCES, filter=text),)), OVERVIEW).shown.ids
        assert (len(ids) if isinstance(wanted, int) else ids) == wanted
    assert "nothing passes the filter" in lines(State((Frame(Place.INSTANCES, filter="no"),)), OVERVIEW)


def test_an_instance_shows_what_it_holds() -> None:
    found = lines(state(COPIES_FRAME), OF_INSTANCE)
    assert found[0].startswith("fraud > mesh-1")
    assert found[3] == "ready  100 MiB of 512 MiB, 30 requests a minute; the most used 2 of 700"
    assert found[5] == "m1                           active         90      1      2    1 MiB  now   now"
    assert found[6].startswith("名前 [bold]\\n\\x1b")
    assert screen(state(COPIES_FRAME), OF_INSTANCE).shown.ids == ["m1", ODD]
    assert COPIES.named("rpm") == BY_USE


def test_a_model_shows_its_copies_failures_and_last_decisions() -> None:
    found = lines(state(COPIES_FRAME, MODEL_FRAME), OF_MODEL)
    assert found[0].startswith("fraud > mesh-1 > m1")
    assert "copy on mesh-0: loaded since 5s" in found
    assert "2 copies at least" in found
    assert any(line.startswith("failed on mesh-1 60s ago: 名前 [bold]\\n") for line in found)
    assert "  7s mesh-0 place -> mesh-0: drawn" in found


def test_problems_are_shown_with_what_to_do() -> None:
    found = lines(state(Frame(Place.PROBLEMS)), OVERVIEW)
    assert found[5:7] == ["1 instance does not answer mesh-0: mesh-2", "  look whether it runs"]
    assert found[7].startswith("mmm")


def test_what_is_old_says_how_old_it_is_and_why() -> None:
    assert lines(state(), OVERVIEW, age_s=6.0)[0].endswith("leader mesh-0")
    assert lines(state(), OVERVIEW, age_s=7.0)[0].endswith("7 s old")
    broken = lines(state(), replace(OVERVIEW, error="mesh-0: no connection"), age_s=3.0)
    assert broken[0].endswith("3 s old")
    assert broken[3] == "no answer: mesh-0: no connection"


def test_an_instance_that_vanishes_is_still_shown_and_said_to_be_gone() -> None:
    gone = replace(OF_INSTANCE, health=replace(HEALTH, instances=INSTANCE_LIST[:1]))
    assert "mesh-1 is gone: this is what it held" in lines(state(COPIES_FRAME), gone)
    noted = replace(gone, note="mesh-1 is not there any more")
    assert "mesh-1 is not there any more" in lines(state(COPIES_FRAME), noted)


def test_what_is_not_known_yet_says_so() -> None:
    assert "asking" in lines(state(COPIES_FRAME), OVERVIEW)
    assert "asking" in lines(state(COPIES_FRAME, MODEL_FRAME), OF_INSTANCE), "of another screen nothing is shown"


def test_what_is_typed_is_shown() -> None:
    assert lines(State((Frame(Place.INSTANCES, filter="me"),), is_typing=True), OVERVIEW)[-1].startswith("/me_")
    assert "/ me" in lines(State((Frame(Place.INSTANCES, filter="me"),)), OVERVIEW)[-1]


FRAMES = [(), (COPIES_FRAME,), (COPIES_FRAME, MODEL_FRAME), (Frame(Place.PROBLEMS),)]


@given(
    st.sampled_from(FRAMES), st.sampled_from([OVERVIEW, OF_INSTANCE, OF_MODEL]), st.integers(1, 200),
    st.integers(2, 60), st.booleans(), st.text(max_size=5),
)  # fmt: skip
def test_every_screen_has_exactly_the_lines_and_no_more_than_the_columns_there_are(
    frames: tuple[Frame, ...], data: Data, width: int, height: int, is_typing: bool, wanted: str
) -> None:
    at = state(*frames)
    at = replace(at.on(replace(at.frame, filter=wanted)), is_typing=is_typing)
    data = replace(data, note=ODD if is_typing else "", error=wanted)
    found: list[Text] = list(screen(at, data, width, height).lines)
    assert len(found) == height
    assert all(line.cell_len <= width and line.plain.isprintable() for line in found)
