"""What pages and messages name: sections, and commands of mmctl with their options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from mmctl.app import app

_SHOWN = re.compile(r"`(mmctl [^`]+)`|^ *(?:\$ )?(mmctl (?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown_commands(text: str) -> list[str]:
    """Commands of mmctl in backticks, or on lines of their own, that there are not, or not with these options."""
    return [wrong for shown in _commands(text) for wrong in _wrong(shown)]


def commands() -> list[str]:
    """All of mmctl's, as they are called: ``vmodel set``."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "commands"):
            yield " ".join(path)
            return
        for name, each in command.commands.items():
            yield from below(each, (*path, name))

    return list(below(_root(), ()))


def _commands(text: str) -> Iterator[str]:
    for quoted, on_line in _SHOWN.findall(text):
        shown = (quoted or on_line).replace("\\\n", " ")
        yield re.split(r"\s#\s|[|;&]| > ", shown)[0]


def _wrong(shown: str) -> Iterator[str]:
    command = _root()
    parents = [command]
    words = shown.split()[1:]
    for word in words:
        if not hasattr(command, "commands") or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        found = command.commands.get(word)
        if found is None:
            yield f"{shown}: there is no command {word}"
            return
        command = found
        parents.append(command)
    parameters = [parameter for each in parents for parameter in each.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        option = word.strip("'\"[](),").partition("=")[0]
        if re.fullmatch(r"--[a-z-]+", option) and option not in known:
            yield f"{shown}: {command.name} has no {option}"


@cache
def _root() -> Any:
    return typer.main.get_command(app)
