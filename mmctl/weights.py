"""Targets of a virtual model as they are written on a command line: NAME, or NAME=PERCENT for each of several."""

from __future__ import annotations

import re
from collections.abc import Sequence

from meshcore.errors import InvalidRequest
from meshcore.split import WHOLE, checked
from mmctl.errors import Usage

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?%?", re.ASCII)


def parse_targets(vmodel: str, given: Sequence[str]) -> dict[str, int]:
    """``{model: weight}``; raises Usage, which says what is wrong.

    The weight stands behind the last ``=``, so a name may have others; one that ends like a weight needs a weight.
    """
    targets = [_parsed(text, len(given) == 1) for text in given]
    try:
        return checked(vmodel, targets)
    except InvalidRequest as error:
        raise Usage(error.text) from None


def _parsed(text: str, is_alone: bool) -> tuple[str, int]:
    name, mark, weight = text.rpartition("=")
    if mark and _NUMBER.fullmatch(weight):
        try:
            return name, int(weight)
        except ValueError:
            raise Usage(f"--target {text}: the weight is {weight}, and has to be a whole number of percent") from None
    if is_alone:
        return text, WHOLE
    raise Usage(f"--target {text}: where there are several, each has its share: --target {text}=PERCENT")
