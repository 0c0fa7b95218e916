"""Pairs and keys as etcd has them, and back."""

from __future__ import annotations

from typing import Any, Final

from meshcore.kv import Pair

ALL: Final = b"\0"
"""As ``range_end``: every key from the start on."""


def to_bytes(key: str) -> bytes:
    """A key as etcd stores it: UTF-8, and bytes that are not (others may have written them) as they were."""
    return key.encode("utf-8", "surrogateescape")


def to_text(key: bytes) -> str:
    """The way back from ``to_bytes``."""
    return key.decode("utf-8", "surrogateescape")


def range_of(prefix: str) -> tuple[bytes, bytes]:
    """The first key with ``prefix``, and the first key after all of them."""
    first = to_bytes(prefix)
    rest = first.rstrip(b"\xff")  # nothing can be counted up behind these
    end = rest[:-1] + bytes([rest[-1] + 1]) if rest else ALL
    return first or b"\0", end


def to_pair(found: Any) -> Pair:
    """An etcd KeyValue as a Pair."""
    return Pair(to_text(found.key), found.value, found.mod_revision, found.create_revision, found.lease)
