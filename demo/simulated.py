"""The same requests in the simulator: model sizes, load times and service times as they were measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.fleet import DEFAULT_BYTES, LOAD_TIMEOUT_MS, LOADING_CONCURRENCY
from demo.live import Live
from demo.zoo import SEED
from sim import read_scenario, run

QUESTION = "# What would the traffic of the last demo have come to?"
LEAD_S = 5.0
"""The simulated instances have this long to find each other, as the real ones had while they started."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the simulator is told of the real mesh."""

    sizes_bytes: Sequence[int]
    capacity_bytes: int
    load_ms: float
    service_ms: float


def scenario(live: Live, measured: Measured) -> dict[str, Any]:
    """What `mmctl simulate` can read: every request at the instant it was sent, to the instance it was sent to."""
    sent, instances, outage = live.answers, list(live.counted), live.outage
    away = instances.index(outage.instance)
    at_ms = [round((LEAD_S + answer.sent_s) * 1000, 3) for answer in sent]
    return {
        "seed": SEED,
        "duration_s": math.ceil(at_ms[-1] / 1000) + 1,
        "instances": {
            "count": len(instances),
            "capacity": measured.capacity_bytes,
            "default_model_size": DEFAULT_BYTES,
            "loading_concurrency": LOADING_CONCURRENCY,
            "loading_timeout_ms": LOAD_TIMEOUT_MS,
        },
        "models": {"count": len(measured.sizes_bytes), "sizes": list(measured.sizes_bytes)},
        "runtime": {
            "load": {"base_ms": max(1, round(measured.load_ms))},
            "service": {"mean_ms": round(measured.service_ms, 3)},
        },
        "traffic": {
            "workload": "recorded",
            "at_ms": at_ms,
            "models": [answer.ask.model for answer in sent],
            "instances": [instances.index(answer.instance) if answer.instance else away for answer in sent],
        },
        "restarts": [
            {
                "instance": f"instance-{away}",
                "from_s": round(LEAD_S + outage.asked_s, 3),
                "until_s": round(LEAD_S + _ready_again_s(live), 3),
            }
        ],
        "settings": {"min_churn_age_ms": 0},
    }


def _ready_again_s(live: Live) -> float:
    """When clients had heard that the instance is back: at its first request after it was gone."""
    name, gone_s = live.outage.instance, live.outage.gone_s
    again = (answer.sent_s for answer in live.answers if answer.instance == name and answer.sent_s > gone_s)
    return next(again, live.outage.back_s)


def simulated(tree: dict[str, Any], file: Path) -> dict[str, Any]:
    """Play the scenario, which is left in ``file`` to be changed and played again; the simulator's summary."""
    lines = [QUESTION, *(f"{key}: {json.dumps(value)}" for key, value in tree.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run(read_scenario(file)).data
