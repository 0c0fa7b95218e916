"""Values of the core as plain JSON data and back: each says its type, and what is not as its type has it is refused.

Numbers, texts and None stand for themselves, an array is a tuple, an object without ``@`` a mapping with texts as keys.
Everything else is an object whose ``@`` names its kind: a dataclass with its fields (those at their default left out),
an enumeration or bytes with their value, an error, a container that changes.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import ModuleType, NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from meshcore import (
    asks,
    capacity,
    commands,
    constraints,
    copies,
    edits,
    entry,
    errors,
    events,
    failfast,
    filling,
    handovers,
    intents,
    me,
    meter,
    order,
    peers,
    reasons,
    records,
    reservations,
    settings,
    totals,
    transitions,
    unloads,
    upgrades,
    vmodel_asks,
    vmodel_record,
    writer,
)
from meshcore.errors import MeshError

Plain: TypeAlias = Any
"""What ``json`` writes and reads."""

TAG, OF, NUMBER = "@", "of", "#"

MODULES: tuple[ModuleType, ...] = (
    asks, capacity, commands, constraints, copies, edits, entry, errors, events, failfast, filling, handovers, intents,
    me, meter, order, peers, reasons, records, reservations, settings, totals, transitions, unloads, upgrades,
    vmodel_asks, vmodel_record, writer,
)  # fmt: skip
"""Where the kinds of values are that a node takes in, gives out and keeps."""


class NotPlain(Exception):
    """A value that has no plain form, or plain data that is no value; the text says what is wrong with it."""


def _kinds() -> dict[str, type]:
    found: dict[str, type] = {}
    for module in MODULES:
        for name, kind in vars(module).items():
            if not isinstance(kind, type) or kind.__module__ != module.__name__:
                continue
            if is_dataclass(kind) or issubclass(kind, Enum | MeshError):
                found[name] = kind
    return found


KINDS: Mapping[str, type] = _kinds()

_CONTAINERS: Mapping[str, type] = {"list": list, "deque": deque, "set": set}


class Encoder:
    """Encodes one document: an object that changes is written once, and meant wherever it comes again.

    ``places`` names, by their ``id``, the objects whose methods may be among the values.
    """

    def __init__(self, places: Mapping[int, str] | None = None) -> None:
        self._places = places or {}
        self._numbers: dict[int, int] = {}

    def encode(self, value: object) -> Plain:
        """``value`` as plain data. Raises NotPlain."""
        kind = type(value)
        if kind in (str, int, bool, NoneType, float):
            return value
        if isinstance(value, tuple):
            return [self.encode(item) for item in value]
        if isinstance(value, Enum):
            return {TAG: kind.__name__, OF: value.value}
        if isinstance(value, bytes):
            return _encode_bytes(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if is_dataclass(value):
            return self._object(value)
        if isinstance(value, MeshError):
            return self._error(value)
        if kind.__name__ in _CONTAINERS:
            return {TAG: kind.__name__, OF: [self.encode(item) for item in value]}  # type: ignore[attr-defined]
        return self._callable(value)

    def _mapping(self, value: Mapping[Any, object]) -> Plain:
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: self.encode(item) for key, item in value.items()}
        return {TAG: "map", OF: [[self.encode(key), self.encode(item)] for key, item in value.items()]}

    def _object(self, value: Any) -> Plain:
        kind: Any = type(value)
        shape = shape_of(kind)
        if shape is None:
            raise NotPlain(f"{kind.__name__} is not among the kinds of values that can be written")
        plain: dict[str, Plain] = {TAG: shape.name}
        if shape.can_change:
            if (known := self._numbers.get(id(value))) is not None:
                return {TAG: "same", OF: known}
            plain[NUMBER] = self._numbers[id(value)] = len(self._numbers) + 1
        for name, default in shape.defaults.items():
            item = getattr(value, name)
            if default is MISSING or item != default:
                plain[name] = self.encode(item)
        return plain

    def _error(self, value: MeshError) -> Plain:
        name = type(value).__name__
        if isinstance(value, asks.VerdictError):
            return {TAG: name, "refused": self.encode(value.refused)}
        plain = {TAG: name, "text": value.text}
        return plain if value.code is type(value).code else {**plain, "code": value.code.value}

    def _callable(self, value: Any) -> Plain:
        if isinstance(value, partial):
            return {TAG: "partial", OF: [self.encode(part) for part in (value.func, *value.args)]}
        place = self._places.get(id(getattr(value, "__self__", None)))
        if place is None:
            raise NotPlain(f"{value!r} has no plain form")
        return {TAG: "method", OF: [place, value.__name__]}


def encode(value: object) -> Plain:
    """``value`` as plain data. Raises NotPlain."""
    return Encoder().encode(value)


class Decoder:
    """Decodes one document; ``places`` has the objects whose methods may be among the values."""

    def __init__(self, places: Mapping[str, object] | None = None) -> None:
        self._places = places or {}
        self._numbered: dict[int, object] = {}

    def decode(self, plain: Plain) -> Any:
        """The value that ``plain`` says. Raises NotPlain."""
        if isinstance(plain, list):
            return tuple([self.decode(item) for item in plain])
        if not isinstance(plain, dict):
            return plain
        if TAG not in plain:
            return {key: self.decode(item) for key, item in plain.items()}
        name = plain[TAG]
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            return self._other(name, plain.get(OF))
        if issubclass(kind, Enum):
            try:
                return kind(plain.get(OF))
            except ValueError:
                raise NotPlain(f"{plain.get(OF)!r} is no {name}") from None
        if issubclass(kind, MeshError):
            return self._error(kind, plain)
        return self._object(kind, plain)

    def _object(self, kind: type, plain: dict[str, Plain]) -> object:
        shape = shape_of(kind)
        assert shape is not None
        given = {name: self.decode(item) for name, item in plain.items() if name not in (TAG, NUMBER)}
        shape.check(given)
        made: object = kind(**given)
        if NUMBER in plain:
            self._numbered[plain[NUMBER]] = made
        return made

    def _error(self, kind: type[MeshError], plain: dict[str, Plain]) -> MeshError:
        if issubclass(kind, asks.VerdictError):
            refused = self.decode(plain.get("refused"))
            if not isinstance(refused, asks.Refused):
                raise NotPlain("a VerdictError without its verdict")
            return kind(refused)
        text = plain.get("text")
        if not isinstance(text, str):
            raise NotPlain(f"a {kind.__name__} without its text")
        code = self.decode({TAG: "Code", OF: plain["code"]}) if "code" in plain else None
        error = kind.__new__(kind)  # some kinds make their text themselves
        MeshError.__init__(error, text, code)
        return error

    def _other(self, name: object, of: Plain) -> Any:
        if name == "bytes" and isinstance(of, str):
            return of.encode()
        if name == "base64" and isinstance(of, str):
            try:
                return b64decode(of, validate=True)
            except binascii.Error:
                raise NotPlain("bytes that are no base64") from None
        if name == "same" and isinstance(of, int) and of in self._numbered:
            return self._numbered[of]
        if isinstance(of, list):
            if isinstance(name, str) and name in _CONTAINERS:
                return _CONTAINERS[name](self.decode(item) for item in of)
            if name == "map" and all(isinstance(pair, list) and len(pair) == 2 for pair in of):
                return {self.decode(key): self.decode(item) for key, item in of}
            if name == "partial" and of and callable(function := self.decode(of[0])):
                return partial(function, *(self.decode(item) for item in of[1:]))
            if name == "method" and len(of) == 2:
                place = self._places.get(str(of[0]))
                if callable(getattr(type(place), str(of[1]), None)):
                    return getattr(place, str(of[1]))
        raise NotPlain(f"{name!r} is no kind of value, or not written like one")


def decode(plain: Plain) -> Any:
    """The value that ``plain`` says. Raises NotPlain."""
    return Decoder().decode(plain)


def _encode_bytes(value: bytes) -> Plain:
    try:
        return {TAG: "bytes", OF: value.decode()}
    except UnicodeDecodeError:
        return {TAG: "base64", OF: b64encode(value).decode()}


# -- what a dataclass takes ------------------------------------------------------------------------------


class Shape:
    """One dataclass: its fields with their defaults, and what each may hold."""

    def __init__(self, kind: type) -> None:
        self.name = kind.__name__
        self.can_change = not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        self.defaults = {field.name: _default(field) for field in fields(kind)}
        self._kind = kind

    @property
    def hints(self) -> dict[str, Any]:
        """What each field may hold."""
        return _hints(self._kind)

    def check(self, given: Mapping[str, object]) -> None:
        """Raises NotPlain where these cannot be the fields."""
        for name, value in given.items():
            if name not in self.defaults:
                raise NotPlain(f"{self.name} has no {name}")
            if not fits(value, self.hints[name]):
                raise NotPlain(f"{self.name} cannot have {value!r} as {name}")
        for name, default in self.defaults.items():
            if default is MISSING and name not in given:
                raise NotPlain(f"a {self.name} without {name}")


@cache
def shape_of(kind: type) -> Shape | None:
    """What a dataclass of the core takes; None: it is not one of those that are written."""
    return Shape(kind) if KINDS.get(kind.__name__) is kind else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def fits(value: object, hint: Any) -> bool:
    """Whether ``value`` is of the type ``hint``, as far down as it is made of plain things."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint in (Any, object) or origin is Callable or getattr(hint, "_is_protocol", False):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inside)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(inside) == 2 and inside[1] is ...:
            return all(fits(item, inside[0]) for item in value)
        return len(value) == len(inside) and all(map(fits, value, inside))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items())
    if hint is int:
        return type(value) is int
    return isinstance(value, origin or hint)
