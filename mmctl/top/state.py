"""Where the person is on the screen, and where a key leads: no screen, no mesh, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mmctl.top import keys


class Place(StrEnum):
    """What a screen shows."""

    INSTANCES = "instances"
    COPIES = "copies"
    """The models on one instance."""
    MODEL = "model"
    """One model, its copies and what was decided about it."""
    PROBLEMS = "problems"


BY_USE = 2
"""The column that copies are ordered by at first."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One screen: ``subject`` is the instance or model it is about, ``at`` and ``first`` are rows from 0."""

    place: Place
    subject: str = ""
    selected: str = ""
    """The id of the row; it stays selected wherever it comes to stand."""
    at: int = 0
    first: int = 0
    """The first row that fits on the screen."""
    sort: int = 0
    """The column that the rows are ordered by."""
    reverse: bool = False
    filter: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The screens on the way here, the present one last."""

    frames: tuple[Frame, ...]
    is_typing: bool = False
    """Keys go into the filter."""

    @property
    def frame(self) -> Frame:
        """The present screen."""
        return self.frames[-1]

    def on(self, frame: Frame) -> State:
        """The same with the present screen as ``frame``."""
        return replace(self, frames=(*self.frames[:-1], frame))


@dataclass(frozen=True, slots=True)
class Shown:
    """What the present screen shows: the ids of all its rows in order, how many fit, how many columns there are."""

    ids: Sequence[str]
    page: int
    columns: int


def settled(frame: Frame, shown: Shown) -> Frame:
    """``frame`` with a row selected that is there, and on the screen: when the selected one went, that in its place."""
    ids, page = shown.ids, max(1, shown.page)
    if not ids:
        return replace(frame, selected="", at=0, first=0)
    at = ids.index(frame.selected) if frame.selected in ids else min(frame.at, len(ids) - 1)
    first = min(max(frame.first, at - page + 1), at, max(0, len(ids) - page))
    return replace(frame, selected=ids[at], at=at, first=max(0, first))


def pressed(state: State, key: str, shown: Shown) -> State | None:
    """Where ``key`` leads from ``state``, which shows ``shown``; None: out."""
    if state.is_typing:
        return _typed(state, key, shown)
    frame = settled(state.frame, shown)
    match key:
        case "q":
            return None
        case keys.ESCAPE | keys.BACKSPACE:
            return _back(state, frame)
        case keys.ENTER:
            return _down(state, frame)
        case "/":
            return replace(state.on(frame), is_typing=True)
        case "!" if frame.place is not Place.PROBLEMS:
            return State((*state.on(frame).frames, Frame(Place.PROBLEMS)))
        case "r":
            return state.on(replace(frame, reverse=not frame.reverse, first=0))
        case keys.LEFT | keys.RIGHT | "<" | ">" if shown.columns:
            sort = (frame.sort + (1 if key in (keys.RIGHT, ">") else -1)) % shown.columns
            return state.on(replace(frame, sort=sort, reverse=False))
    return state.on(_moved(frame, key, shown))


def _typed(state: State, key: str, shown: Shown) -> State:
    frame = state.frame
    if len(key) == 1:
        return state.on(replace(frame, filter=frame.filter + key, first=0))
    match key:
        case keys.BACKSPACE:
            return state.on(replace(frame, filter=frame.filter[:-1], first=0))
        case keys.ESCAPE:
            return replace(state.on(replace(frame, filter="")), is_typing=False)
        case keys.ENTER:
            return replace(state, is_typing=False)
    return state.on(_moved(settled(frame, shown), key, shown))


def _back(state: State, frame: Frame) -> State:
    """First the filter goes, then the screen; the first screen stays."""
    if frame.filter:
        return state.on(replace(frame, filter=""))
    return State(state.frames[:-1]) if len(state.frames) > 1 else state.on(frame)


def _down(state: State, frame: Frame) -> State:
    """To what the selected row is about."""
    below = {Place.INSTANCES: Place.COPIES, Place.COPIES: Place.MODEL}.get(frame.place)
    if below is None or not frame.selected:
        return state.on(frame)
    sort = BY_USE if below is Place.COPIES else 0
    return State((*state.on(frame).frames, Frame(below, frame.selected, sort=sort)))


def _moved(frame: Frame, key: str, shown: Shown) -> Frame:
    steps = {
        keys.UP: -1, "k": -1, keys.DOWN: 1, "j": 1, keys.PAGE_UP: -shown.page, keys.PAGE_DOWN: shown.page,
        keys.HOME: -len(shown.ids), "g": -len(shown.ids), keys.END: len(shown.ids), "G": len(shown.ids),
    }  # fmt: skip
    if not shown.ids or key not in steps:
        return frame
    at = min(max(frame.at + steps[key], 0), len(shown.ids) - 1)
    return settled(replace(frame, selected=shown.ids[at], at=at), shown)
