"""Which instance loads a model: the head of the placement order, thinned out, and a draw among what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from meshcore.order import Ranked, why_no_loads
from meshcore.reasons import Candidate, Reason, Rejected, Rule, trimmed
from meshcore.units import age_ms
from meshcore.view import ClusterView

SHORTLIST = 64
"""Candidates looked at, at most."""
RANGE_MS = 45_000
"""Full instances this much behind the best in age of their least recently used model are as good."""
RANGE_COUNT = 10
"""Instances with fewer models than this are not told apart by their number of models."""
QUIET_RPM = 100
"""An instance with fewer requests a minute than this is not busy."""
BUSY_LIMITS = (
    (-1_000, 11, 10),
    (5_000, 15, 10),
    (720_000, 3, 1),
    (86_400_000, 4, 1),
)
"""For a model last used less than this many ms ago (negative: another copy for a busy one): how many times the least
busy candidate's requests a minute, as a fraction, a candidate may have. For models not used in a day any number."""


@dataclass(frozen=True, slots=True)
class Want:
    """A load that needs a place."""

    model: str
    type: str
    size_units: int
    """What it will take, in cache units; 0: not known."""
    last_used: int = 0
    """The instant it counts as used at, which may lie in the future; 0: now."""
    exclude: Mapping[str, Rejected] = field(default_factory=dict)
    """Instances that may not be chosen, and why."""
    is_balanced: bool = False
    """Requests come spread over the instances, so this one's turn is as good as another's."""


@dataclass(slots=True)
class _Met:
    """What was met on the way through the order, in that order, and why it was passed over."""

    entries: list[Ranked] = field(default_factory=list)
    rejected: dict[str, Rejected] = field(default_factory=dict)


def choose(view: ClusterView, want: Want, now: int, rng: Random) -> tuple[str | None, Reason]:
    """The instance (this one included) that shall load ``want``, or None if none can; and why.

    A candidate takes loads, is not excluded, large enough and, unless no other is left, not ejected. The first in the
    placement order and those in its range make the shortlist; of these the much busier ones are dropped. A balanced
    request stays here if this instance is still among them. Else two are drawn and the one with fewer loads in
    progress per load thread is taken, those on their way counted; equal: the one drawn first, so that instances whose
    views are equally stale do not all choose the same.

    All instances see much the same order, and see it late. If each took its head, or one of the shortlist at random
    whatever its queue, loads would pile up on a few; the better of two spreads them without fresher news
    (docs/design.md, placement; D-04, D-08, D-24).

    Nothing beyond the shortlist's range is looked at; where nobody can be chosen, that is every instance.
    """
    view.expire(now)
    shortlist, met = _shortlist(view, want, now, lambda instance: view.health.is_ok(instance, now))
    if not shortlist:
        shortlist, met = _shortlist(view, want, now, lambda instance: True)
    if not shortlist:
        return None, _nobody(view, want, met)
    ago_ms = now - want.last_used if want.last_used else 0
    left = _not_busy(shortlist, ago_ms, met)
    chosen, cause = _pick(left, view.me if want.is_balanced else None, rng, met)
    inputs: dict[str, int | str] = {
        "type": want.type,
        "size_units": want.size_units,
        "ago_ms": ago_ms,
        "balanced": int(want.is_balanced),
        "best_full": int(shortlist[0].is_full),
        "shortlist": len(shortlist),
        "instances": len(view.order),
    }
    return chosen.id, _reason(view, want, met, chosen.id, cause, inputs)


def _shortlist(
    view: ClusterView, want: Want, now: int, is_reachable: Callable[[str], bool]
) -> tuple[list[Ranked], _Met]:
    shortlist: list[Ranked] = []
    met = _Met()
    for entry in view.order.walk(now):
        met.entries.append(entry)
        rejected = want.exclude.get(entry.id)
        if rejected is None:
            rejected = _unfit(entry, want, is_reachable)
        if rejected is None and shortlist and not _is_in_range(entry, shortlist[0], now):
            met.rejected[entry.id] = Rejected.OUT_OF_RANGE
            break
        if rejected is not None:
            met.rejected[entry.id] = rejected
            continue
        shortlist.append(entry)
        if len(shortlist) == SHORTLIST:
            break
    return shortlist, met


def _unfit(entry: Ranked, want: Want, is_reachable: Callable[[str], bool]) -> Rejected | None:
    if entry.record.capacity_units < max(1, want.size_units):
        return Rejected.TOO_SMALL
    return None if is_reachable(entry.id) else Rejected.UNREACHABLE


def _is_in_range(entry: Ranked, best: Ranked, now: int) -> bool:
    """Whether ``entry`` is about as good as ``best``, each judged by its own record (D-08).

    A full best: by how much more recently the least recently used model, which would go, was used. Else: not full,
    at least a quarter of the free space, and not many more models.
    """
    if best.is_full:
        behind_ms = age_ms(best.record.lru_ms, entry.record.lru_ms)
        return behind_ms <= max(RANGE_MS, age_ms(best.record.lru_ms, now) // 10)
    if entry.is_full or entry.free_units < best.free_units // 4:
        return False
    return entry.count < RANGE_COUNT or entry.count <= best.count + best.count // 4


def _not_busy(shortlist: list[Ranked], ago_ms: int, met: _Met) -> list[Ranked]:
    """``shortlist`` without those that answer many more requests a minute than the least busy of them."""
    limit = next(((times, of) for below_ms, times, of in BUSY_LIMITS if ago_ms < below_ms), None)
    if limit is None:
        return shortlist
    most = max(QUIET_RPM, min(entry.record.rpm for entry in shortlist)) * limit[0] // limit[1]
    left = []
    for entry in shortlist:
        if entry.record.rpm > most:
            met.rejected[entry.id] = Rejected.BUSY
        else:
            left.append(entry)
    return left


def _pick(left: list[Ranked], me: str | None, rng: Random, met: _Met) -> tuple[Ranked, str]:
    """One of ``left``, and why; always two calls of ``rng.random()`` where there is a draw."""
    count = len(left)
    if count == 1:
        return left[0], "the only one left"
    for entry in left:
        met.rejected[entry.id] = Rejected.NOT_DRAWN
    here = next((entry for entry in left if entry.id == me), None)
    if here is not None:
        return _chosen(here, met), "balanced, and this instance is on the shortlist"
    i, j = int(rng.random() * count), int(rng.random() * (count - 1))
    j += j >= i
    first, second = left[i], left[j]
    if second.load_permille < first.load_permille:
        first, second = second, first
    met.rejected[second.id] = Rejected.OUTSTANDING
    return _chosen(first, met), "fewer loads per load thread, or drawn first, of two drawn"


def _chosen(entry: Ranked, met: _Met) -> Ranked:
    del met.rejected[entry.id]
    return entry


def _reason(
    view: ClusterView, want: Want, met: _Met, chosen: str, cause: str, inputs: Mapping[str, int | str]
) -> Reason:
    """The scores are loads per load thread in thousandths, place in the order, and the key that gave this place."""
    candidates = [
        Candidate(entry.id, (entry.load_permille, place, *entry.key[:-1]), met.rejected.get(entry.id))
        for place, entry in enumerate(met.entries)
    ]
    candidates.sort(key=_telling)
    listed, more = trimmed(candidates)
    more += len(view.order) - len(candidates)
    return Reason(Rule.PLACE, want.model, chosen, cause, view.revision, inputs, listed, more)


def _telling(candidate: Candidate) -> int:
    """The chosen one first, then what it was weighed against: neither may be among those left out."""
    if candidate.rejected is None:
        return 0
    return 1 if candidate.rejected is Rejected.OUTSTANDING else 2


def _nobody(view: ClusterView, want: Want, met: _Met) -> Reason:
    counts: dict[str, int] = {}
    for rejected in met.rejected.values():
        counts[rejected.value] = counts.get(rejected.value, 0) + 1
    for instance, record in view.instances():
        if why := why_no_loads(record, instance == view.me):
            counts[why] = counts.get(why, 0) + 1
    if view.bad:
        counts["unreadable"] = len(view.bad)
    told = ", ".join(f"{count} {why}" for why, count in counts.items()) or "there is none"
    inputs: dict[str, int | str] = {"type": want.type, "size_units": want.size_units, **counts}
    return _reason(view, want, met, "", f"no instance can load it: {told}", inputs)
