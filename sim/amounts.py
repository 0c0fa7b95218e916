"""The kinds of values that a scenario has, each with its bounds; bytes are a number, or text with a unit."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""How every part of a scenario is read."""

WholeMillis = Annotated[int, Field(ge=1, le=86_400_000)]
"""A delay of the world: whole milliseconds, as the rules count time."""

Spread = Annotated[float, Field(ge=0, le=10)]
"""A standard deviation, as a part of the mean."""

Factor = Annotated[float, Field(gt=0, le=1000)]

Seconds = Annotated[float, Field(gt=0, le=31_622_400)]
"""A length of time, at most a year."""

PerSecond = Annotated[float, Field(ge=1e-9, le=1_000_000)]
"""How often something happens."""

Name = Annotated[str, Field(min_length=1)]
"""Of a type of models, a label or a zone."""

_FACTORS = {"": 1, "B": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("iB", 1024), ("B", 1000))
}
_SIZE = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)")


def parse_bytes(amount: object) -> object:
    """Bytes of ``64 MiB``, ``1.5GB`` or a whole number; ValueError says what is allowed. Others pass as they are."""
    if not isinstance(amount, str):
        return amount
    match = _SIZE.fullmatch(amount.strip())
    factor = _FACTORS.get(match[2]) if match else None
    if match is None or factor is None:
        raise ValueError("must be a number of bytes, or one with a unit: B, KB, KiB, MB, MiB, GB, GiB, TB, TiB")
    whole, _, fraction = match[1].partition(".")
    if fraction and factor == 1:
        raise ValueError("must be a whole number of bytes where it has no larger unit")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=1, le=2**62)]
"""A size of at least one byte."""
