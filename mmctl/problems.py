"""What is wrong with a mesh, told from what was seen of it: each problem says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from shlex import quote

from meshcore.census import Counted
from mmctl.sizes import count, human_age, human_size, printable, shortened
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.values import Info, Instance

DRAIN_SPARE_MS = 15_000
"""An instance that goes may answer for so long after the time that it had for its copies: then it is to be gone."""


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Clients may notice."""
    WARNING = "warning"
    """It is not as it should be."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``kind`` is a stable name, ``do`` what helps."""

    kind: str
    level: Level
    text: str
    do: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a mesh at ``now_ms``."""

    info: Info
    instances: Sequence[Instance]
    census: Counted
    now_ms: int
    down: Sequence[tuple[str, str]] = ()
    """Processes of a mesh on this machine that do not run, each with the instance that it belongs to."""
    expected: int = 0
    """So many instances there should be; 0: nobody said so."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """Instances that were not told of what stood in the store a while before, and by how many revisions."""
    vanished: Mapping[str, int] = field(default_factory=dict)
    """Instances that were seen at an instant, did not say that they go, and are not there any more."""
    upgrade: Upgrade | None = None
    """The one that is under way, as far as it can be known."""
    upgrade_unknown: str = ""
    """Why its record cannot be read."""


def problems(seen: Seen) -> tuple[Problem, ...]:
    """All of them, the worst first."""
    parts = (_of_processes, _of_store, _of_missing, _of_instances, _of_leader, _of_models, _of_upgrade, _of_company)
    found = [problem for part in parts for problem in part(seen)]
    order = list(Level)
    return tuple(sorted(found, key=lambda problem: order.index(problem.level)))


def _of_processes(seen: Seen) -> Iterator[Problem]:
    for process, instance in seen.down:
        do = f"`mmctl restart {instance}` brings it back" if instance else "`mmctl down`, then `mmctl up`"
        yield Problem("process_down", Level.ERROR, f"{process} does not run", do)


def _of_store(seen: Seen) -> Iterator[Problem]:
    if not seen.info.store_available:
        text = f"the store does not answer {seen.info.instance}: loaded models are served, nothing can be registered"
        yield Problem("store_unavailable", Level.ERROR, text, "bring etcd back; nothing else has to be done")
    away = [each.id for each in _ours(seen) if each.now and each.now.store_away and each.id != seen.info.instance]
    if away:
        text = f"{count(len(away), 'instance')} cannot read or write the store: {shortened(away)}"
        yield Problem("store_unavailable", Level.ERROR, text, "look at the way from there to etcd, and at etcd")
    for name, revisions in seen.behind.items():
        text = f"{printable(name)} is {count(revisions, 'revision')} behind the store: it may send requests astray"
        yield Problem("store_lag", Level.ERROR, text, "look at its CPU and at its way to etcd; restart it if it stays")
    if seen.info.read_only:
        do = "unset KV_READ_ONLY on all instances when registrations are to change again"
        yield Problem("read_only", Level.WARNING, "the registry is read-only", do)


def _of_missing(seen: Seen) -> Iterator[Problem]:
    there = [each for each in _ours(seen) if each.phase not in ("draining", "stopping")]
    look = "find out why it ended: its log, `kubectl get pods`"
    if not _ours(seen):
        yield Problem("no_instance", Level.ERROR, "no instance is up", "start one; its log says why it does not start")
    elif len(there) < seen.expected:
        text = f"{len(there)} of {count(seen.expected, 'instance')} {'is' if len(there) == 1 else 'are'} there"
        yield Problem("missing_instance", Level.ERROR, text, "look why the others did not start or ended: their logs")
    named = dict(seen.census.gone)
    for name in sorted({*seen.vanished, *named}):
        if name in seen.vanished:
            ago = human_age(seen.vanished[name], seen.now_ms)
            text = f"{printable(name)} is gone, seen last {ago} ago" + (", without a drain" if named.get(name) else "")
        else:
            text = f"{printable(name)} is gone"
        if models := named.get(name, 0):
            text += f"; {count(models, 'model')} had a copy there: loaded elsewhere when asked for"
        yield Problem("missing_instance", Level.ERROR, text, look)


def _of_instances(seen: Seen) -> Iterator[Problem]:
    ours = _ours(seen)
    if silent := [each.id for each in ours if each.is_silent]:
        text = f"{count(len(silent), 'instance')} {_do(silent)} not answer {seen.info.instance or 'the one asked'}: "
        do = "look whether it runs, and at the network to its mesh port"
        yield Problem("silent_instance", Level.ERROR, text + shortened(silent), do)
    if starting := [each.id for each in ours if each.phase == "starting"]:
        text = f"{count(len(starting), 'instance')} starting: {shortened(starting)}"
        yield Problem("starting", Level.NOTE, text, "/ready on its probe port, and its log, say what it waits for")
    for each in ours:
        if each.phase not in ("draining", "stopping"):
            continue
        until_ms = each.now.going_until_ms if each.now else 0
        late_ms = seen.now_ms - until_ms - DRAIN_SPARE_MS
        if until_ms and late_ms > 0:
            text = f"{printable(each.id)} should have been gone {human_age(until_ms, seen.now_ms)} ago"
            do = "its log says what it waits for; it can be killed, others load its models when they are asked for"
            yield Problem("drain_too_long", Level.WARNING, text, do)
        else:
            do = f"`mmctl drain {each.id}` shows how far it is"
            yield Problem("going", Level.NOTE, f"{printable(each.id)} is {each.phase}", do)
    known = ("ready", "starting", "draining", "stopping")
    if others := [each.id for each in ours if each.phase not in known]:
        text = f"{count(len(others), 'instance')} in a phase that mmctl does not know: {shortened(others)}"
        yield Problem("unknown_phase", Level.WARNING, text, "an mmctl of the instances' version knows it")
    if empty := [each.id for each in ours if not each.capacity_bytes]:
        text = f"{count(len(empty), 'instance')} without memory for models: {shortened(empty)}"
        yield Problem("no_capacity", Level.WARNING, text, "the runtime tells how much there is: look at its settings")
    for each in ours:
        if each.lost_bytes:
            text = f"{printable(each.id)} has lost {human_size(each.lost_bytes)} of memory to unloads that failed"
            do = f"`mmctl events --rule unload --instance {each.id}` names the models; restart its runtime"
            yield Problem("lost_memory", Level.WARNING, text, do)
    if cordoned := [each.id for each in ours if each.cordoned]:
        text = f"{count(len(cordoned), 'instance')} cordoned, so without new loads: {shortened(cordoned)}"
        yield Problem("cordoned", Level.NOTE, text, f"`mmctl uncordon {cordoned[0]}` ends it")


def _of_leader(seen: Seen) -> Iterator[Problem]:
    names = {each.id for each in seen.instances}
    told = {each.now.leader for each in _ours(seen) if each.now and not each.now.store_away}
    do = "`mmctl events --rule lead` says since when; an instance that reaches the store leads within seconds"
    if not seen.instances:
        return
    if not seen.info.leader:
        text = "nobody leads: no copies are made in advance or for a least number, and what is gone is not cleaned up"
        yield Problem("no_leader", Level.ERROR, text, do)
    elif seen.info.leader not in names:
        text = f"{printable(seen.info.leader)} leads and is not there any more"
        yield Problem("no_leader", Level.WARNING, text, "another leads when its lease is over, within 25 s")
    elif len(told) > 1:
        text = f"instances do not agree who leads: {shortened(sorted(name or 'nobody' for name in told))}"
        yield Problem("no_leader", Level.WARNING, text, do)


def _of_models(seen: Seen) -> Iterator[Problem]:
    census = seen.census
    for failed in census.failed_models:
        text = f"{printable(failed.model)} failed to load on {printable(failed.instance)}: {printable(failed.text)}"
        do = f"`mmctl explain {quote(printable(failed.model))}`; mend it: it is tried again within 15 minutes"
        yield Problem("failed_model", Level.WARNING, text, do)
    if more := census.failed - len(census.failed_models):
        text = f"{count(more, 'more model')} failed to load"
        yield Problem("failed_model", Level.WARNING, text, "`mmctl list --status loading_failed`")
    for load in census.stuck_loads:
        age = human_age(load.since_ms, seen.now_ms)
        text = f"{printable(load.model)} is loading on {printable(load.instance)} for {age}"
        if limit_ms := _load_timeout_ms(seen, load.instance):
            text += f", its runtime may take {limit_ms / 1000:g} s"
        do = f"look at the runtime of {printable(load.instance)}; more loads than it has threads for wait their turn"
        yield Problem("stuck_load", Level.WARNING, text, do)
    if more := census.stuck - len(census.stuck_loads):
        yield Problem("stuck_load", Level.WARNING, f"{count(more, 'more load')} take too long", "`mmctl top`")
    for short in census.short_models:
        text = f"{printable(short.model)} has {short.copies} of at least {count(short.min_copies, 'copy', 'copies')}"
        do = f"`mmctl explain {quote(printable(short.model))}`: there may be too few instances for its type, or no room"
        yield Problem("unsatisfied", Level.WARNING, text, do)
    if more := census.short - len(census.short_models):
        text = f"{count(more, 'more model has', 'more models have')} fewer copies than at least"
        yield Problem("unsatisfied", Level.WARNING, text, "`mmctl events --rule unsatisfied`")
    if census.unreadable:
        text = f"{count(census.unreadable, 'registration')} cannot be read"
        yield Problem("unreadable", Level.WARNING, text, "`mmctl list --status unknown`; register them anew")


def _of_upgrade(seen: Seen) -> Iterator[Problem]:
    upgrade = seen.upgrade
    if seen.upgrade_unknown:
        text = f"it is not known whether an upgrade is under way: {printable(seen.upgrade_unknown)}"
        yield Problem("upgrade", Level.WARNING, text, "`mmctl upgrade status`")
    if upgrade is None:
        return
    how = {Phase.ROLLING: "rolling", Phase.HELD: "held", Phase.ROLLING_BACK: "rolling back"}[upgrade.phase]
    since = human_age(upgrade.phase_ms, seen.now_ms)
    text = f"the upgrade to {printable(upgrade.wanted)} is {how} for {since}"
    text += f": {printable(upgrade.reason)}" if upgrade.reason and upgrade.phase is not Phase.ROLLING else ""
    if not upgrade.runner:
        do = "`mmctl upgrade start --resume` goes on with it, `mmctl upgrade abort` goes back"
        yield Problem("upgrade", Level.WARNING, f"{text}; no mmctl carries it out", do)
    elif upgrade.phase is Phase.HELD:
        do = "`mmctl upgrade status` says more; `mmctl upgrade abort` goes back"
        yield Problem("upgrade", Level.WARNING, text, do)
    else:
        yield Problem("upgrade", Level.NOTE, text, "`mmctl upgrade status --watch` shows how far it is")


def _of_company(seen: Seen) -> Iterator[Problem]:
    """Instances that are not like the others."""
    versions: dict[str, list[str]] = {}
    for each in _ours(seen):
        versions.setdefault(each.version, []).append(each.id)
    if len(versions) > 1:
        parts = "; ".join(f"{version or 'unknown'}: {shortened(versions[version])}" for version in sorted(versions))
        do = "all the same again when an upgrade is over; else look why it stands still"
        yield Problem("mixed_versions", Level.NOTE, f"{len(versions)} versions are up: {parts}", do)
    if java := [each.id for each in seen.instances if each.is_java]:
        text = f"{count(len(java), 'pod')} of the Java ModelMesh in this mesh: {shortened(java)}"
        do = "what only they hold is loaded beside; docs/migration.md says how to end a mixed mesh"
        yield Problem("java_pods", Level.NOTE, text, do)


def _ours(seen: Seen) -> list[Instance]:
    return [each for each in seen.instances if not each.is_java]


def _load_timeout_ms(seen: Seen, instance: str) -> int:
    return next((each.now.load_timeout_ms for each in seen.instances if each.id == instance and each.now), 0)


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
