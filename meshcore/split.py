"""Which of several models answers a request for one virtual model: each by its weight, in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import log

from meshcore.errors import InvalidRequest

WHOLE = 100
"""What weights add up to."""
MOST_TARGETS = 16
"""Models in one split: each is looked at for each request."""

_MASK = (1 << 64) - 1
_UNIT = 2.0**-53


def checked(vmodel: str, targets: Iterable[tuple[str, int]]) -> dict[str, int]:
    """``{model: weight}`` of what was asked for, (model, weight) each; raises InvalidRequest, which says why not."""
    weights: dict[str, int] = {}
    for model, weight in targets:
        if not model:
            raise InvalidRequest(f"Must provide target modelId for vmodel {vmodel}")
        if model in weights:
            raise InvalidRequest(f"vmodel {vmodel}: target {model} is named twice; give it one weight")
        if not 1 <= weight <= WHOLE:
            raise InvalidRequest(
                f"vmodel {vmodel}: the weight of target {model} is {weight}; "
                f"weights are whole percentages from 1 to {WHOLE}, and a model that is to get nothing is left out"
            )
        weights[model] = weight
    if not weights:
        raise InvalidRequest(f"Must provide target modelId for vmodel {vmodel}")
    if len(weights) > MOST_TARGETS:
        raise InvalidRequest(f"vmodel {vmodel} has {len(weights)} targets; {MOST_TARGETS} are the most")
    total = sum(weights.values())
    if total != WHOLE:
        shown = " + ".join(str(weight) for weight in weights.values())
        raise InvalidRequest(f"vmodel {vmodel}: the weights add up to {total} ({shown}) and not to {WHOLE}")
    return weights


def heaviest(weights: Mapping[str, int]) -> str:
    """The model with the greatest weight, of equal ones the first by name: who knows but one target sees this one."""
    return min(weights, key=lambda model: (-weights[model], model))


@dataclass(frozen=True, slots=True)
class Split:
    """Models with their weights, ready to be drawn from."""

    shares: tuple[tuple[str, int, int], ...]
    """Model, weight and what the model's name does to a point, by name."""

    @classmethod
    def of(cls, weights: Mapping[str, int]) -> Split:
        """The split of ``{model: weight}``, in whatever order and sum."""
        return cls(tuple((model, weights[model], point_of(model.encode())) for model in sorted(weights)))


def point_of(value: bytes) -> int:
    """Where a value stands among all, as 64 bits: the same in every process and on every instance."""
    return int.from_bytes(blake2b(value, digest_size=8).digest())


def pick(split: Split, point: int) -> str:
    """The model that answers for ``point`` (64 bits); over all points each has its weight's share of them.

    The models race for the point: each draws a time from the point and its own name, which is shorter the heavier it
    is, and the first one wins. Nobody's time depends on who else runs. So a point changes its model only from one to
    another that has gained weight on it: from 90/10 to 80/20 ten points in a hundred do, all from the first model to
    the second; and a third model that takes its share from the others alike moves nothing between them.
    """
    return min(split.shares, key=lambda share: _time(point ^ share[2]) / share[1])[0]


def _time(bits: int) -> float:
    """An exponentially distributed time from 64 bits, however alike those of other draws are."""
    bits = (bits + 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _MASK
    return -log(((bits ^ bits >> 31) >> 11) * _UNIT + _UNIT / 2)
