"""What a run showed: as figures, as tables, and as a verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.live import Live
from demo.scrape import mean, quantile, total

MOST_APART = 0.05
"""How far the live hit rate may be from the simulated one."""

WAIT = "modelmesh_cache_miss_milliseconds"
LOAD = "modelmesh_loadmodel_milliseconds"
SERVICE = "modelmesh_invoke_model_milliseconds"

Figures = dict[str, Any]


def live_figures(live: Live) -> Figures:
    """The live half. A hit is a request that waited for no load, by the count of the instance it came to."""
    counted = live.counted.values()
    answers = live.answers
    latency_ms = [answer.took_s * 1000 for answer in answers]
    requests, hits = total(counted, "meshd_requests"), total(counted, "meshd_hits")
    outage = live.outage
    return {
        "requests": len(answers),
        "counted_requests": int(requests),
        "failed": sum(bool(answer.failure) for answer in answers),
        "wrong": sum(bool(answer.mistake) for answer in answers),
        "hit_rate": _rate(hits, requests),
        "cold_starts": int(total(counted, "meshd_cold")),
        "loads": int(total(counted, "meshd_loads")),
        "load_failures": int(total(counted, "modelmesh_loadmodel_failure")),
        "evictions": int(total(counted, "meshd_evictions")),
        "cold_start_ms": {
            "p50": _rounded(quantile(counted, WAIT, 0.5)),
            "p99": _rounded(quantile(counted, WAIT, 0.99)),
        },
        "latency_ms": {"p50": _percentile(latency_ms, 50), "p99": _percentile(latency_ms, 99)},
        "load_ms": _rounded(mean(counted, LOAD)),
        "service_ms": _rounded(mean(counted, SERVICE)),
        "instances": [
            {
                "instance": name,
                "requests": int(each.total("meshd_requests")),
                "hit_rate": _rate(each.total("meshd_hits"), each.total("meshd_requests")),
                "models": int(each.now.get("modelmesh_instance_models_total", 0)),
                "used_bytes": int(each.now.get("modelmesh_instance_used_bytes", 0)),
                "capacity_bytes": int(each.now.get("modelmesh_instance_capacity_bytes", 0)),
                "loads": int(each.total("meshd_loads")),
                "evictions": int(each.total("meshd_evictions")),
            }
            for name, each in live.counted.items()
        ],
        "outage": {
            "instance": outage.instance,
            "sigterm_s": round(outage.asked_s, 1),
            "gone_s": round(outage.gone_s, 1),
            "back_s": round(outage.back_s, 1),
            "requests_meanwhile": sum(outage.asked_s <= answer.sent_s < outage.back_s for answer in answers),
            "requests_after": sum(answer.sent_s >= outage.back_s for answer in answers),
        },
    }


def simulated_figures(summary: Figures) -> Figures:
    """The same of the simulator's summary, where it has the same."""
    cold = summary["latency_ms"]["cold"]
    return {
        "requests": summary["answered"] + sum(summary["failed"].values()),
        "failed": sum(summary["failed"].values()),
        "hit_rate": summary["hit_rate"],
        "cold_starts": summary["cold_starts"],
        "loads": summary["loads"],
        "evictions": summary["evictions"],
        "cold_start_ms": {"p50": cold["p50"], "p99": cold["p99"]},
    }


def replayed_figures(journals: Sequence[Figures]) -> Figures:
    """What came of replaying each instance's journals."""
    return {
        "journals": len(journals),
        "commands": sum(journal["commands"] for journal in journals),
        "differences": [
            f"{journal['file']} differs in line {journal['difference']['line']}"
            for journal in journals
            if journal["difference"] is not None
        ],
        "gaps": sum(journal["gap"] is not None for journal in journals),
    }


def problems(live: Figures, simulated: Figures, replayed: Figures) -> list[str]:
    """What must not be, a sentence each; none: the demo has shown what it is to show."""
    found = []
    if live["wrong"]:
        found.append(f"{live['wrong']} answers are not what scikit-learn says")
    if live["failed"]:
        found.append(f"{live['failed']} requests failed")
    apart = abs(live["hit_rate"] - simulated["hit_rate"])
    if not apart <= MOST_APART:  # so that NaN is one too
        found.append(
            f"the hit rates, {live['hit_rate']:.1%} live and {simulated['hit_rate']:.1%} simulated,"
            f" are more than {MOST_APART * 100:g} points apart"
        )
    found += replayed["differences"]
    if replayed["gaps"]:
        found.append(f"{replayed['gaps']} journals have a gap")
    return found


def show(live: Figures, simulated: Figures, replayed: Figures, out: Console) -> None:
    """Print both tables."""
    outage = live["outage"]
    name, went_s, back_s = outage["instance"], outage["sigterm_s"], outage["back_s"]
    out.print(_instances(live))
    out.print(
        f"{name} was taken down with SIGTERM after {went_s:.0f} s and was back {back_s - went_s:.0f} s later."
        f" {outage['requests_meanwhile']:,} requests came meanwhile, {outage['requests_after']:,} after that.\n",
        highlight=False,
    )
    out.print(_comparison(live, simulated))
    out.print("A hit is a request that waits for no load. A cold start is how long the others wait.", highlight=False)
    differing = len(replayed["differences"])
    came_out = f"{differing} come out otherwise" if differing else "all of them come out the same"
    out.print(
        f"{replayed['commands']:,} commands in {replayed['journals']} journals were decided again: {came_out}.",
        highlight=False,
    )


def _instances(live: Figures) -> Table:
    table = _table("Instances")
    for name in ("instance", "models", "memory", "loads", "evictions", "requests", "hit rate"):
        table.add_column(name, justify="left" if name == "instance" else "right", no_wrap=True)
    for row in live["instances"]:
        table.add_row(
            row["instance"], f"{row['models']}", f"{_mib(row['used_bytes'])} of {_mib(row['capacity_bytes'])} MiB",
            f"{row['loads']:,}", f"{row['evictions']:,}", f"{row['requests']:,}", f"{row['hit_rate']:.1%}",
        )  # fmt: skip
    return table


def _comparison(live: Figures, simulated: Figures) -> Table:
    table = _table("Live and simulated")
    table.add_column("")
    table.add_column("live", justify="right")
    table.add_column("simulated", justify="right")
    rows = [
        ("requests", f"{live['requests']:,}", f"{simulated['requests']:,}"),
        ("failed", f"{live['failed']:,}", f"{simulated['failed']:,}"),
        ("wrong answers", f"{live['wrong']:,}", "-"),
        ("hit rate", f"{live['hit_rate']:.1%}", f"{simulated['hit_rate']:.1%}"),
        ("cold starts", f"{live['cold_starts']:,}", f"{simulated['cold_starts']:,}"),
        ("cold start p50", _ms(live["cold_start_ms"]["p50"]), _ms(simulated["cold_start_ms"]["p50"])),
        ("cold start p99", _ms(live["cold_start_ms"]["p99"]), _ms(simulated["cold_start_ms"]["p99"])),
        ("loads", f"{live['loads']:,}", f"{simulated['loads']:,}"),
        ("evictions", f"{live['evictions']:,}", f"{simulated['evictions']:,}"),
    ]
    for name, here, there in rows:
        table.add_row(name, here, there, style="bold" if name == "hit rate" else None)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _ms(value: float) -> str:
    return f"{value:.0f} ms"


def _rate(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else math.nan


def _rounded(value: float) -> float:
    return round(value, 2)


def _percentile(values: Sequence[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)
