"""Sizes, times and names as people write and read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmctl.errors import Usage

_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgtp", start=1)
    for suffix, base in (("ib", 1024), ("i", 1024), ("b", 1000), ("", 1000))
}
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def parse_size(text: str | int) -> int:
    """Bytes of ``50MiB``, ``1.5 GB``, ``64Mi`` or a plain number; Usage says what is allowed."""
    match = _SIZE.fullmatch(str(text))
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise Usage(f"{text!r} is not a size: write a number of bytes or one with a unit, as 50MiB or 1.5GB")
    whole, _, fraction = match[1].partition(".")
    size_bytes = int(whole) * factor
    if fraction:
        size_bytes += int(fraction) * factor // 10 ** len(fraction)
    if size_bytes >= 2**63:
        raise Usage(f"{text!r} is not a size: that is more than 8 EiB")
    return size_bytes


def parse_ms(option: str, text: str) -> int:
    """Milliseconds in what an option says, as 500ms, 60s, 2m, 1h or 1d; Usage says what is allowed."""
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text, re.ASCII)
    if match is None or not int(match[1]):
        raise Usage(f"{option} {text!r}: write a whole number above 0 and ms, s, m, h or d, as 60s")
    return int(match[1]) * _UNITS_MS[match[2]]


def human_size(size_bytes: int) -> str:
    """Three digits or so: ``512 B``, ``1.5 MiB``, ``12 GiB``."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1023.5 or unit == "PiB":
            break
        amount /= 1024
    digits = 0 if amount >= 9.95 else 1
    return f"{f'{amount:.{digits}f}'.removesuffix('.0')} {unit}"


def human_age(then_ms: int, now_ms: int) -> str:
    """How long ago: ``now``, ``42s``, ``5m``, ``3h``, ``12d``; ``-`` for an instant that is not known."""
    if then_ms <= 0:
        return "-"
    seconds = max(0, now_ms - then_ms) // 1000
    for limit, unit_s, letter in ((100, 1, "s"), (6000, 60, "m"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit_s}{letter}" if seconds else "now"
    return f"{seconds // 86_400}d"


def printable(text: str) -> str:
    """``text`` without characters that would move the cursor: a name may hold anything, also a line break."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 model``, ``1,000 models``; ``plural`` where it is not ``noun`` with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def shortened(texts: Sequence[str], limit: int = 3) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(printable(text) for text in texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit:,} more"
