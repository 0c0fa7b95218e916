"""Where other rules than ours place loads: by chance, and as ModelMesh does by its code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from meshcore.order import why_no_loads
from meshcore.placement import Want
from meshcore.reasons import Candidate, Reason, Rejected, Rule, trimmed
from meshcore.records import InstanceRecord
from meshcore.view import ClusterView

DAYS_5_MS = 432_000_000


def by_chance(view: ClusterView, want: Want, now: int, rng: Random) -> tuple[str | None, Reason]:
    """Any instance that can hold the model, all with the same probability."""
    fit = list(_fit(view, want))
    chosen = fit[int(rng.random() * len(fit))] if fit else None
    return chosen, _reason(want, view, chosen, fit, "drawn")


def as_coded(view: ClusterView, want: Want, now: int, rng: Random) -> tuple[str | None, Reason]:
    """As ModelMesh chooses by its code, but for preferred labels: the required ones alone count.

    One order for all by the records that were published; the version always decides first. What follows the best in it
    is compared by this instance's own record instead of its own, but for the number of models, so that the shortlist is
    the best alone or nearly everybody; a uniform draw ends it. Nothing that is on its way is taken into account.
    """
    records = {instance: record for instance, record in view.instances() if instance in set(_fit(view, want))}
    if not records:
        return None, _reason(want, view, None, [], "nobody")
    mine = view.instance(view.me) or InstanceRecord()
    least = mine.min_space_units
    order = sorted(records, key=lambda instance: _rank(instance, records[instance], least))
    best = records[order[0]]
    if want.is_balanced and order[0] == view.me:
        return view.me, _reason(want, view, view.me, order, "balanced, and the best")
    shortlist = order[:1]
    for instance in order[1:]:
        judged_by = best if instance == view.me else mine
        if not _is_in_range(best, judged_by, records[instance].count, least, now):
            break
        if want.is_balanced and instance == view.me:
            return view.me, _reason(want, view, view.me, order, "balanced, and on the shortlist")
        shortlist.append(instance)
    left = _not_busy(shortlist, {shortlist[0]: best.rpm}, now - want.last_used if want.last_used else 0)
    chosen = left[int(rng.random() * len(left))]
    return chosen, _reason(want, view, chosen, shortlist, "drawn from the shortlist")


def _fit(view: ClusterView, want: Want) -> Iterator[str]:
    """Instances that take loads of the type, may be chosen and are large enough, ascending by id."""
    for instance, record in view.instances():
        can_hold = record.capacity_units >= max(1, want.size_units) and view.may_load(instance, want.type)
        if can_hold and instance not in want.exclude and not why_no_loads(record, instance == view.me):
            yield instance


def _rank(instance: str, record: InstanceRecord, least: int) -> tuple[int | str, ...]:
    free, is_full = record.free_units, record.free_units < least
    head = (record.lru_ms, record.count, -free, 0) if is_full else (record.count, -free, record.lru_ms, 0)
    loads = record.loads_in_progress
    tail = (loads - record.load_threads, loads, -record.capacity_units, record.rpm, instance)
    return (-record.version, int(is_full), *head, *tail)


def _is_in_range(best: InstanceRecord, judged_by: InstanceRecord, count: int, least: int, now: int) -> bool:
    if best.free_units < least:
        behind_ms = judged_by.lru_ms - best.lru_ms
        return behind_ms <= 45_000 or behind_ms <= (now - best.lru_ms) // 10
    if judged_by.free_units < least or judged_by.free_units < best.free_units // 4:
        return False
    return count < 10 or count <= best.count + best.count // 4


def _not_busy(shortlist: list[str], rpms: Mapping[str, int], ago_ms: int) -> list[str]:
    if len(shortlist) == 1 or ago_ms >= DAYS_5_MS:
        return shortlist
    limits = ((-1_000, 11, 10), (5_000, 15, 10), (720_000, 3, 1), (86_400_000, 4, 1))
    limit = next(((times, of) for below_ms, times, of in limits if ago_ms < below_ms), None)
    if limit is None:
        return shortlist
    most = 100 * limit[0] // limit[1]  # the others' requests are taken to be none
    return [instance for instance in shortlist if rpms.get(instance, 0) <= most]


def _reason(want: Want, view: ClusterView, chosen: str | None, met: list[str], cause: str) -> Reason:
    others = [Candidate(instance, (), Rejected.NOT_DRAWN) for instance in met if instance != chosen]
    candidates, more = trimmed([*([Candidate(chosen)] if chosen else []), *others])
    inputs: dict[str, int | str] = {"type": want.type, "size_units": want.size_units}
    return Reason(Rule.PLACE, want.model, chosen or "", cause, view.revision, inputs, candidates, more)


def never(view: ClusterView, want: Want, now: int) -> None:
    """No target declines."""
