"""All that an instance can export: each series of the real exposition, after each thing that makes one has happened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import grpc

from meshd.metrics import Metrics, Shadow

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Series:
    """What is known of one name: ``family`` has no suffix, ``labels`` are the values seen of each."""

    family: str
    kind: str
    labels: dict[str, set[str]]

    @property
    def is_counter(self) -> bool:
        return self.kind in ("counter", "histogram")


@cache
def exported() -> dict[str, Series]:
    """By the names of samples as they stand there: prometheus_client's parser would add suffixes of its own."""
    found: dict[str, Series] = {}
    family = kind = ""
    for line in _filled().exposition().decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
        if line.startswith("#"):
            continue
        name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line).groups()  # type: ignore[union-attr]
        series = found.setdefault(name, Series(family, kind, {}))
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels or ""):
            series.labels.setdefault(label, set()).add(value)
    return found


def _filled() -> Metrics:
    metrics = Metrics()
    for code in grpc.StatusCode:
        metrics.api_request(METHOD, code.name, 1, 1, 1)
        metrics.invoke_model(METHOD, code.name, 1)
    for outcome in Shadow:
        metrics.shadow(outcome)
    metrics.instance(1, 2, 3, 4, 5)
    metrics.wanted(1, 2)
    metrics.worth(1, 2)
    metrics.store(False, 1)
    metrics.upkeep(True, 1, (1, 2, 3))
    metrics.retained(1)
    return metrics
