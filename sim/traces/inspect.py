"""A trace in numbers: how much, of what, how popular, how large, how soon again. Only its models are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path
from typing import Any

from meshcore.trace import COLD, HIT, REQUEST
from sim.report import aligned
from sim.traces.survey import Survey, surveyed

HOUR_MS = 3_600_000
REUSE_S = (1, 10, 60, 600, 3600, 86_400)
"""How soon a model is asked for again is told as the part of requests within each of these."""
MOST_HOURS = 10_000
MIB = 1 << 20


class Reuse:
    """How soon models are asked for again, and how many different ones in each hour."""

    def __init__(self) -> None:
        self._latest: dict[str, float] = {}
        self._hour, self._in_hour = 0, 0
        self.within = [0] * len(REUSE_S)
        self.unique_per_hour: list[int] = []

    def ask(self, model: str, t_ms: float) -> None:
        """One more request, none earlier than the one before."""
        self._go_on(int(t_ms // HOUR_MS))
        before = self._latest.get(model)
        if before is None or before < self._hour * HOUR_MS:
            self._in_hour += 1
        if before is not None:
            for place, most_s in enumerate(REUSE_S):
                self.within[place] += t_ms - before <= most_s * 1000
        self._latest[model] = t_ms

    def end(self) -> None:
        """There are no more."""
        self._go_on(self._hour + 1)

    def _go_on(self, hour: int) -> None:
        while self._hour < hour:
            if len(self.unique_per_hour) < MOST_HOURS:
                self.unique_per_hour.append(self._in_hour)
            self._hour, self._in_hour = self._hour + 1, 0


def inspect(path: Path, top: int = 10) -> dict[str, Any]:
    """What is in a trace, as plain values. Raises TraceError."""
    found, reuse = Survey(), Reuse()
    outcomes: dict[str, int] = {}
    for event in surveyed(path, found):
        if event.kind == REQUEST:
            reuse.ask(event.model, event.t_ms)
            outcome = event.outcome if event.outcome in outcomes or len(outcomes) < 50 else "other"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    reuse.end()
    outcomes.pop("", None)
    header, requests = found.header, found.requests
    ranked = nsmallest(len(found.models), found.models, key=lambda model: (-found.tallies[model].requests, model))
    counts = [found.tallies[model].requests for model in ranked]
    start = None if header.start_ms is None else _instant(header.start_ms)
    answered = outcomes.get(HIT, 0) + outcomes.get(COLD, 0)
    return {
        "by": header.by,
        "start": start,
        "sample": header.sample,
        "events": found.events,
        "requests": requests,
        "duration_s": round(found.end_ms / 1000, 3),
        "requests_per_s": round(requests * 1000 / found.end_ms, 3) if found.end_ms else None,
        "models": len(ranked),
        "models_asked": sum(count > 0 for count in counts),
        "instances": sorted(found.instances),
        "outcomes": dict(sorted(outcomes.items())),
        "hit_rate": round(outcomes.get(HIT, 0) / answered, 6) if answered else None,
        "share_of_top": {f"{part:.0%}": _share(counts, part, requests) for part in (0.01, 0.1)},
        "again_within_s": {str(s): _part(count, requests) for s, count in zip(REUSE_S, reuse.within, strict=True)},
        "models_per_hour": reuse.unique_per_hour,
        "size_bytes": _spread([model.size_bytes for model in found.catalogue()]),
        "load_ms": _spread([model.load_ms for model in found.catalogue()]),
        "service_ms": _spread([model.service_ms for model in found.catalogue()]),
        "top": [{"model": model, "requests": count} for model, count in list(zip(ranked, counts, strict=True))[:top]],
    }


def as_table(found: dict[str, Any]) -> str:
    """The same for people."""
    head = [
        ("recorded by", found["by"] or "-"),
        ("start", found["start"] or "-"),
        ("duration", f"{found['duration_s']:,.0f} s"),
        ("requests", f"{found['requests']:,}"),
        ("requests a second", "-" if found["requests_per_s"] is None else f"{found['requests_per_s']:,.2f}"),
        ("models", f"{found['models']:,}"),
        ("models asked for", f"{found['models_asked']:,}"),
        ("models an hour, most", f"{max(found['models_per_hour'], default=0):,}"),
        ("instances", f"{len(found['instances']):,}"),
        ("sampled", f"{found['sample']:.3%} of the models" if found["sample"] < 1 else "no, whole"),
        ("hit rate", "-" if found["hit_rate"] is None else f"{found['hit_rate']:.2%}"),
        *((f"requests for the top {part}", _percent(share)) for part, share in found["share_of_top"].items()),
        *((f"again within {s} s", _percent(part)) for s, part in found["again_within_s"].items()),
    ]
    spreads: list[tuple[str, ...]] = [("of models", "known of", "least", "median", "p90", "most", "sum")]
    for name, title, unit in (
        ("size_bytes", "size (MiB)", MIB),
        ("load_ms", "load (ms)", 1),
        ("service_ms", "service (ms)", 1),
    ):
        spread = found[name]
        if spread["count"]:
            values = [f"{spread[key] / unit:,.1f}" for key in ("least", "p50", "p90", "most", "sum")]
            spreads.append((title, f"{spread['count']:,}", *values))
    top = [("model", "requests"), *((row["model"], f"{row['requests']:,}") for row in found["top"])]
    tables: list[list[tuple[str, ...]]] = [[*head], *([spreads] if len(spreads) > 1 else []), [*top]]
    return "\n".join("".join(f"{line}\n" for line in aligned(rows)) for rows in tables)


def _spread(values: list[Any]) -> dict[str, Any]:
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"count": 0}
    at = {"least": 0, "p50": len(known) // 2, "p90": len(known) * 9 // 10, "most": -1}
    return {"count": len(known), **{name: known[place] for name, place in at.items()}, "sum": round(sum(known), 3)}


def _share(counts: list[int], part: float, requests: int) -> float | None:
    return _part(sum(counts[: -(-len(counts) * round(part * 100) // 100)]), requests)


def _part(count: int, requests: int) -> float | None:
    return round(count / requests, 6) if requests else None


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.2%}"


def _instant(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
