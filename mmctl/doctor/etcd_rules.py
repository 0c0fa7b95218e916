"""What is wrong with an etcd, by what was seen of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmctl.doctor.etcd_look import Endpoint, Etcd
from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.sizes import count, human_size

OLDEST = (3, 4)
LOSING = ((3, 5, 0), (3, 5, 2))
"""The first and the last that may lose consistency when a member is killed."""
NEARLY_FULL, FULL = 0.8, 0.95
WASTED_BYTES = 256 << 20
SLOW_READ_MS, SLOW_COMMIT_MS = 50.0, 100.0
TOO_SLOW_MS = 1_000.0
"""A commit has 3.5 s; at a median of this many do not make it."""

FREE = "compact, `etcdctl defrag` each member, then `etcdctl alarm disarm`; give more with --quota-backend-bytes"


def reachable(etcd: Etcd) -> list[Finding]:
    """Each endpoint that does not answer is named."""
    away = [endpoint for endpoint in etcd.endpoints if endpoint.failure]
    level = warning if etcd.is_there else problem
    found = [level(endpoint.failure, endpoint.address, "start it, or correct the endpoints") for endpoint in away]
    there = [endpoint.address for endpoint in etcd.endpoints if not endpoint.failure]
    return found + ([ok(f"{count(len(there), 'endpoint')} answers", ", ".join(there))] if there else [])


def version(etcd: Etcd) -> list[Finding]:
    """The version of each endpoint."""
    found = []
    for endpoint in _there(etcd):
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", endpoint.version)
        number = tuple(int(part) for part in match.groups()) if match else ()
        if not number:
            found.append(note(f"its version is {endpoint.version!r}", endpoint.address))
        elif number < OLDEST:
            found.append(problem(f"etcd {endpoint.version} is too old", endpoint.address, "use 3.5.3 or later"))
        elif LOSING[0] <= number <= LOSING[1]:
            found.append(
                problem(
                    f"etcd {endpoint.version} is known to lose consistency when it is killed",
                    endpoint.address,
                    "upgrade to 3.5.3 or later",
                )
            )
        elif number < (3, 5):
            found.append(
                note(
                    f"etcd {endpoint.version} is of an old line",
                    endpoint.address,
                    "upgrade to 3.5.3 or later when you can",
                )
            )
    versions = sorted({endpoint.version for endpoint in _there(etcd)})
    if len(versions) > 1:
        found.append(warning(f"members of different versions: {', '.join(versions)}", do="finish the upgrade of etcd"))
    return found or [ok(f"etcd {', '.join(versions)}")]


def latency(etcd: Etcd) -> list[Finding]:
    """Medians of a linearisable read and of a commit."""
    if etcd.read_ms is None and etcd.commit_ms is None:
        return [problem("neither a read nor a commit succeeds", do="see etcd-permission, etcd-alarms and etcd-members")]
    said = ", ".join(
        f"{what} {took:.1f} ms" if took is not None else f"no {what}"
        for what, took in (("read", etcd.read_ms), ("commit", etcd.commit_ms))
    )
    slowest = max(etcd.read_ms or 0.0, etcd.commit_ms or 0.0)
    do = "give it a disk of its own (fsync under 10 ms) and a short way to the mesh"
    if slowest >= TOO_SLOW_MS:
        return [problem(f"it answers slowly: {said}", do=do)]
    if (etcd.read_ms or 0.0) >= SLOW_READ_MS or (etcd.commit_ms or 0.0) >= SLOW_COMMIT_MS:
        return [warning(f"it answers slowly: {said}", do=do)]
    return [ok(said)]


def alarms(etcd: Etcd) -> list[Finding]:
    """Alarms that are raised, and errors that members tell of themselves."""
    found = []
    for kind, member in etcd.alarms:
        do = FREE if kind == "NOSPACE" else "take this member out and let it come back empty; it may be a bad disk"
        meaning = "it takes no writes" if kind == "NOSPACE" else "its data differs from that of other members"
        found.append(problem(f"alarm {kind}: {meaning}", member, do))
    if not etcd.alarms:
        found += [
            problem(error, endpoint.address, "see its log") for endpoint in _there(etcd) for error in endpoint.errors
        ]
    if etcd.alarms_failure:
        found.append(note(f"alarms cannot be read: {etcd.alarms_failure}", do="ask as a user who may"))
    return found or [ok("no alarms")]


def space(etcd: Etcd) -> list[Finding]:
    """How much of its quota each endpoint uses."""
    found = []
    for endpoint in _there(etcd):
        used = f"{human_size(endpoint.size_bytes)}, of which {human_size(endpoint.used_bytes)} hold data"
        if not endpoint.quota_bytes:
            found.append(note(f"{used}; its quota cannot be read", endpoint.address))
            continue
        share = endpoint.size_bytes / endpoint.quota_bytes
        said = f"{share:.0%} of {human_size(endpoint.quota_bytes)} used: {used}"
        if share >= FULL:
            found.append(problem(said, endpoint.address, FREE))
        elif share >= NEARLY_FULL:
            found.append(warning(said, endpoint.address, "compact and `etcdctl defrag`, or raise its quota"))
        elif endpoint.size_bytes - endpoint.used_bytes > max(WASTED_BYTES, endpoint.size_bytes // 2):
            found.append(note(f"most of its file is empty: {used}", endpoint.address, "`etcdctl defrag` gives it back"))
        else:
            found.append(ok(said, endpoint.address))
    return found


def members(etcd: Etcd) -> list[Finding]:
    """Who leads, and whether all endpoints are one cluster."""
    there = _there(etcd)
    found = [
        problem("it knows no leader", endpoint.address, "see whether most members run and reach each other")
        for endpoint in there
        if not endpoint.leader
    ]
    if len({endpoint.cluster for endpoint in there}) > 1:
        told = "; ".join(f"{endpoint.address} {endpoint.cluster:x}" for endpoint in there)
        found.append(problem(f"the endpoints are of different clusters: {told}", do="name the members of one"))
    elif len({endpoint.leader for endpoint in there if endpoint.leader}) > 1:
        found.append(warning("endpoints name different leaders", do="look again: an election may have been under way"))
    found += [
        warning(
            "it is a learner, which answers no reads that have to be right",
            endpoint.address,
            "promote it, or leave it out of the endpoints",
        )
        for endpoint in there
        if endpoint.is_learner
    ]
    if len(etcd.voters) == 1:
        found.append(
            note("one member: when it is away nothing can be registered", etcd.voters[0], "run three for production")
        )
    elif etcd.voters and len(etcd.voters) % 2 == 0:
        found.append(note(f"{len(etcd.voters)} members bear no more failures than {len(etcd.voters) - 1}"))
    if any(finding.level in ("problem", "warning") for finding in found):
        return found
    return [*found, ok(f"{count(len(etcd.voters) or len(there), 'member')}, one leads")]


def permission(etcd: Etcd, root: str) -> list[Finding]:
    """Whether what is below the prefix of the mesh can be read and written."""
    do = f"grant its role readwrite on {root}, as a prefix"
    if etcd.read and not any(endpoint.leader for endpoint in _there(etcd)):
        return [problem(f"cannot be read: {etcd.read}", root, "see etcd-members: who has no leader answers nobody")]
    if etcd.read:
        return [problem(f"cannot be read: {etcd.read}", root, do)]
    if etcd.written:
        parts = ", ".join(etcd.written)
        return [problem(f"may not write {parts}: {next(iter(etcd.written.values()))}", root, do)]
    if etcd.commit_failure:
        return [problem(f"nothing can be written: {etcd.commit_failure}", root)]
    return [ok(f"read and write; {count(etcd.keys, 'key')}", root)]


def _there(etcd: Etcd) -> Sequence[Endpoint]:
    return [endpoint for endpoint in etcd.endpoints if not endpoint.failure]
