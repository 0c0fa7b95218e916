"""The lines of a screen: what is known, as a terminal of some size shows it. Pure: no terminal, no clock."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from mmctl.health_views import STYLES, load_text, memory_text, models_text
from mmctl.problems import Level
from mmctl.sizes import human_age, human_size, printable
from mmctl.top.feed import Data
from mmctl.top.state import Place, Shown, State, settled
from mmctl.top.tables import COPIES, INSTANCES, Column, Table

HEAD, FOOT = 5, 1
"""Lines above the rows and below."""
STALE_PERIODS = 3


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen as it was drawn: ``state`` with a row selected that is there."""

    state: State
    shown: Shown
    lines: Sequence[Text]


def table_of(place: Place) -> Table[Any] | None:
    """The table that a screen is; None: it is text."""
    tables: dict[Place, Table[Any]] = {Place.INSTANCES: INSTANCES, Place.COPIES: COPIES}
    return tables.get(place)


def drawn(state: State, data: Data, width: int, height: int, now_ms: int, age_s: float, period_s: float) -> Screen:
    """The screen of ``width`` x ``height`` cells; the data is ``age_s`` old, and should be renewed each
    ``period_s``."""
    page = max(1, height - HEAD - FOOT)
    table = table_of(state.frame.place)
    things: Sequence[Any]
    if table is not None:
        things = table.rows(_things(state, data), state.frame)
        ids = [table.name(thing) for thing in things]
        columns = _fitting(table, width)
    else:
        things = [line for line in _text(state, data, width, now_ms) if state.frame.filter.lower() in line[0].lower()]
        ids = [str(at) for at in range(len(things))]
        columns = []
    shown = Shown(ids, page, len(columns))
    frame = settled(state.frame, shown)
    state = state.on(frame)
    lines = _head(state, data, width, age_s, period_s)
    lines.append(_titles(table, columns, state, width) if table is not None else Text(""))
    for at, thing in enumerate(things[frame.first : frame.first + page], frame.first):
        if table is not None:
            line = Text(_row([column.text(thing, now_ms) for column, _ in columns], columns), table.style(thing))
        else:
            line = Text(*thing)
        lines.append(_fitted(line, width, "reverse" if at == frame.at else ""))
    if not things:
        lines.append(Text(_nothing(state, data), "dim"))
    lines = [_fitted(line, width, "") for line in lines[: height - FOOT]]
    lines += [Text("")] * (height - FOOT - len(lines))
    return Screen(state, shown, [*lines, _foot(state, width)])


def _things(state: State, data: Data) -> Sequence[Any]:
    if state.frame.place is Place.INSTANCES:
        return data.health.instances
    return data.held.copies if data.held is not None and data.is_about(state.frame) else ()


# -- above and below ---------------------------------------------------------------------------------


def _head(state: State, data: Data, width: int, age_s: float, period_s: float) -> list[Text]:
    health = data.health
    way = [health.info.service, *(frame.subject or frame.place.value for frame in state.frames[1:])]
    right = Text("")
    if data.error or age_s > STALE_PERIODS * period_s:
        right = Text(f"{age_s:.0f} s old", "bold red")
    else:
        right = Text(f"leader {printable(health.info.leader) or 'nobody'}", "" if health.info.leader else "bold red")
    title = Text(" > ".join(printable(part) for part in way), "bold")
    room = max(0, width - right.cell_len - 1)
    first = _fitted(title, room, "")
    lines = [Text.assemble(first, " " * (room + 1 - first.cell_len), right)]
    lines.append(_fitted(Text(f"models  {models_text(health)}"), width, ""))
    lines.append(_fitted(Text(f"memory  {memory_text(health)}; {load_text(health)}"), width, ""))
    lines.append(_fitted(_status(state, data), width, ""))
    return lines


def _status(state: State, data: Data) -> Text:
    """The one line about what is wrong, or about the instance that is looked at."""
    frame, health = state.frame, data.health
    if data.error:
        return Text(printable(f"no answer: {data.error}"), "red")
    if data.is_about(frame) and data.note:
        return Text(printable(data.note), "red")
    if frame.place is Place.COPIES:
        instance = next((each for each in health.instances if each.id == frame.subject), None)
        if instance is None:
            return Text(f"{printable(frame.subject)} is gone: this is what it held", "red")
        used = f"{human_size(instance.used_bytes)} of {human_size(instance.capacity_bytes)}"
        text = f"{printable(instance.phase)}  {used}, {instance.requests_per_minute:,} requests a minute"
        if data.held is not None and data.is_about(frame) and data.held.total > len(data.held.copies):
            text += f"; the most used {len(data.held.copies):,} of {data.held.total:,}"
        return Text(text)
    told = [problem for problem in health.problems if problem.level is not Level.NOTE] or list(health.problems)
    if not told:
        return Text("nothing is wrong", "green")
    others = len(health.problems) - 1
    more = f"  (! shows {others:,} more)" if others else ""
    return Text(printable(told[0].text) + more, STYLES[told[0].level])


def _foot(state: State, width: int) -> Text:
    frame = state.frame
    if state.is_typing:
        return _fitted(Text(f"/{printable(frame.filter)}_   Enter keeps it, Esc drops it"), width, "")
    parts = ["q quit", "/ filter"]
    if frame.filter:
        parts = ["q quit", f"/ {printable(frame.filter)}", "Esc all"]
    elif len(state.frames) > 1:
        parts.append("Esc back")
    if table_of(frame.place) is not None:
        parts += ["Enter look into", "< > sort", "r reverse"]
    if frame.place is not Place.PROBLEMS:
        parts.append("! problems")
    return _fitted(Text("   ".join(parts), "dim"), width, "")


def _nothing(state: State, data: Data) -> str:
    if state.frame.filter:
        return "nothing passes the filter"
    if state.frame.place in (Place.COPIES, Place.MODEL):
        if not data.is_about(state.frame):
            return "asking"
        return "nothing" if data.held or data.model else "not known"
    return "nothing is wrong" if state.frame.place is Place.PROBLEMS else "nothing"


# -- rows --------------------------------------------------------------------------------------------


def _fitting(table: Table[Any], width: int) -> list[tuple[Column[Any], int]]:
    """The columns that there is room for and their widths; the first has the rest."""
    left = width - sum(column.width + 1 for column in table.columns if not column.spare) + 1
    chosen = []
    for column in table.columns:
        if column.spare and left < column.width + 1:
            break
        left -= column.width + 1 if column.spare else 0
        chosen.append((column, column.width))
    first, least = chosen[0]
    return [(first, max(least, least + left)), *chosen[1:]]


def _titles(table: Table[Any], columns: Sequence[tuple[Column[Any], int]], state: State, width: int) -> Text:
    frame = state.frame
    sorted_by = table.columns[frame.sort]
    line = Text("", "bold")
    for at, (column, cells) in enumerate(columns):
        title = _cell(column.title, column, cells) + (" " if at < len(columns) - 1 else "")
        line.append(title, "reverse" if column is sorted_by else "")
    return _fitted(line, width, "")


def _row(texts: Sequence[str], columns: Sequence[tuple[Column[Any], int]]) -> str:
    return " ".join(_cell(text, column, cells) for text, (column, cells) in zip(texts, columns, strict=True))


def _cell(text: str, column: Column[Any], cells: int) -> str:
    text = printable(text)
    if cell_len(text) > cells:
        return set_cell_size(text, max(0, cells - 1)) + "…"
    padding = " " * (cells - cell_len(text))
    return padding + text if column.right else text + padding


def _fitted(line: Text, width: int, style: str) -> Text:
    """One line of at most ``width`` cells; with a ``style`` it reaches over all of them."""
    line = line.copy()
    line.truncate(width, overflow="ellipsis", pad=bool(style))
    if style:
        line.stylize(style)
    line.no_wrap = True
    return line


# -- text --------------------------------------------------------------------------------------------


def _text(state: State, data: Data, width: int, now_ms: int) -> list[tuple[str, str]]:
    """The lines of a screen without a table, and their styles."""
    if state.frame.place is Place.PROBLEMS:
        pairs = [(each.text, STYLES[each.level], f"  {each.do}") for each in data.health.problems]
        lines = [line for text, style, do in pairs for line in ((text, style), (do, ""))]
    else:
        lines = _model_lines(data, now_ms) if data.is_about(state.frame) else []
    return [(part, style) for text, style in lines for part in _wrapped(printable(text), width)]


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, max(20, width), subsequent_indent=indent + "  ") or [""]


def _model_lines(data: Data, now_ms: int) -> list[tuple[str, str]]:
    model = data.model
    if model is None:
        return []
    size = f", {human_size(model.size_bytes)}" if model.size_bytes else ""
    used = human_age(model.last_used_ms, now_ms)
    lines = [(f"{model.status.value.replace('_', ' ')}  {model.type}{size}, used {used}, {model.path}", "")]
    lines += [(text, "yellow") for text in model.unsatisfied]
    for copy in model.copies:
        lines.append((f"copy on {copy.instance}: {copy.state.value} since {human_age(copy.load_ts_ms, now_ms)}", ""))
    for failure in model.failures:
        ago = human_age(failure.at_ms, now_ms)
        lines.append((f"failed on {failure.instance} {ago} ago: {failure.text}", "red"))
    lines.append(("", ""))
    lines.append(("last decisions" if data.decisions else "no decisions about it are kept any more", "bold"))
    for reason in data.decisions:
        chosen = f" -> {reason.chosen}" if reason.chosen else ""
        ago = human_age(reason.at_ms, now_ms)
        lines.append((f"{ago:>4} {reason.instance} {reason.rule}{chosen}: {reason.cause}", ""))
    return lines
