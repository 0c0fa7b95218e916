"""Which instance loads a model: the head of the placement order, thinned out, and a draw among what is left."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from meshcore.constraints import Partition
from meshcore.order import Ranked, why_no_loads
from meshcore.reasons import Candidate, Reason, Rejected, Rule, trimmed
from meshcore.records import InstanceRecord
from meshcore.units import age_ms
from meshcore.view import ClusterView

SHORTLIST = 64
"""Candidates looked at, at most."""
RANGE_MS = 45_000
"""Full instances this much behind the best in age of their least recently used model are as good."""
PREFERRED_RANGE_MS = 120_000
"""Full instances that are a better place for the type may be this much behind."""
RANGE_COUNT = 10
"""Instances with fewer models than this are not told apart by their number of models."""
ROOMY = 8
"""An instance with this many times the space below which it is full is as good as any with more."""
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

_Range = Callable[[Ranked, Ranked, int], bool]
"""Whether the second is as good as the first of a shortlist, at an instant."""


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

    entries: dict[str, Ranked] = field(default_factory=dict)
    rejected: dict[str, Rejected] = field(default_factory=dict)


def choose(view: ClusterView, want: Want, now: int, rng: Random) -> tuple[str | None, Reason]:
    """The instance (this one included) that shall load ``want``, or None if none can; and why.

    A candidate takes loads, has the labels that the type requires, is not excluded, large enough and, unless no other
    is left, neither of a replica set that is being replaced (D-18) nor ejected. The first in the placement order and
    those in its range make the shortlist; if there are better places for the type, and the first of them comes near
    enough, the shortlist is made of these alone. The much busier ones are dropped, then those in a zone that has a
    copy, then those on a node that has one, as long as that leaves anybody. A balanced request stays here if this
    instance is still among them. Else it is the one that has the fewest loads per load thread with this one, those on
    their way counted; of equals one is drawn, so that instances that see the same do not all choose the same.

    All instances see much the same order, and see it late. Loads that many of them send at once pile up all the same
    where chance has it: who gets more than others declines (``outdone``; docs/design.md, placement; D-04, D-08, D-24).

    Nothing beyond the shortlist's range is looked at; where nobody can be chosen, that is every candidate.
    """
    view.expire(now)
    search = _Search(view, want, now)
    left = search.left()
    if not left:
        return None, _nobody(search)
    chosen, cause = _pick(left, view.me if want.is_balanced else None, rng, search.met)
    inputs: dict[str, int | str] = {
        "type": want.type,
        "size_units": want.size_units,
        "ago_ms": search.ago_ms,
        "balanced": int(want.is_balanced),
        "best_full": int(search.shortlist[0].is_full),
        "shortlist": len(search.shortlist),
        "instances": len(view.order),
        **search.passed_over(),
    }
    return chosen.id, _reason(view, want, search.met, chosen.id, cause, inputs)


def outdone(view: ClusterView, want: Want, now: int) -> Reason | None:
    """Why this instance had better not load what it was asked to, with whom it would leave that to; None: it may.

    It looks at those that are left for the choice, as whoever asked did, and knows its own loads better (D-04): it has
    become full and the first of them is not, or has loads under way and one of them would have fewer per load thread.
    """
    view.expire(now)
    mine, search = view.order.get(view.me), _Search(view, want, now)
    left = search.left()
    if mine is None or not left:
        return None
    best, cause = left[0], "it has become full here"
    if not mine.is_full or best.is_full:
        best, cause = min(left, key=_next_load), "more loads are under way here"
        if not mine.loads or _next_load(best) >= _next_load(mine):
            return None
    inputs = {"loads_permille": mine.load_permille, "its_loads_permille": best.load_permille}
    return Reason(Rule.DECLINE, want.model, best.id, cause, view.revision, inputs)


class _Search:
    """Makes the shortlist for one load."""

    def __init__(self, view: ClusterView, want: Want, now: int) -> None:
        self.view, self.want, self.now = view, want, now
        self.ago_ms = now - want.last_used if want.last_used else 0
        self.met = _Met()
        self.shortlist: list[Ranked] = []
        self._eligible = view.partitions.eligible(want.type)
        self._takes_replaced = self._takes_unreachable = False

    def left(self) -> list[Ranked]:
        """Those that are left for the choice, best first; empty: nobody can load it."""
        for self._takes_replaced, self._takes_unreachable in ((False, False), (True, False), (True, True)):
            self.met = _Met()
            self.shortlist = self._preferred() or self._in_range(self._eligible.candidates, _is_in_range)
            if self.shortlist:
                return _elsewhere(self.view, self.want, _not_busy(self.shortlist, self.ago_ms, self.met), self.met)
        return []

    def passed_over(self) -> dict[str, int]:
        """How many instances were not looked at for their labels, or as their replica set is being replaced."""
        order, candidates = self.view.order, self._eligible.candidates
        replaced = order.count(candidates, is_replaced=True)
        lacking = len(order) - replaced - order.count(candidates, is_replaced=False)
        told = {"lacking_labels": lacking, "replaced": 0 if self._takes_replaced else replaced}
        return {name: count for name, count in told.items() if count}

    def _preferred(self) -> list[Ranked]:
        """The shortlist among the better places for the type; empty: there are none, or they are no better now."""
        if not self._eligible.preferred:
            return []
        best = next(self._fit(self._eligible.candidates), None)
        first = next(self._fit(self._eligible.preferred), None)
        if best is None or first is None:
            return []
        if best.partition in self._eligible.preferred or not first.is_full:
            return self._in_range(self._eligible.preferred, _is_in_range)
        self._meet(best, Rejected.NOT_PREFERRED)
        if not best.is_full:
            return []
        return self._in_range(self._eligible.preferred, partial(_is_near, best))

    def _in_range(self, among: Container[Partition], is_in_range: _Range) -> list[Ranked]:
        shortlist: list[Ranked] = []
        for entry in self._fit(among):
            if not is_in_range(shortlist[0] if shortlist else entry, entry, self.now):
                self._meet(entry, Rejected.OUT_OF_RANGE)
                break
            shortlist.append(entry)
            if len(shortlist) == SHORTLIST:
                break
        return shortlist

    def _fit(self, among: Container[Partition]) -> Iterator[Ranked]:
        """Those that can load it, best first."""
        for entry in self.view.order.walk(self.now, among, self._takes_replaced):
            rejected = self.want.exclude.get(entry.id) or self._unfit(entry)
            self._meet(entry, rejected)
            if rejected is None:
                yield entry

    def _meet(self, entry: Ranked, rejected: Rejected | None) -> None:
        self.met.entries.setdefault(entry.id, entry)
        if rejected is None:
            self.met.rejected.pop(entry.id, None)
        else:
            self.met.rejected[entry.id] = rejected

    def _unfit(self, entry: Ranked) -> Rejected | None:
        if entry.record.capacity_units < max(1, self.want.size_units):
            return Rejected.TOO_SMALL
        is_reachable = self._takes_unreachable or self.view.health.is_ok(entry.id, self.now)
        return None if is_reachable else Rejected.UNREACHABLE


def _is_in_range(best: Ranked, entry: Ranked, now: int) -> bool:
    """Whether ``entry`` is about as good as ``best``, each judged by its own record (D-08).

    A full best: by how much more recently the least recently used model, which would go, was used. Else: not full,
    at least a quarter of the free space, and not many more models.
    """
    if best.is_full:
        behind_ms = age_ms(best.record.lru_ms, entry.record.lru_ms)
        return behind_ms <= max(RANGE_MS, age_ms(best.record.lru_ms, now) // 10)
    if entry.is_full or entry.free_units < min(best.free_units // 4, ROOMY * entry.record.min_space_units):
        return False
    return entry.count < RANGE_COUNT or entry.count <= best.count + best.count // 4


def _is_near(best: Ranked, _: Ranked, entry: Ranked, now: int) -> bool:
    """Whether a preferred ``entry`` is near enough to a ``best`` that is full and not preferred."""
    behind_ms = age_ms(best.record.lru_ms, entry.record.lru_ms)
    return behind_ms <= max(PREFERRED_RANGE_MS, age_ms(best.record.lru_ms, now) // 4)


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


def _elsewhere(view: ClusterView, want: Want, left: list[Ranked], met: _Met) -> list[Ranked]:
    """``left`` without those in a zone that has a copy, then without those on a node that has one, while any remain."""
    holders = [view.instance(instance) for instance, why in want.exclude.items() if why is Rejected.HOLDS]
    for where, rejected in ((_zone, Rejected.ZONE), (_node, Rejected.NODE)):
        taken = {where(record) for record in holders if record is not None} - {""}
        apart = [entry for entry in left if where(entry.record) not in taken]
        if apart:
            met.rejected |= {entry.id: rejected for entry in left if where(entry.record) in taken}
            left = apart
    return left


def _zone(record: InstanceRecord) -> str:
    return record.zone


def _node(record: InstanceRecord) -> str:
    return record.location


def _pick(left: list[Ranked], me: str | None, rng: Random, met: _Met) -> tuple[Ranked, str]:
    """One of ``left``, and why; one call of ``rng.random()`` where there is a draw."""
    count = len(left)
    if count == 1:
        return left[0], "the only one left"
    for entry in left:
        met.rejected[entry.id] = Rejected.NOT_DRAWN
    here = next((entry for entry in left if entry.id == me), None)
    if here is not None:
        return _chosen(here, met), "balanced, and this instance is on the shortlist"
    least = min(map(_next_load, left))
    alike = [entry for entry in left if _next_load(entry) == least]
    met.rejected |= {entry.id: Rejected.OUTSTANDING for entry in left if _next_load(entry) > least}
    if len(alike) == 1:
        return _chosen(alike[0], met), "fewest loads per load thread"
    return _chosen(alike[int(rng.random() * len(alike))], met), "drawn from those with the fewest loads per load thread"


def _next_load(entry: Ranked) -> int:
    """Loads per load thread, in thousandths, with one load more."""
    return (entry.loads + 1) * 1000 // max(1, entry.record.load_threads)


def _chosen(entry: Ranked, met: _Met) -> Ranked:
    del met.rejected[entry.id]
    return entry


def _reason(
    view: ClusterView, want: Want, met: _Met, chosen: str, cause: str, inputs: Mapping[str, int | str]
) -> Reason:
    """The scores are loads per load thread in thousandths, place in the order, and the key that gave this place."""
    candidates = [
        Candidate(entry.id, (entry.load_permille, place, *entry.key[:-1]), met.rejected.get(entry.id))
        for place, entry in enumerate(met.entries.values())
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


def _nobody(search: _Search) -> Reason:
    view, want = search.view, search.want
    counts: dict[str, int] = {}
    for rejected in search.met.rejected.values():
        counts[rejected.value] = counts.get(rejected.value, 0) + 1
    counts |= {name.replace("_", " "): count for name, count in search.passed_over().items()}
    for instance, record in view.instances():
        if why := why_no_loads(record, instance == view.me):
            counts[why] = counts.get(why, 0) + 1
    if view.bad:
        counts["unreadable"] = len(view.bad)
    told = ", ".join(f"{count} {why}" for why, count in counts.items()) or "there is none"
    inputs: dict[str, int | str] = {"type": want.type, "size_units": want.size_units, **counts}
    return _reason(view, want, search.met, "", f"no instance can load it: {told}", inputs)
