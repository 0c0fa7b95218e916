"""What ``MM_METRICS`` and ``MM_INFO_METRICS`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshd.settings.kinds import Kind, Unfit, match, one_of, whole_number

MEMORY_DETAILS = ("all", "none", "netty", "gc", "bp", "mp", "ma")
MOST_LABELS = 4


@dataclass(frozen=True, slots=True)
class InfoMetric:
    """A gauge that is always 1 and whose labels say something of the deployment.

    ``labels`` are pairs of a label and its value. As the setting is written a variable of the environment stands in
    the place of the value: ``resolved`` looks it up.
    """

    name: str
    labels: tuple[tuple[str, str], ...]

    def resolved(self, env: Mapping[str, str]) -> InfoMetric:
        """The same with the values. Raises Unfit for a variable that is not set."""
        missing = [variable for _, variable in self.labels if variable not in env]
        if missing:
            raise Unfit(f"the environment has no {' and no '.join(missing)}")
        return replace(self, labels=tuple((label, env[variable]) for label, variable in self.labels))


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """What ``MM_METRICS`` says; ``problem``: why there are none although something was asked for."""

    is_on: bool = True
    port: int = 2112
    scheme: str = "http"
    has_full_names: bool = False
    is_per_model: bool = False
    problem: str = ""

    def beside(self, info: InfoMetric | None) -> MetricsConfig:
        """The same, or no metrics where ``info`` has more labels than there can be."""
        if info is None or len(info.labels) <= MOST_LABELS or not self.is_on:
            return self
        problem = f"MM_INFO_METRICS: {info.name} has {len(info.labels)} labels, more than {MOST_LABELS}"
        return MetricsConfig(is_on=False, problem=problem)


def _metrics(text: str) -> MetricsConfig:
    """A wrong form is an error; a type or parameter that does not exist leaves the mesh without metrics."""
    found = match(r"(\w+)(?::(\w+=[^;=]*(?:;\w+=[^;=]*)*))?", text)
    pairs = found[2].split(";") if found[2] else []
    given = {"port": "2112", "scheme": "https", "fq_names": "false", "per_model_metrics": "false", "mem_detail": "all"}
    known = tuple(given)
    try:
        if one_of(found[1], ("prometheus", "disabled")) == "disabled":
            return MetricsConfig(is_on=False)
        for key, value in (pair.split("=") for pair in pairs):
            given[one_of(key, known)] = value
        for detail in given["mem_detail"].split(","):
            one_of(detail, MEMORY_DETAILS)
        return MetricsConfig(
            port=whole_number(given["port"], 0, 65535),
            scheme=one_of(given["scheme"], ("http", "https")),
            has_full_names=one_of(given["fq_names"], ("true", "false")) == "true",
            is_per_model=one_of(given["per_model_metrics"], ("true", "false")) == "true",
        )
    except ValueError as error:
        return MetricsConfig(is_on=False, problem=f"MM_METRICS: {error}")


def _info_metric(text: str) -> InfoMetric:
    found = match(r"([a-z_:]+)(?:;(\w+=\w+(?:,\w+=\w+)*))?", text)
    pairs = [tuple(pair.split("=")) for pair in found[2].split(",")] if found[2] else []
    return InfoMetric(found[1], tuple((label, variable) for label, variable in pairs))


METRICS = Kind(_metrics, "disabled or prometheus, with parameters as in prometheus:port=2112;scheme=http")
INFO_METRIC = Kind(_info_metric, "<name>;<label>=<variable>,<label>=<variable>, the name of a to z, _ and :")
