"""What an instance counts and measures of itself, under the names that users of ModelMesh scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from enum import StrEnum

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from meshcore.reasons import Rule
from meshcore.units import NEVER, age_ms
from meshd.series import MOST, Histograms, Labels, Wanted, family_text, label_text

TIME_MS = (
    0.5, 1, 2, 5, 10, 20, 50, 75, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000,
)  # fmt: skip
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
AGE_MS = (MINUTE / 2, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY)
MODEL_BYTES = tuple(256 * 1024 * 4**power for power in range(8))
MESSAGE_BYTES = tuple(128 * 4**power for power in range(8))

CALL = ("method", "code")
MODEL = ("modelId", "vModelId")
_SHADOW = "meshd_shadow_total"


def _count(name: str, help_text: str) -> int:
    value: int = field(default=0, metadata={"name": name, "help": help_text})
    return value


@dataclass(slots=True)
class Counters:
    """What happened since the start; whoever sees it happen adds one."""

    requests: int = _count("meshd_requests", "Inference requests from clients")
    hits: int = _count("meshd_hits", "Requests from clients that were answered without waiting for a load")
    cold: int = _count("meshd_cold", "Requests from clients that were answered after waiting for a load")
    failures: int = _count("meshd_failures", "Requests from clients that ended without an answer of the runtime")
    flows: int = _count("meshd_flows", "Requests whose way was decided step by step")
    forwarded: int = _count("meshd_forwarded", "Requests passed to another instance")
    retries: int = _count("meshd_retries", "Further tries of requests whose try before led nowhere")
    unretained: int = _count("meshd_unretained", "Requests with more data than is kept for another try")
    loads: int = _count("meshd_loads", "Loads that succeeded")
    evictions: int = _count("meshd_evictions", "Copies that made room")
    load_failures: int = _count("modelmesh_loadmodel_failure", "Loads that failed")
    unload_failures: int = _count("modelmesh_unloadmodel_failure", "Unloads that were given up")
    unload_attempt_failures: int = _count("modelmesh_unloadmodel_attempt_failure", "Tries to unload that failed")


class Shadow(StrEnum):
    """What became of the copy of a request that a shadow model was to see."""

    ANSWERED = "answered"
    FAILED = "failed"
    DROPPED = "dropped"


class OfModels:
    """A histogram, or one for each model where ``MM_METRICS`` asks for that."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...], is_per_model: bool) -> None:
        self.family = Histograms(name, help_text, bounds, MODEL if is_per_model else ())
        self._is_per_model = is_per_model

    def observe(self, value: float, model: str = "") -> None:
        self.family.child((model, "") if self._is_per_model else ()).observe(value)


class Metrics:
    """One instance's metrics. Times are milliseconds, sizes bytes, ``code`` the name of a gRPC status.

    ``method`` is ``/package.Service/Method``; its label is the last part, or all of it with ``has_full_names``.
    """

    def __init__(self, has_full_names: bool = False, is_per_model: bool = False) -> None:
        self.counters = Counters()
        self._has_full_names = has_full_names
        self._is_per_model = is_per_model
        # All rules from the start: a first decision is to be seen as a change by whoever looks at changes.
        self._decisions: Counter[str] = Counter(dict.fromkeys(Rule, 0))
        self._shadows: Counter[str] = Counter()
        self._gauges: dict[str, tuple[str, float]] = {}
        self._labels: dict[Labels, Labels] = {}

        call_labels = CALL + MODEL if is_per_model else CALL
        self._invoke = _calls("invoke_model_milliseconds", "Time of calls to the runtime", TIME_MS, call_labels)
        self._api = _calls("api_request_milliseconds", "Time of requests from clients", TIME_MS, call_labels)
        self._request = _calls("request_size_bytes", "Size of requests from clients", MESSAGE_BYTES, call_labels)
        self._response = _calls("response_size_bytes", "Size of answers to clients", MESSAGE_BYTES, call_labels)

        def of_models(name: str, help_text: str, bounds: tuple[float, ...] = TIME_MS) -> OfModels:
            return OfModels(f"modelmesh_{name}", help_text, bounds, is_per_model)

        self.cache_miss = of_models("cache_miss_milliseconds", "Time that requests waited for a load")
        self.queue_delay = of_models(
            "req_queue_delay_milliseconds", "Time that requests waited for their turn on a copy"
        )
        self.load = of_models("loadmodel_milliseconds", "Time of loads")
        self.unload = of_models("unloadmodel_milliseconds", "Time of unloads")
        self.loading_queue_delay = of_models(
            "loading_queue_delay_milliseconds", "Time that loads waited for their turn"
        )
        self.model_sizing = of_models("model_sizing_milliseconds", "Time that the runtime took to measure a model")
        self.age_at_eviction = of_models("age_at_eviction_milliseconds", "Time from last use to eviction", AGE_MS)
        self.loaded_model_size = of_models("loaded_model_size_bytes", "Size of loaded models", MODEL_BYTES)
        self._families = [self._invoke, self._api, self._request, self._response] + [
            histogram.family
            for histogram in (
                self.cache_miss, self.queue_delay, self.load, self.unload, self.loading_queue_delay, self.model_sizing,
                self.age_at_eviction, self.loaded_model_size,
            )
        ]  # fmt: skip
        self._process = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def invoke_model(self, method: str, code: str, ms: float, model: str = "", vmodel: str = "") -> None:
        """A call to the runtime here, wherever its request came from."""
        self._invoke.child(self._call(method, code, model, vmodel)).observe(ms)

    def api_request(
        self, method: str, code: str, ms: float, request_bytes: int, response_bytes: int | None,
        model: str = "", vmodel: str = "",
    ) -> None:  # fmt: skip
        """A client's inference request; ``response_bytes`` None: it got no message."""
        labels = self._call(method, code, model, vmodel)
        self._api.child(labels).observe(ms)
        self._request.child(labels).observe(request_bytes)
        if response_bytes is not None:
            self._response.child(labels).observe(response_bytes)

    def decision(self, rule: str) -> None:
        """A choice with a Reason of this rule."""
        self._decisions[rule] += 1

    def shadow(self, outcome: Shadow) -> None:
        """One request that a shadow model was to see."""
        self._shadows[outcome] += 1

    def instance(self, lru: int, now: int, capacity_bytes: int, used_bytes: int, models: int) -> None:
        """What this instance says of itself: ``lru`` is the oldest use of a copy, NEVER without copies.

        ``capacity_bytes`` is without the unload buffer.
        """
        oldest = now if lru == NEVER else lru
        self._gauge("instance_lru_seconds", "Instant of the oldest use of a copy", oldest // 1000)
        self._gauge("instance_lru_age_seconds", "Time since the oldest use of a copy", age_ms(oldest, now) // 1000)
        self._gauge("instance_capacity_bytes", "Memory for models", capacity_bytes)
        self._gauge("instance_used_bytes", "Memory that models take", used_bytes)
        share = 10_000 * used_bytes // capacity_bytes if capacity_bytes else 0
        self._gauge("instance_used_bps", "Share of the memory that models take, in hundredths of a percent", share)
        self._gauge("instance_models_total", "Copies", models)

    def wanted(self, wanted_bytes: int, capacity_bytes: int) -> None:
        """What the models in use need of this instance's memory."""
        ratio = wanted_bytes / capacity_bytes if capacity_bytes else 0
        self._gauges["meshd_wanted_ratio"] = ("Share of the memory that models used within an hour need", ratio)

    def worth(self, lost_bytes: int, unsatisfied_bytes: int) -> None:
        """What the runtime never gave back, and what pinned copies take beyond what there is."""
        self._gauges["meshd_lost_bytes"] = ("Memory that unloads which fail have cost so far", lost_bytes)
        self._gauges["meshd_unsatisfied_bytes"] = ("What pinned copies take beyond what there is", unsatisfied_bytes)

    def store(self, is_blind: bool, to_write: int) -> None:
        """Whether the store takes what is written, and what waits for that."""
        self._gauges["meshd_store_available"] = ("0 while the store is away or takes no writes", int(not is_blind))
        self._gauges["meshd_store_pending_models"] = ("Models whose record is still to be written", to_write)

    def upkeep(self, is_leading: bool, unsatisfied: int, counts: tuple[int, int, int]) -> None:
        """What is true of the whole cluster is said by the instance that leads it alone.

        ``unsatisfied``: models below their least number of copies; ``counts``: those with copies, with failures, all.
        """
        self._gauges["meshd_leading"] = ("1 where this instance leads", int(is_leading))
        told = {
            "meshd_unsatisfied": ("Models that cannot have as many copies as they are to have", unsatisfied),
            "modelmesh_models_loaded_total": ("Models with copies", counts[0]),
            "modelmesh_models_with_failure_total": ("Models with failures", counts[1]),
            "modelmesh_models_managed_total": ("Registered models", counts[2]),
        }
        for name, gauge in told.items():
            self._gauges.pop(name, None)
            if is_leading:
                self._gauges[name] = gauge

    def retained(self, count_bytes: int) -> None:
        """What of the requests under way is kept for another try."""
        self._gauges["meshd_retained_bytes"] = ("Data of requests under way kept for another try", count_bytes)

    def exposition(self, names: Collection[str] = ()) -> bytes:
        """All series in text format 0.0.4, or the samples of the given names and the families of those names."""

        def is_wanted(family: str) -> Wanted:
            return lambda sample: not names or sample in names or family in names

        parts = [family.text(is_wanted(family.name)) for family in self._families]
        for each in fields(Counters):
            name, count = each.metadata["name"], getattr(self.counters, each.name)
            parts.append(family_text(name, "counter", each.metadata["help"], [(name, "", count)], is_wanted(name)))
        decided = [("meshd_decisions", label_text({"rule": rule}), n) for rule, n in sorted(self._decisions.items())]
        parts.append(
            family_text("meshd_decisions", "counter", "Choices by their rule", decided, is_wanted("meshd_decisions"))
        )
        seen = [(_SHADOW, label_text({"outcome": each}), self._shadows[each]) for each in Shadow if self._shadows]
        parts.append(family_text(_SHADOW, "counter", "Copies of requests for shadow models", seen, is_wanted(_SHADOW)))
        for name, (help_text, value) in self._gauges.items():
            parts.append(family_text(name, "gauge", help_text, [(name, "", value)], is_wanted(name)))
        process = self._process.restricted_registry(names) if names else self._process
        return "".join(parts).encode() + generate_latest(process)

    def _call(self, method: str, code: str, model: str, vmodel: str) -> Labels:
        key = (method, code, model, vmodel) if self._is_per_model else (method, code)
        if labels := self._labels.get(key):
            return labels
        name = method.removeprefix("/") if self._has_full_names else method.rpartition("/")[2]
        labels = (name, *key[1:])
        if len(self._labels) < MOST:
            self._labels[key] = labels
        return labels

    def _gauge(self, name: str, help_text: str, value: float) -> None:
        self._gauges[f"modelmesh_{name}"] = (help_text, value)


def _calls(name: str, help_text: str, bounds: tuple[float, ...], labels: Labels) -> Histograms:
    return Histograms(f"modelmesh_{name}", help_text, bounds, labels)
