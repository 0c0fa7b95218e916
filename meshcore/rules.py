"""The rules that can be exchanged for others, as one bundle; an instance's default is ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from meshcore import eviction, hot, placement, scale_down, scale_up, second_copy
from meshcore.commands import Route
from meshcore.meter import Meter
from meshcore.placement import Want
from meshcore.ranking import ByAge, EvictOrder, Ranking
from meshcore.reasons import Reason
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.totals import Totals
from meshcore.view import ClusterView

Place = Callable[[ClusterView, Want, int, Random], tuple[str | None, Reason]]
Outdone = Callable[[ClusterView, Want, int], Reason | None]
Balance = Callable[[Route, str, bool, Mapping[str, int], Callable[[str], bool], Random], hot.Choice | str]
MakeRanking = Callable[[EvictOrder], Ranking]
IsUsedRegularly = Callable[[Meter, int, Settings], bool]
SecondCopy = Callable[[Standing, Settings], str]
ScaleUp = Callable[[Standing, Settings], int]
ScaleDown = Callable[[Standing, Settings], str]
IsMemoryWanted = Callable[[Totals], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """Alternatives plug in here and nowhere else."""

    place: Place = placement.choose
    outdone: Outdone = placement.outdone
    balance: Balance = hot.decide
    """Where there are fewer than two holders it chooses as ``hot.alone`` does, and may not be asked."""
    evict_order: EvictOrder = eviction.lru_order
    ranking: MakeRanking = ByAge
    """Makes what each cache keeps its order of eviction in; only one by age goes by ``evict_order``."""
    is_used_regularly: IsUsedRegularly = second_copy.use
    """Is asked of every copy after each period in which it was used, and keeps in its meter what it goes by."""
    second_copy: SecondCopy = second_copy.is_due
    scale_up: ScaleUp = scale_up.further
    is_memory_wanted: IsMemoryWanted = scale_down.is_memory_wanted
    """Where it says no, ``scale_down`` is not asked."""
    scale_down: ScaleDown = scale_down.cause


def with_eviction(policy: str) -> Rules:
    """The default with the policy of that name, one of ``eviction.EVICT_ORDERS``."""
    return Rules(evict_order=eviction.EVICT_ORDERS[policy])
