"""Models and virtual models as files describe them, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshcore.asks import Kept
from meshcore.errors import InvalidRequest
from meshcore.registration import check_kept
from meshcore.split import checked
from mmctl.errors import Usage, nearest
from mmctl.reading import Place, documents, read_text
from mmctl.sizes import parse_size
from mmctl.values import Registration, VModelChange

_Reader = Callable[[str, Any], Any]
"""What makes a value of what stands in a field; raises _Invalid."""

MOST_ERRORS = 20
"""Of more mistakes than this only the number is told."""

ATTRIBUTES = {
    "name": "name",
    "type": "type",
    "path": "path",
    "key": "key",
    "size": "size_bytes",
    "labels": "labels",
    "min": "min_copies",
    "max": "max_copies",
    "pin": "pinned",
    "priority": "priority",
}
"""What is kept about a model: as files call it, and as Registration and Model do."""

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


class _Invalid(ValueError):
    """What is wrong with one document, each argument one thing."""


@dataclass(frozen=True, slots=True)
class Described:
    """What files say, by name and in their order."""

    models: Mapping[str, Registration]
    vmodels: Mapping[str, VModelChange]


def read_registrations(files: Sequence[str]) -> list[Registration]:
    """All models that ``files`` (``-``: stdin) describe, in their order; Usage names every mistake with its place. A
    virtual model is one."""
    return list(_described(map(read_text, files), has_vmodels=False).models.values())


def read_described(files: Sequence[str]) -> Described:
    """As read_registrations, virtual models too."""
    return _described(map(read_text, files), has_vmodels=True)


def parse_described(text: str, source: str) -> Described:
    """As read_described, from ``text``; ``source`` is what errors call it, its suffix tells the language."""
    return _described([(text, source)], has_vmodels=True)


def _described(texts: Iterable[tuple[str, str]], has_vmodels: bool) -> Described:
    models: dict[str, Registration] = {}
    vmodels: dict[str, VModelChange] = {}
    errors: list[str] = []
    given: dict[tuple[bool, str], tuple[str, Place]] = {}
    sources = []
    for text, source in texts:
        sources.append(source)
        for place, document in documents(text, source):
            is_vmodel = isinstance(document, dict) and "vmodel" in document
            try:
                if is_vmodel and not has_vmodels:
                    raise _Invalid("a virtual model; only `mmctl apply` and `mmctl diff` take those")
                one = _vmodel(document) if is_vmodel else _registration(document)
                before = given.setdefault((is_vmodel, one.name), (source, place))
                if before != (source, place):
                    where = f"{before[0]}, " if before[0] != source else ""
                    raise _Invalid(f"name {one.name!r} was given before, in {where}{before[1]}")
            except _Invalid as error:
                errors += [f"{source}: {place}: {mistake}" for mistake in error.args]
                continue
            if isinstance(one, VModelChange):
                vmodels[one.name] = one
            else:
                models[one.name] = one
    if errors:
        more = len(errors) - MOST_ERRORS
        raise Usage("\n".join(errors[:MOST_ERRORS] + ([f"{more:,} more mistakes"] if more > 0 else [])))
    if not models and not vmodels:
        raise Usage(f"{', '.join(sources)}: no registrations in it")
    return Described(models, vmodels)


def _registration(document: Any) -> Registration:
    if not isinstance(document, dict):
        raise _Invalid(f"a model is an object with name and type, not {_kind(document)}")
    values = _fields(document, _FIELDS, ("name", "type"))
    registration = Registration(**{ATTRIBUTES.get(field, field): value for field, value in values.items()})
    try:
        check(registration)
    except Usage as error:
        raise _Invalid(str(error)) from None
    return registration


def _vmodel(document: dict[Any, Any]) -> VModelChange:
    values = _fields(document, _VMODEL_FIELDS, ("vmodel", "targets"))
    try:
        targets = checked(values["vmodel"], list(values["targets"].items()))
    except InvalidRequest as error:
        raise _Invalid(error.text) from None
    shadow, owner = values.get("shadow", ""), values.get("owner", "")
    if shadow in targets:
        raise _Invalid(f"{shadow} is a target and cannot be the shadow too")
    return VModelChange(values["vmodel"], targets, shadow, owner)


def _fields(document: dict[Any, Any], known: Mapping[str, _Reader], needed: Sequence[str]) -> dict[str, Any]:
    """The values of a document by field; every mistake in it is told at once."""
    mistakes = []
    values: dict[str, Any] = {}
    for field, value in document.items():
        if field not in known:
            name = str(field)
            other = _OTHERS.get(name.lower())
            hint = f"did you mean {other!r}?" if other in known else nearest(name, known)
            mistakes.append(f"unknown field {name!r}; {hint}")
            continue
        try:
            values[field] = known[field](field, value)
        except _Invalid as error:
            mistakes += error.args
    for field in needed:
        if field not in document or values.get(field) in ("", {}):
            mistakes.append(f"field {field!r} is missing or empty")
    if mistakes:
        raise _Invalid(*mistakes)
    return values


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


def _shares(field: str, value: Any) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise _Invalid(f"field {field!r} is an object of percentages by model, not {_kind(value)}")
    return {_text(f"{field} key", name): _whole(f"{field}.{name}", share) for name, share in value.items()}


_FIELDS: dict[str, _Reader] = {
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

_VMODEL_FIELDS: dict[str, _Reader] = {
    "vmodel": _text,
    "targets": _shares,
    "shadow": _optional_text,
    "owner": _optional_text,
}


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
