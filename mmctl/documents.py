"""Registrations from files: YAML or JSON documents, JSON lines, or lists of them, checked before anything is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from meshcore.asks import Kept
from meshcore.errors import InvalidRequest
from meshcore.registration import check_kept
from mmctl.errors import Usage, nearest
from mmctl.sizes import parse_size
from mmctl.values import Registration

MOST_ERRORS = 20
"""A file with more mistakes than this is told no more of them."""

_OTHERS = {
    "id": "name",
    "model": "name",
    "modelid": "name",
    "model_id": "name",
    "modelpath": "path",
    "size_bytes": "size",
    "min_copies": "min",
    "max_copies": "max",
    "pinned": "pin",
    "prio": "priority",
}
"""What people call a field elsewhere, and its name here."""

_JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
_YAML_SUFFIXES = {".yaml", ".yml"}


class _Invalid(ValueError):
    """What is wrong with one document, each argument one thing."""


def read_registrations(file: str) -> list[Registration]:
    """All that ``file`` holds (``-``: stdin), in its order; Usage names every mistake with its document."""
    if file == "-":
        return parse_registrations(sys.stdin.read(), "stdin")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Usage(f"{file}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise Usage(f"{file}: {error.strerror or error}") from None
    return parse_registrations(text, file)


def parse_registrations(text: str, source: str) -> list[Registration]:
    """As read_registrations, from ``text``; ``source`` is what errors call it, its suffix tells the language."""
    registrations: list[Registration] = []
    errors: list[str] = []
    given: dict[str, str] = {}
    for place, document in _documents(text.removeprefix("\ufeff"), source):
        try:
            registration = _registration(document)
            if registration.name in given:
                raise _Invalid(f"name {registration.name!r} was given before, in {given[registration.name]}")
        except _Invalid as error:
            errors += [f"{source}: {place}: {mistake}" for mistake in error.args]
            continue
        given[registration.name] = place
        registrations.append(registration)
    if errors:
        more = len(errors) - MOST_ERRORS
        raise Usage("\n".join(errors[:MOST_ERRORS] + ([f"{source}: {more:,} more mistakes"] if more > 0 else [])))
    if not registrations:
        raise Usage(f"{source}: no registrations in it")
    return registrations


def _documents(text: str, source: str) -> Iterator[tuple[str, Any]]:
    """Each document with its place; a list stands for what it holds."""
    number = 0
    for number, document in enumerate(_values(text, source), start=1):
        if isinstance(document, list):
            for at, item in enumerate(document, start=1):
                yield f"document {number}, item {at}", item
        elif document is not None:
            yield f"document {number}", document


def _values(text: str, source: str) -> Iterator[Any]:
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


def _json_values(text: str, source: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    at = 0
    number = 1
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise Usage(
                f"{source}: document {number}: not JSON at line {error.lineno} column {error.colno}: {error.msg}"
            ) from None
        except _Invalid as error:
            raise Usage(f"{source}: document {number}: {error}") from None
        yield value
        number += 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Invalid(f"field {next(name for name in names if names.count(name) > 1)!r} is there twice")
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


def _yaml_values(text: str, source: str) -> Iterator[Any]:
    documents = yaml.load_all(text, Loader=_Loader)
    number = 1
    while True:
        try:
            value = next(documents)
        except StopIteration:
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
            raise Usage(f"{source}: document {number}: not YAML{where}: {error.problem}") from None
        except yaml.YAMLError as error:
            raise Usage(f"{source}: document {number}: not YAML: {error}") from None
        yield value
        number += 1


def _registration(document: Any) -> Registration:
    if not isinstance(document, dict):
        raise _Invalid(f"a model is an object with name and type, not {_kind(document)}")
    mistakes = []
    values: dict[str, Any] = {}
    for field, value in document.items():
        if field not in _FIELDS:
            name = str(field)
            other = _OTHERS.get(name.lower())
            hint = f"did you mean {other!r}?" if other else nearest(name, _FIELDS)
            mistakes.append(f"unknown field {name!r}; {hint}")
            continue
        try:
            values[field] = _FIELDS[field](field, value)
        except _Invalid as error:
            mistakes += error.args
    for field in ("name", "type"):
        if field not in document or values.get(field) == "":
            mistakes.append(f"field {field!r} is missing or empty")
    if mistakes:
        raise _Invalid(*mistakes)
    registration = Registration(**{_ATTRIBUTES.get(field, field): value for field, value in values.items()})
    try:
        check(registration)
    except Usage as error:
        raise _Invalid(str(error)) from None
    return registration


def check(asked: Registration) -> None:
    """Usage where a mesh would refuse it whatever is registered already."""
    kept = Kept(asked.size_bytes, {}, asked.min_copies, asked.max_copies, asked.pinned, asked.priority)
    try:
        check_kept(kept)
    except InvalidRequest as error:
        raise Usage(error.text) from None


def _text(field: str, value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Invalid(f"field {field!r} holds half a character, which UTF-8 cannot say") from None
        return value
    hint = "" if isinstance(value, dict | list) else "; put quotes around it"
    raise _Invalid(f"field {field!r} is text, not {_kind(value)}{hint}")


def _optional_text(field: str, value: Any) -> str:
    return "" if value is None else _text(field, value)


def _size(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
        raise _Invalid(f"field {field!r} is a size as 50MiB or a number of bytes, not {_kind(value)}")
    try:
        return parse_size(value)
    except Usage as error:
        raise _Invalid(f"field {field!r}: {error}") from None


def _labels(field: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Invalid(f"field {field!r} is an object of texts, not {_kind(value)}")
    return {_text(f"{field} key", name): _text(f"{field}.{name}", text) for name, text in value.items()}


def _whole(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Invalid(f"field {field!r} is a whole number, not {_kind(value)}")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Invalid(f"field {field!r} is true or false, not {_kind(value)}")
    return value


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "name": _text,
    "type": _text,
    "path": _optional_text,
    "key": _optional_text,
    "size": _size,
    "labels": _labels,
    "load": _flag,
    "min": _whole,
    "max": _whole,
    "pin": _flag,
    "priority": _whole,
}

_ATTRIBUTES = {"size": "size_bytes", "min": "min_copies", "max": "max_copies", "pin": "pinned"}
"""Fields that a Registration calls otherwise."""


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the truth value {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"
