"""Pages of the registry, all of one list from one moment."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from meshcore.errors import BadRecord
from meshcore.node import Node
from meshcore.records import ModelRecord
from meshd.messages import model_message

PAGE = 500
PAGE_MOST = 5_000
LOOKED_AT_MOST = 5_000
"""Models that are read for one page, whether or not they pass: an instance has other things to do meanwhile."""
LISTS_KEPT = 8
"""Lists that somebody is in the middle of; beyond these the oldest is given up and begins again."""


class ListGone(Exception):
    """The page token is of a list that is not kept any more."""


@dataclass(frozen=True, slots=True)
class Page:
    """Models of one page, the token of the next (empty: none), the revision and, without a filter, how many in all.

    A page with a token may have few models or none: the rest comes with the next ones.
    """

    models: list[Any]
    next_token: str
    revision: int
    total: int | None


class Listing:
    """Serves pages of what one node knows to be registered."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lists: OrderedDict[int, tuple[int, list[tuple[str, bytes, int]]]] = OrderedDict()
        self._numbers = count(1)

    def page(self, wanted: Any, size: int, token: str) -> Page:
        """One page of the models that pass the filter ``wanted``. Raises ListGone."""
        number, at = _parse(token) if token else (next(self._numbers), 0)
        if not token:
            self._lists[number] = self._node.view.revision, _named(self._node.view.models(), wanted.name_prefix)
            if len(self._lists) > LISTS_KEPT:
                self._lists.popitem(last=False)
        if number not in self._lists:
            raise ListGone
        revision, models = self._lists[number]
        passes = _filter(wanted)
        page: list[Any] = []
        size = min(size or PAGE, PAGE_MOST)
        last = min(len(models), at + LOOKED_AT_MOST)
        while at < last and len(page) < size:
            name, value, mod = models[at]
            at += 1
            if passes(message := self._message(name, value, mod)):
                page.append(message)
        if at >= len(models):
            del self._lists[number]
            next_token = ""
        else:
            next_token = base64.urlsafe_b64encode(json.dumps([number, at]).encode()).decode()
        has_filter = wanted.ByteSize() > 0
        return Page(page, next_token, revision, None if has_filter else len(models))

    def _message(self, name: str, value: bytes, mod: int) -> Any:
        try:
            record = ModelRecord.decode(value, f"registry/{name}")
        except BadRecord as unreadable:
            return model_message(name, None, mod, None, unreadable.text)
        return model_message(name, record, mod, self._node.desk.status(name, record), "")


def _named(models: list[tuple[str, bytes, int]], prefix: str) -> list[tuple[str, bytes, int]]:
    """Those of ``models``, which ascend by name, whose name begins with ``prefix``."""
    first = bisect_left(models, prefix, key=lambda model: model[0])
    after = bisect_left(models, True, lo=first, key=lambda model: not model[0].startswith(prefix))
    return models[first:after]


def _parse(token: str) -> tuple[int, int]:
    try:
        number, at = json.loads(base64.urlsafe_b64decode(token))
        return int(number), max(0, int(at))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ListGone from error


def _filter(wanted: Any) -> Callable[[Any], bool]:
    statuses, labels = set(wanted.status), dict(wanted.labels)

    def passes(model: Any) -> bool:
        return (
            (not wanted.type or model.spec.type == wanted.type)
            and (not statuses or model.status in statuses)
            and (not wanted.instance or any(copy.instance == wanted.instance for copy in model.copies))
            and all(model.spec.labels.get(name) == value for name, value in labels.items())
        )

    return passes
