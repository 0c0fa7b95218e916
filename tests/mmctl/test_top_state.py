"""Where keys lead in ``top``: bytes to keys, keys to screens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctl.top import keys
from mmctl.top.keys import BACKSPACE, DOWN, END, ENTER, ESCAPE, HOME, LEFT, PAGE_DOWN, PAGE_UP, RIGHT, UP, Keys
from mmctl.top.state import Frame, Place, Shown, State, pressed, settled

IDS = ["a", "b", "c", "d", "e"]
SHOWN = Shown(IDS, 3, 4)
START = State((Frame(Place.INSTANCES, selected="a"),))


def after(*pressed_keys: str, state: State = START, shown: Shown = SHOWN) -> State:
    for key in pressed_keys:
        found = pressed(state, key, shown)
        assert found is not None, f"{key} ended it"
        state = found
    return state


# -- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"q", ["q"]),
        (b"\r", [ENTER]),
        (b"\n", [ENTER]),
        (b"\x7f\b", [BACKSPACE, BACKSPACE]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", [UP, DOWN, RIGHT, LEFT]),
        (b"\x1bOA\x1bOB", [UP, DOWN]),  # as some terminals send them
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", [PAGE_UP, PAGE_DOWN, HOME, END, HOME, END]),
        (b"\x1b[1;5A", [UP]),  # with Ctrl
        (b"\x1b[15~x", ["x"]),  # F5 is nobody's
        (b"\x1bx", []),  # Alt-x
        (b"\x1b\x1b[A", [ESCAPE, UP]),
        (b"\x01\x00", []),
        ("ü名".encode(), ["ü", "名"]),
        (b"\xff\xfeq", ["q"]),
        (b"\x1b[" + b"1" * 40, []),
        (b"\x1b[" + b"1" * 40 + b"q", []),
    ],
)
def test_bytes_are_keys(data: bytes, expected: list[str]) -> None:
    found = Keys()
    assert found.feed(data) + found.settle() == expected


@pytest.mark.parametrize("data", [b"\x1b[A", "名".encode(), b"\x1b[5~"])
def test_a_key_may_come_in_pieces(data: bytes) -> None:
    whole, pieces = Keys(), Keys()
    assert [key for at in range(len(data)) for key in pieces.feed(data[at : at + 1])] == whole.feed(data)


def test_an_escape_that_nothing_follows_is_the_key_of_that_name() -> None:
    found = Keys()
    assert (found.feed(b"\x1b"), found.is_open) == ([], True)
    assert (found.settle(), found.is_open) == ([ESCAPE], False)


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_whatever_comes_is_keys_and_never_piles_up(pieces: list[bytes]) -> None:
    found = Keys()
    named = {ENTER, ESCAPE, BACKSPACE, UP, DOWN, LEFT, RIGHT, PAGE_UP, PAGE_DOWN, HOME, END}
    for piece in pieces:
        for key in found.feed(piece):
            assert key in named or (len(key) == 1 and key.isprintable())
    assert len(found._left) <= keys._LONGEST


# -- screens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "selected"),
    [
        ([DOWN], "b"), (["j", "j"], "c"), ([UP], "a"), (["j", "k"], "a"), ([PAGE_DOWN], "d"), ([PAGE_DOWN] * 3, "e"),
        ([END], "e"), (["G"], "e"), ([END, HOME], "a"), (["G", "g"], "a"), ([END, PAGE_UP], "b"), (["x"], "a"),
    ],
)  # fmt: skip
def test_keys_move_the_selection(typed: list[str], selected: str) -> None:
    assert after(*typed).frame.selected == selected


def test_enter_looks_into_what_is_selected_and_escape_comes_back_to_it() -> None:
    instance = after(DOWN, ENTER)
    assert (instance.frame.place, instance.frame.subject) == (Place.COPIES, "b")
    model = after(ENTER, state=instance, shown=Shown(["m"], 3, 4))
    assert (model.frame.place, model.frame.subject) == (Place.MODEL, "m")
    assert len(after(ENTER, state=model).frames) == 3, "there is nothing further in"
    assert after(ESCAPE, ESCAPE, state=model).frame == Frame(Place.INSTANCES, selected="b", at=1)
    assert after(ESCAPE, ESCAPE, ESCAPE, state=model).frame.place is Place.INSTANCES


def test_problems_are_a_screen_of_their_own() -> None:
    there = after("!")
    assert there.frame.place is Place.PROBLEMS
    assert len(after("!", state=there).frames) == 2
    assert after(BACKSPACE, state=there) == START


def test_q_ends_it_but_not_while_a_filter_is_typed() -> None:
    assert pressed(START, "q", SHOWN) is None
    assert after("/", "q", "/", "ü").frame.filter == "q/ü"


def test_a_filter_is_typed_kept_and_dropped() -> None:
    typing = after("/", "a", "b", BACKSPACE, "c")
    assert (typing.is_typing, typing.frame.filter) == (True, "ac")
    kept = after(ENTER, state=typing)
    assert (kept.is_typing, kept.frame.filter) == (False, "ac")
    assert after(ESCAPE, state=kept).frame.filter == ""
    assert after(ESCAPE, state=typing).frame.filter == ""
    assert after("/", DOWN).frame.selected == "b", "the selection moves meanwhile"


def test_columns_are_chosen_round_and_round() -> None:
    assert after(RIGHT).frame.sort == after(">").frame.sort == 1
    assert after("<").frame.sort == 3
    assert after(LEFT).frame.sort == 3
    assert after(*[RIGHT] * 4).frame.sort == 0
    assert after("r").frame.reverse
    assert not after("r", RIGHT).frame.reverse, "another column begins its own way"
    assert after(RIGHT, shown=Shown(IDS, 3, 0)).frame.sort == 0


def test_a_row_that_vanishes_leaves_the_selection_where_it_was() -> None:
    frame = Frame(Place.INSTANCES, selected="c", at=2)
    assert settled(frame, Shown(["a", "b", "d", "e"], 3, 4)).selected == "d"
    assert settled(frame, Shown(["a", "b"], 3, 4)).selected == "b"
    assert settled(frame, Shown([], 3, 4)).selected == ""
    assert settled(frame, Shown(["c", "a"], 3, 4)).at == 0, "it stays selected wherever it stands"


@given(
    st.lists(st.sampled_from([UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END, "j", "k", "/", "r", ENTER, ESCAPE, LEFT, "!"])),
    st.lists(st.integers(0, 30), min_size=1),
    st.integers(0, 9),
)
def test_what_is_selected_is_always_on_the_screen(typed: list[str], sizes: list[int], page: int) -> None:
    state = START
    for number, key in enumerate(typed):
        shown = Shown([str(each) for each in range(sizes[number % len(sizes)])], page, 3)
        state = pressed(state, key, shown) or START
        frame = settled(state.frame, shown)
        if shown.ids:
            assert shown.ids[frame.at] == frame.selected
            assert frame.first <= frame.at < frame.first + max(1, page)
            assert 0 <= frame.first < len(shown.ids)
