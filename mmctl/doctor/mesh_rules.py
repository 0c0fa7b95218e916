"""What is wrong with the instances of a mesh, by what they say and how their ports answer."""

from __future__ import annotations

from collections.abc import Mapping

from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.reach import Reached
from mmctl.sizes import count

OFF_MS, FAR_OFF_MS = 2_000, 30_000
"""Clocks that are apart by this much: order of uses and loads is no longer right; failures expire wrongly."""
SETTLED = ("ready", "")
"""Phases in which an instance answers that it is ready."""


def of_ports(reached: Mapping[str, Reached], phases: Mapping[str, str]) -> list[Finding]:
    """Probes, health and metrics of each instance."""
    found = []
    for name, each in reached.items():
        way, phase = each.way, phases.get(name, "")
        wrong = []
        if way.probes and each.live.status != 200:
            wrong.append(_page(each.live.status, each.live.text, "/live", name, way.probes))
        if way.probes and each.live.status == 200 and each.ready.status != 200:
            level = problem if phase in SETTLED else warning
            said = " ".join(each.ready.text.split()) or each.ready.status
            wrong.append(level(f"/ready: {said}", f"{name} at {way.probes}", "see docs/operations.md, ready"))
        if not way.probes:
            wrong.append(note("where its probes are is not known", name, "ask through --endpoint, or on the host"))
        if way.grpc and each.health != "OK":
            wrong.append(
                problem(
                    f"gRPC health: {each.health}",
                    f"{name} at {way.grpc}",
                    "see whether the way to this port is open, and its certificates",
                )
            )
        if not way.metrics:
            wrong.append(note("it has no metrics", name, "MM_METRICS=prometheus:port=2112;scheme=http"))
        elif each.metrics.status != 200:
            wrong.append(_page(each.metrics.status, each.metrics.text, "/metrics", name, way.metrics))
        found += wrong or [ok("/ready, /live, health and metrics answer", name)]
    return found or [warning("no instance is up", do="start one, as with `mmctl up`")]


def _page(status: int, text: str, path: str, name: str, address: str) -> Finding:
    said = text if status == 0 else f"HTTP {status}"
    return problem(f"{path}: {said}", f"{name} at {address}", "see its log, and whether the way to this port is open")


def of_mesh_ports(reached: Mapping[str, Reached]) -> list[Finding]:
    """The port for other instances turns away whoever has not the key."""
    found = []
    for name, each in reached.items():
        where = f"{name} at {each.way.mesh}"
        if not each.way.mesh:
            continue
        if each.stranger == "OK":
            found.append(problem("it answers strangers", where, "something else listens there: see its address"))
        elif each.stranger.startswith("PERMISSION_DENIED"):
            found.append(ok("turns away who has not the key", where))
        elif each.mesh_certificate:
            found.append(ok("speaks TLS, and turns away who does not", where))
        else:
            found.append(
                warning(
                    f"cannot be reached from here: {each.stranger}",
                    where,
                    "fine where a NetworkPolicy keeps it to instances; they have to reach it",
                )
            )
    return found or [note("no instance says where its mesh port is")]


def of_clocks(skews: Mapping[str, int | None], starts: Mapping[str, int], now_ms: int) -> list[Finding]:
    """Clocks of others against this machine's; ``starts``: when instances say that they began."""
    found = []
    do = "run NTP or chrony there and here"
    for name, skew_ms in skews.items():
        if skew_ms is not None and abs(skew_ms) >= OFF_MS:
            level = problem if abs(skew_ms) >= FAR_OFF_MS else warning
            found.append(
                level(f"its clock is {abs(skew_ms) / 1000:.0f} s {'ahead' if skew_ms > 0 else 'behind'}", name, do)
            )
    known = {name for name, skew_ms in skews.items() if skew_ms is not None}
    for name, start_ms in starts.items():
        if name not in known and start_ms - now_ms >= OFF_MS:
            found.append(warning(f"it began {(start_ms - now_ms) / 1000:.0f} s in the future", name, do))
    if not found and not known:
        return [note("nobody tells the time")]
    return found or [ok(f"{count(len(known), 'clock')} within {OFF_MS / 1000:g} s of this machine's")]
