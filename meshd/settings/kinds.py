"""The kinds of settings: how the text of a variable becomes a value, and what to say when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

MOST = 2**53
"""Numbers above this are mistakes, and JSON readers round them."""


class Unfit(ValueError):
    """A text that cannot be; says itself what is wrong with it, without repeating it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` raises ValueError for a text that is not what ``allowed`` says."""

    parse: Callable[[str], object]
    allowed: str
    separator: str = ""
    """What stands between the items of a list; empty: not a list."""
    is_json: bool = False


def whole(low: int, high: int | None = None) -> Kind:
    return Kind(
        lambda text: whole_number(text, low, high), f"a whole number from {low}" + (f" to {high}" if high else " on")
    )


def choice(*options: str) -> Kind:
    return Kind(lambda text: one_of(text.lower(), options), " or ".join(options))


def matching(pattern: str, allowed: str) -> Kind:
    return Kind(lambda text: match(pattern, text)[0], allowed)


def whole_number(text: str, low: int | None = None, high: int | None = None) -> int:
    number = int(match(r"-?\d{1,18}", text)[0])
    if (low is not None and number < low) or number > (MOST if high is None else high):
        raise ValueError(f"{number} is not from {low} to {MOST if high is None else high}")
    return number


def one_of(text: str, options: tuple[str, ...]) -> str:
    if text not in options:
        raise ValueError(f"{text!r} is none of {', '.join(options)}")
    return text


def match(pattern: str, text: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} has another form")
    return found


def contents(path: str) -> str:
    """The text of a file. Raises Unfit."""
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise Unfit(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unfit(f"{path} is not UTF-8") from error


def items(text: str) -> tuple[str, ...]:
    """What stands between the commas of ``text``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def nearest(name: str, known: Iterable[str], least: float = 0.6) -> str:
    """The known name nearest to ``name``, as the end of a sentence; empty where none is, of 1, ``least`` alike."""
    found = get_close_matches(name, sorted(known), 1, least)
    return f"; did you mean {found[0]}?" if found else ""


def _file(text: str) -> str:
    contents(text)
    return text


def _paths(text: str) -> tuple[str, ...]:
    """Files, or directories of files."""
    found = items(text)
    for path in found:
        if not Path(path).is_dir():
            contents(path)
    return found


def _part(text: str) -> float:
    part = float(match(r"[01]|[01]?\.\d{1,9}", text)[0])
    if not 0 < part <= 1:
        raise ValueError(f"{part} is not above 0 and up to 1")
    return part


FLAG = Kind(lambda text: one_of(text.lower(), ("true", "false")) == "true", "true or false")
TEXT = Kind(str, "any text")
LABELS = Kind(lambda text: tuple(sorted(set(items(text)))), "labels with commas between", separator=",")
PART = Kind(_part, "a number above 0 and up to 1")
WHOLE = Kind(lambda text: whole_number(text, -MOST), "a whole number")
PORT = whole(1, 65535)
PORT_OR_ANY = whole(0, 65535)
PORT_OR_NONE = Kind(
    lambda text: None if text.upper() == "NONE" else whole_number(text, 0, 65535), f"NONE or {PORT_OR_ANY.allowed}"
)
FILE = Kind(_file, "the path of a file")
FILES = Kind(
    lambda text: tuple(_file(path) for path in items(text)), "paths of files with commas between", separator=","
)
PATHS = Kind(_paths, "paths of files or directories with commas between", separator=",")
