"""The JSON attributes of a stored record: read leniently about absence and strictly about shape, written compactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import NoReturn

from meshcore.errors import BadRecord

INT32 = 2**31
INT64 = 2**63

DEEPEST = 32
"""Levels that an attribute nobody here knows may have: it has to be written again, whatever calls for that."""

_SHAPES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""Kept, as making one takes as long as what it encodes."""


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits} is too large a number")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object as read; two values under one name cannot both be kept."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has one name twice")
    return values


class Attributes:
    """One JSON object being read: each attribute is taken once, what is left at the end is unknown and to be kept.

    Absent and null are the same, for readers must accept that defaults are not written.
    """

    def __init__(self, key: str, values: dict[str, object], path: str = "") -> None:
        self._key, self._values, self._path = key, values, path

    @classmethod
    def parse(cls, value: bytes, key: str) -> Attributes:
        """The object in ``value``; raises BadRecord, which names ``key``."""
        try:
            values = json.loads(
                value.decode(), parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as error:
            raise BadRecord(f'Record "{key}" is not JSON in UTF-8 ({error}): write it anew or delete it') from error
        if not isinstance(values, dict):
            raise BadRecord(f'Record "{key}" must be a JSON object: write it anew or delete it')
        return cls(key, values)

    def number(self, name: str, default: int = 0) -> int:
        """A whole number of 64 bits."""
        value = self._values.pop(name, None)
        return default if value is None else self._number(name, value)

    def natural(self, name: str, most: int = INT64 - 1, default: int = 0) -> int:
        """A whole number from 0 to ``most``."""
        value = self.number(name, default)
        if not 0 <= value <= most:
            raise BadRecord(f'Record "{self._key}": {self._path}{name} must be 0 to {most}: correct the record')
        return value

    def text(self, name: str) -> str:
        value = self._values.pop(name, None)
        return "" if value is None else self._text(name, value)

    def flag(self, name: str) -> bool:
        value = self._values.pop(name, None)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._misshapen(name, bool)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._values.pop(name, None)
        if values is None:
            return ()
        if not isinstance(values, list):
            raise self._misshapen(name, list)
        return tuple([self._text(f"{name}[{at}]", value) for at, value in enumerate(values)])

    def inner(self, name: str) -> Attributes:
        """The object under ``name``, empty if absent."""
        return Attributes(self._key, self._object(name), f"{self._path}{name}.")

    def numbers(self, name: str) -> dict[str, int]:
        """An object whose values are all whole numbers."""
        return {
            self._text(name, inner): self._number(f"{name}.{inner}", value)
            for inner, value in self._object(name).items()
        }

    def strings(self, name: str) -> dict[str, str]:
        """An object whose values are all texts."""
        return {
            self._text(name, inner): self._text(f"{name}.{inner}", value) for inner, value in self._object(name).items()
        }

    def rest(self) -> dict[str, object]:
        """The attributes nobody took."""
        if self._values:
            self._check_depth()
        return self._values

    def _object(self, name: str) -> dict[str, object]:
        values = self._values.pop(name, None)
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise self._misshapen(name, dict)
        return values

    def _number(self, name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._misshapen(name, int)
        if not -INT64 <= value < INT64:
            raise BadRecord(f'Record "{self._key}": {self._path}{name} must fit 64 bits: correct the record')
        return value

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise self._misshapen(name, str)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:  # half a surrogate pair: JSON may escape it, no message can carry it
                raise BadRecord(
                    f'Record "{self._key}": {self._path}{name} must be Unicode text: correct the record'
                ) from error
        return value

    def _check_depth(self) -> None:
        level: list[object] = [self._values]
        for _ in range(DEEPEST):
            inner: list[object] = []
            for value in level:
                if isinstance(value, dict):
                    inner += value.values()
                elif isinstance(value, list):
                    inner += value
            if not inner:
                return
            level = inner
        raise BadRecord(f'Record "{self._key}" has more than {DEEPEST} levels: correct the record')

    def _misshapen(self, name: str, wanted: type) -> BadRecord:
        return BadRecord(f'Record "{self._key}": {self._path}{name} must be {_SHAPES[wanted]}: correct the record')


def without_defaults(values: Mapping[str, object]) -> dict[str, object]:
    """``values`` less those that a record leaves out: empty, zero and false (docs/design.md, store)."""
    return {name: value for name, value in values.items() if value}


def by_key(values: Mapping[str, object]) -> dict[str, object]:
    """``values`` in the order in which maps are written."""
    return dict(sorted(values.items()))


def encode(values: Mapping[str, object]) -> bytes:
    """``values`` as compact JSON in UTF-8."""
    try:
        return _COMPACT.encode(values).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON may escape and UTF-8 cannot hold
        return json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
