"""Data on stdout in five forms, words on stderr; colour only where a person looks."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, TextIO, TypeVar

import yaml
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mmctl.sizes import printable

T = TypeVar("T")

GAP = "  "
_NARROWEST = 12


class Form(StrEnum):
    """What ``-o`` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Cell:
    """One place in a table; ``style`` is rich's."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table: ``wide`` ones only with ``-o wide``; on a narrow terminal ``flexible`` ones give way, then
    ``spare`` ones are left out, the last first."""

    title: str
    cell: Callable[[T], str | Cell]
    wide: bool = False
    right: bool = False
    flexible: bool = False
    spare: bool = False


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """How one kind of thing is shown: its columns, its name, and the plain values of json and yaml."""

    columns: Sequence[Column[T]]
    plain: Callable[[T], dict[str, Any]]
    name: Callable[[T], str]
    nothing: str
    """What is said, on stderr, in place of a table without rows."""


def has_colour(stream: TextIO) -> bool:
    """A terminal, unless the user asked for no colour (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def words() -> Console:
    """Where people are told things: stderr, wrapped only by a terminal."""
    return Console(stderr=True, no_color=not has_colour(sys.stderr), highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """A line, or a few, to the person."""
    words().print(Text(tame(text), style=style))


def tame(text: str) -> str:
    """``text`` with its lines, and without what else would move the cursor: names and words of others may be in it."""
    return "\n".join(map(printable, text.split("\n")))


class Listing(Generic[T]):
    """A list of things that is shown as they come: json is one array with an element on each line.

    A table's columns are as wide as the first things need, and wider from where later ones need more.
    """

    def __init__(self, view: View[T], form: Form) -> None:
        self._view, self._form = view, form
        self._columns = [column for column in view.columns if not column.wide]
        if form is Form.WIDE:
            self._columns = [replace(column, spare=False) for column in view.columns]
        self._widths: list[int] = []
        self._is_empty = True

    def add(self, items: Iterable[T]) -> None:
        """Show some more; what is shown is on its way at once."""
        match self._form:
            case Form.JSON:
                for item in items:
                    _write(("[\n" if self._is_empty else ",\n") + _line(self._view.plain(item)))
                    self._is_empty = False
            case Form.YAML:
                plain = [self._view.plain(item) for item in items]
                _write(_yaml(plain) if plain else "")
                self._is_empty = self._is_empty and not plain
            case Form.NAME:
                for item in items:
                    _write(printable(self._view.name(item)) + "\n")
            case _:
                self._add_rows([[_cell(column.cell(item)) for column in self._columns] for item in items])
        sys.stdout.flush()

    def end(self) -> None:
        """There are no more."""
        match self._form:
            case Form.JSON:
                _write("[]\n" if self._is_empty else "\n]\n")
            case Form.YAML:
                _write(_yaml([]) if self._is_empty else "")
            case Form.TABLE | Form.WIDE:
                if self._is_empty:
                    say(self._view.nothing)

    def _add_rows(self, rows: Sequence[Sequence[Cell]]) -> None:
        if rows:
            self._widths = show_table(self._columns, rows, self._widths)
            self._is_empty = False


def show_list(view: View[T], items: Iterable[T], form: Form) -> None:
    """A list of things in ``form``."""
    listing = Listing(view, form)
    listing.add(items)
    listing.end()


def show_line(value: dict[str, Any]) -> None:
    """One value of a stream of them, on one line; it is on its way at once."""
    _write(_line(value) + "\n")
    sys.stdout.flush()


def show_one(view: View[T], item: T, form: Form, describe: Callable[[T], None] | None = None) -> None:
    """One thing in ``form``; for people through ``describe``, else as a table of one row."""
    match form:
        case Form.JSON:
            show_json(view.plain(item))
        case Form.YAML:
            _write(_yaml(view.plain(item)))
        case Form.TABLE | Form.WIDE if describe is not None:
            describe(item)
        case _:
            show_list(view, [item], form)


def show_json(value: Any) -> None:
    """One value, for programs and for people."""
    _write(_indented(value, "") + "\n")


def show_value(value: Any, form: Form) -> None:
    """A value that has no table."""
    if form is Form.YAML:
        _write(_yaml(value))
    else:
        show_json(value)


def show_text(text: str) -> None:
    """Text that is in its form already."""
    _write(text)


def show_fields(fields: Sequence[tuple[str, str | Cell]]) -> None:
    """Names and values, one pair on a line, values aligned."""
    width = max(cell_len(name) for name, _ in fields)
    console = _console()
    for name, value in fields:
        cell = _cell(value)
        title = name + " " * (width - cell_len(name)) + GAP
        console.print(Text.assemble((title, "bold"), (printable(cell.text), cell.style)), soft_wrap=True)


def show_heading(text: str) -> None:
    """A line that opens a part of a longer answer."""
    console = _console()
    console.print()
    console.print(Text(text, style="bold"), soft_wrap=True)


def show_table(columns: Sequence[Column[Any]], rows: Sequence[Sequence[Cell]], widths: Sequence[int] = ()) -> list[int]:
    """Rows under their titles, each column as wide as its widest cell, nothing after the last.

    ``widths`` are those of the rows before, where these go on a table; returned are those to go on with.
    """
    table = [[Cell(printable(cell.text), cell.style) for cell in row] for row in rows]
    if not widths:
        table.insert(0, [Cell(column.title, "bold") for column in columns])
    widths = [
        max(before, *(cell_len(row[at].text) for row in table))
        for at, before in enumerate(widths or [0] * len(columns))
    ]
    console = _console()
    if console.is_terminal:
        _narrow(widths, columns, console.width)
    shown = [at for at, width in enumerate(widths) if width or not columns[at].spare]
    for row in table:
        parts: list[tuple[str, str]] = []
        for at in shown:
            cell, column, width = row[at], columns[at], widths[at]
            text = _fitted(cell.text, width)
            padding = " " * (width - cell_len(text))
            before, after = (padding, "") if column.right else ("", padding)
            parts += [(before, ""), (text, cell.style), ("" if at == shown[-1] else after + GAP, "")]
        if console.is_terminal:
            line = Text.assemble(*parts)
            line.rstrip()
            console.print(line, soft_wrap=True)
        else:
            _write("".join(text for text, _ in parts).rstrip() + "\n")
    return widths


def _narrow(widths: list[int], columns: Sequence[Column[Any]], available: int) -> None:
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - available
    while excess > 0:
        flexible = [at for at, column in enumerate(columns) if column.flexible and widths[at] > _NARROWEST]
        if not flexible:
            break
        widest = max(flexible, key=lambda at: widths[at])
        widths[widest] -= 1
        excess -= 1
    for at in reversed(range(len(columns))):
        if excess > 0 and columns[at].spare:
            excess -= widths[at] + len(GAP)
            widths[at] = 0


def _fitted(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cell(value: str | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Nobody reads any more: rich would end the process, and with an error."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console() -> Console:
    return _Console(no_color=not has_colour(sys.stdout), highlight=False, emoji=False, markup=False)


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _indented(value: Any, margin: str) -> str:
    """JSON with a field on each line; a list of plain values, which may be a long one of numbers, stays on one."""
    inner = margin + "  "
    match value:
        case dict() if value:
            items = [
                f"{inner}{json.dumps(name, ensure_ascii=False)}: {_indented(item, inner)}"
                for name, item in value.items()
            ]
            return "{\n" + ",\n".join(items) + f"\n{margin}}}"
        case list() if any(isinstance(item, dict | list) for item in value):
            items = [inner + _indented(item, inner) for item in value]
            return "[\n" + ",\n".join(items) + f"\n{margin}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _yaml(value: Any) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000)
    return text


def _write(text: str) -> None:
    sys.stdout.write(text)
