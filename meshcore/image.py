"""All that a node keeps, taken at one moment and put into a new node, which then goes on as the first would have.

A node is made of parts that know each other, and its constructor makes and joins them. An image is what changes in
them: for each part, by its place in the node, its attributes. What only joins parts (the parts themselves, functions)
or is given to the constructor is not in it, nor is what a part names in ``NOT_STATE``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from random import Random
from typing import Any

from meshcore.me import Me
from meshcore.node import Node
from meshcore.plain import Decoder, Encoder, NotPlain, Plain
from meshcore.rules import Rules
from meshcore.settings import Settings

_GIVEN = (Settings, Rules, Me)
_CONTAINERS = (dict, list, set, deque)


@dataclass(frozen=True, slots=True)
class Image:
    """What a node kept: ``parts`` has the attributes by the part's place; nothing in it changes any more."""

    parts: Mapping[str, Mapping[str, Any]]
    places: Mapping[int, str]
    """The parts' places by their ``id``."""

    def encode(self) -> Plain:
        """The image as plain data. Raises NotPlain."""
        encoder = Encoder(self.places)
        return {
            place: {name: encoder.encode(value) for name, value in kept.items()} for place, kept in self.parts.items()
        }


def take(node: Node) -> Image:
    """What ``node`` keeps now.

    The node waits meanwhile, so a container of values that do not change is copied as a whole, however many there are.
    """
    copies: dict[int, Any] = {}
    parts = {
        place: {name: _copied(value, copies) for name, value in _kept(part, values).items()}
        for place, part, values in _walk(node)
    }
    return Image(parts, {id(part): place for place, part, _ in _walk(node)})


def put(node: Node, plain: Plain) -> None:
    """Have ``node``, fresh from its constructor, keep what an image says. Raises NotPlain."""
    places = {place: (part, values) for place, part, values in _walk(node)}
    if not isinstance(plain, dict) or plain.keys() != places.keys():
        raise NotPlain("this is not the state of a node of this version: it has other parts")
    decoder = Decoder({place: part for place, (part, _) in places.items()})
    for place, (part, values) in places.items():
        given, kept = plain[place], _kept(part, values)
        if not isinstance(given, dict) or given.keys() != kept.keys():
            raise NotPlain(f"this is not the state of a node of this version: {place or 'the node'} keeps other things")
        for name, value in kept.items():
            new = decoder.decode(given[name])
            if isinstance(part, Random):
                _set_rng(part, new)
            elif isinstance(value, _CONTAINERS):
                _fill(value, new, f"{place}.{name}")
            else:
                setattr(part, name, new)


def _walk(node: Node) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every part once: its place, itself, and those of its attributes that are neither parts nor wiring."""
    seen: set[int] = {id(node)}
    waiting: list[tuple[str, Any]] = [("", node)]
    while waiting:
        place, part = waiting.pop(0)
        if isinstance(part, Random):
            yield place, part, {}
            continue
        left_out: frozenset[str] = getattr(part, "NOT_STATE", frozenset())
        values: dict[str, Any] = {}
        for name, value in vars(part).items():
            if name in left_out or isinstance(value, _GIVEN) or callable(value):
                continue
            if _is_part(value) or isinstance(value, _CONTAINERS):
                if id(value) in seen:
                    continue  # two parts share it
                seen.add(id(value))
            if _is_part(value):
                waiting.append((f"{place}.{name}" if place else name, value))
            else:
                values[name] = value
        yield place, part, values


def _kept(part: Any, values: dict[str, Any]) -> dict[str, Any]:
    return {"state": part.getstate()} if isinstance(part, Random) else values


def _type(value: Any) -> Any:
    return type(value)  # what mypy takes to be hashable


@cache
def _is_kind_of_part(kind: type) -> bool:
    if issubclass(kind, Random):
        return True
    is_ours = kind.__module__.startswith("meshcore.")
    return is_ours and not is_dataclass(kind) and not issubclass(kind, Enum | Exception)


def _is_part(value: Any) -> bool:
    return _is_kind_of_part(_type(value))


@cache
def _changes(kind: type) -> bool:
    """Whether values of that type may be another later."""
    if issubclass(kind, _CONTAINERS):
        return True
    return is_dataclass(kind) and not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """``value`` so that it stays as it is; what is there twice is copied once."""
    if not _changes(_type(value)):
        return value
    if id(value) in copies:
        return copies[id(value)]
    made = copies[id(value)] = copy(value)
    if isinstance(value, dict):
        if _changes(_type(next(iter(value.values()), None))):  # a container holds things of one kind
            made.update((key, _copied(item, copies)) for key, item in value.items())
    elif isinstance(value, list | deque | set):
        if _changes(_type(next(iter(value), None))):
            made.clear()
            _add(made)(_copied(item, copies) for item in value)
    else:
        for field in fields(value):
            setattr(made, field.name, _copied(getattr(value, field.name), copies))
    return made


def _add(container: Any) -> Callable[[Any], None]:
    add: Callable[[Any], None] = container.update if isinstance(container, set) else container.extend
    return add


def _fill(container: Any, new: Any, where: str) -> None:
    """Replace what is in ``container``, which others hold too."""
    if type(new) is not type(container):
        raise NotPlain(f"{where} is written as a {type(new).__name__} and is a {type(container).__name__}")
    container.clear()
    if isinstance(container, dict):
        container.update(new)
    else:
        _add(container)(new)


def _set_rng(rng: Random, state: Any) -> None:
    try:
        rng.setstate(state)
    except (TypeError, ValueError) as wrong:
        raise NotPlain(f"this is no state of a generator: {wrong}") from None
