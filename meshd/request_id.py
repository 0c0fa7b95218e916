"""The id that a request keeps on its way through the mesh, and what of its headers stands in log lines."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "mm-i-request"
"""Carries the id from one instance to the next."""
CLIENT_HEADER = "x-request-id"
"""Carries the id that a client, or a proxy before it, gave its request."""
SANE = re.compile(r"[A-Za-z0-9._:/+=@~-]{1,128}")
"""What may stand in every log line of a request, whoever sent it."""
MADE_BYTES = 6
MOST_CHARACTERS = 256
"""Of a header's value in a log line."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Taken:
    id: str
    metadata: tuple[tuple[str, str | bytes], ...]


TAKEN: ContextVar[_Taken | None] = ContextVar("request", default=None)
"""The request that the running task works for."""


def take(metadata: Iterable[tuple[str, str | bytes]], header: str = CLIENT_HEADER) -> str:
    """Have the running task, and tasks it starts from now on, work for the request with this metadata.

    Returns the request's id: the one in ``header`` if it is sane, else a new one.
    """
    kept = tuple(metadata)
    given = (value for key, value in kept if key == header)
    found = next((value for value in given if isinstance(value, str) and SANE.fullmatch(value)), "")
    request = found or secrets.token_hex(MADE_BYTES)
    TAKEN.set(_Taken(request, kept))
    return request


def current() -> str:
    """The id of the request that the running task works for; empty: it works for none."""
    taken = TAKEN.get()
    return taken.id if taken else ""


def logged(headers: Pairs) -> dict[str, str]:
    """By key, the values of those ``headers`` (pairs of a header and a key) that the current request has."""
    taken = TAKEN.get()
    if taken is None or not headers:
        return {}
    values = dict(taken.metadata)  # the last of several
    return {key: _text(values[header]) for header, key in headers if header in values}


def _text(value: str | bytes) -> str:
    return (value.decode(errors="replace") if isinstance(value, bytes) else value)[:MOST_CHARACTERS]
