"""Documents of YAML or JSON, JSON lines, or lists of them, each with the place where it stands."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mmctl.errors import Usage

_JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
_YAML_SUFFIXES = {".yaml", ".yml"}
_BLANKS = re.compile(r"\s*")


class Place(NamedTuple):
    """Where a document stands; ``item`` 0: it is not in a list."""

    number: int
    item: int
    line: int

    def __str__(self) -> str:
        item = f", item {self.item}" if self.item else ""
        return f"document {self.number}{item} (line {self.line})"


class _TwiceError(ValueError):
    """A field is there twice; its name."""


def read_text(file: str) -> tuple[str, str]:
    """What ``file`` holds (``-``: stdin), and what errors call it; Usage."""
    source = "stdin" if file == "-" else file
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"), source
    except UnicodeDecodeError as error:
        raise Usage(f"{source}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise Usage(f"{source}: {error.strerror or error}") from None


def documents(text: str, source: str) -> Iterator[tuple[Place, Any]]:
    """Each document with its place, a list standing for what it holds; the suffix of ``source`` tells the language, or
    else the first character does. Raises Usage where the text cannot be read."""
    text = text.removeprefix("\ufeff")
    return ((place, document) for place, document in _values(text, source) if document is not None or place.item)


def _values(text: str, source: str) -> Iterator[tuple[Place, Any]]:
    suffix = Path(source).suffix.lower()
    if suffix in _JSON_SUFFIXES:
        return _json_values(text, source)
    if suffix not in _YAML_SUFFIXES and text.lstrip()[:1] in ("{", "["):
        try:
            return iter(list(_json_values(text, source)))
        except Usage as error:
            try:
                return iter(list(_yaml_values(text, source)))
            except Usage:
                raise error from None
    return _yaml_values(text, source)


class _Json:
    """Reads values one after the other, and knows the line of the next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = self._counted = 0
        self._decoder = json.JSONDecoder(object_pairs_hook=_object)
        self.line = 1

    def is_at_end(self) -> bool:
        """Whether only blanks are left."""
        match = _BLANKS.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        self.line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._at == len(self._text)

    def has_taken(self, mark: str) -> bool:
        """Whether ``mark`` stood there, which is behind us then."""
        if self.is_at_end() or self._text[self._at] != mark:
            return False
        self._at += 1
        return True

    def take(self, mark: str) -> None:
        """As has_taken; JSONDecodeError where it does not stand there."""
        if not self.has_taken(mark):
            raise json.JSONDecodeError(f"Expecting {mark!r}", self._text, self._at)

    def value(self) -> Any:
        """The next value; JSONDecodeError, _TwiceError."""
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        return value


def _json_values(text: str, source: str) -> Iterator[tuple[Place, Any]]:
    reader = _Json(text)
    number = item = 0
    try:
        while not reader.is_at_end():
            number, item = number + 1, 0
            if not reader.has_taken("["):
                yield Place(number, 0, reader.line), reader.value()
                continue
            while not reader.has_taken("]"):
                if item:
                    reader.take(",")
                item += 1
                reader.is_at_end()
                yield Place(number, item, reader.line), reader.value()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Usage(f"{source}: {Place(number, item, reader.line)}: not JSON at {where}: {error.msg}") from None
    except RecursionError:
        raise Usage(f"{source}: document {number}: too many things within each other") from None
    except _TwiceError as twice:
        raise Usage(f"{source}: {Place(number, item, reader.line)}: field {str(twice)!r} is there twice") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise Usage(f"{source}: {Place(number, item, reader.line)}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where it was built
    """YAML in which a field that is there twice is a mistake."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        value: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(value) < len(node.value):
            names = [key.value for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"field {twice!r} is there twice", node.start_mark)
        return value


def _yaml_values(text: str, source: str) -> Iterator[tuple[Place, Any]]:
    loader = _Loader(text)
    number = 1
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if isinstance(value, list):
                for item, (one, of) in enumerate(zip(value, node.value, strict=True), start=1):
                    yield Place(number, item, of.start_mark.line + 1), one
            else:
                yield Place(number, 0, node.start_mark.line + 1), value
            number += 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise Usage(f"{source}: document {number}: not YAML{where}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Usage(f"{source}: document {number}: not YAML: {error}") from None
    except ValueError as error:  # no day of the calendar, or a number of more digits than Python reads
        raise Usage(f"{source}: document {number}: {error}") from None
    except RecursionError:
        raise Usage(f"{source}: document {number}: too many things within each other") from None
    finally:
        loader.dispose()
