"""Pages of a table of records, all of one list from one moment."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

PAGE = 500
PAGE_MOST = 5_000
LOOKED_AT_MOST = 5_000
"""Records that are read for one page, whether or not they pass: an instance has other things to do meanwhile."""
LISTS_KEPT = 8
"""Lists that somebody is in the middle of; beyond these the oldest is given up and begins again."""


class ListGone(Exception):
    """The page token is of a list that is not kept any more."""


@dataclass(frozen=True, slots=True)
class Page:
    """What passes, of one page, the token of the next (empty: none), the revision and, without a filter, how many in
    all.

    A page with a token may have few items or none: the rest comes with the next ones.
    """

    items: list[Any]
    next_token: str
    revision: int
    total: int | None


class Table(Protocol):
    """What can be listed: records by name, and what a client sees of one."""

    def records(self) -> tuple[int, list[tuple[str, bytes, int]]]:
        """The revision, and every (name, value, revision), ascending by name."""

    def message(self, name: str, value: bytes, mod: int) -> Any: ...
    def passes(self, wanted: Any) -> Callable[[Any], bool]:
        """Whether a message passes the filter, its ``name_prefix`` aside."""


class Listing:
    """Serves pages of a table, all of one list as of one moment."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lists: OrderedDict[int, tuple[int, list[tuple[str, bytes, int]]]] = OrderedDict()
        self._numbers = count(1)

    def page(self, wanted: Any, size: int, token: str) -> Page:
        """One page of what passes the filter ``wanted``. Raises ListGone."""
        number, at = _parse(token) if token else (next(self._numbers), 0)
        if not token:
            revision, records = self._table.records()
            self._lists[number] = revision, _named(records, wanted.name_prefix)
            if len(self._lists) > LISTS_KEPT:
                self._lists.popitem(last=False)
        if number not in self._lists:
            raise ListGone
        revision, records = self._lists[number]
        passes = self._table.passes(wanted)
        page: list[Any] = []
        size = min(size or PAGE, PAGE_MOST)
        last = min(len(records), at + LOOKED_AT_MOST)
        while at < last and len(page) < size:
            name, value, mod = records[at]
            at += 1
            if passes(message := self._table.message(name, value, mod)):
                page.append(message)
        if at >= len(records):
            del self._lists[number]
            next_token = ""
        else:
            next_token = base64.urlsafe_b64encode(json.dumps([number, at]).encode()).decode()
        has_filter = wanted.ByteSize() > 0
        return Page(page, next_token, revision, None if has_filter else len(records))


def _named(records: list[tuple[str, bytes, int]], prefix: str) -> list[tuple[str, bytes, int]]:
    """Those of ``records``, which ascend by name, whose name begins with ``prefix``."""
    first = bisect_left(records, prefix, key=lambda record: record[0])
    after = bisect_left(records, True, lo=first, key=lambda record: not record[0].startswith(prefix))
    return records[first:after]


def _parse(token: str) -> tuple[int, int]:
    try:
        number, at = json.loads(base64.urlsafe_b64decode(token))
        return int(number), max(0, int(at))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ListGone from error
