from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshcore.reasons import Rule
from meshcore.units import NEVER
from meshd.metrics import AGE_MS, MESSAGE_BYTES, MODEL_BYTES, TIME_MS, Metrics
from meshd.series import MOST, Histograms, number_text
from tests.exposition import exported

METHOD = "/inference.GRPCInferenceService/ModelInfer"


def series(metrics: Metrics, *names: str) -> dict[str, float]:
    """The exposition's samples, each under its name with its labels: ``name a=b c=d``."""
    samples = {}
    for line in metrics.exposition(names).decode().splitlines():
        if not line.startswith("#"):
            labelled, _, value = line.rpartition(" ")
            samples[re.sub(r'\{?(\w+)="([^"]*)",?}?', r" \1=\2", labelled)] = float(value)
    return samples


def test_a_scraper_can_read_it_all() -> None:
    metrics = Metrics()
    metrics.api_request('/a.B/odd"\\\n', "OK", 1, 1, 1)
    metrics.instance(1, 2, 3, 4, 5)
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    labels = {sample.labels["method"] for family in families for sample in family.samples if "method" in sample.labels}
    assert labels == {'odd"\\\n'}


def test_a_request_is_counted_by_method_and_code() -> None:
    metrics = Metrics()
    metrics.api_request(METHOD, "OK", 3.0, 128, 129)
    metrics.api_request(METHOD, "OK", 5.0, 100_000_000, 1)
    metrics.api_request(METHOD, "NOT_FOUND", 0.1, 10, None)
    metrics.invoke_model(METHOD, "OK", 400_000)
    seen = series(metrics)
    api = "modelmesh_api_request_milliseconds"
    assert seen[f"{api}_bucket method=ModelInfer code=OK le=2.0"] == 0
    assert seen[f"{api}_bucket method=ModelInfer code=OK le=5.0"] == 2
    assert seen[f"{api}_bucket method=ModelInfer code=OK le=+Inf"] == 2
    assert seen[f"{api}_sum method=ModelInfer code=OK"] == 8.0
    assert seen[f"{api}_count method=ModelInfer code=NOT_FOUND"] == 1
    assert seen["modelmesh_request_size_bytes_bucket method=ModelInfer code=OK le=128.0"] == 1
    assert seen["modelmesh_request_size_bytes_bucket method=ModelInfer code=OK le=2097152.0"] == 1
    assert seen["modelmesh_response_size_bytes_bucket method=ModelInfer code=OK le=512.0"] == 2
    assert "modelmesh_response_size_bytes_count method=ModelInfer code=NOT_FOUND" not in seen
    assert seen["modelmesh_invoke_model_milliseconds_bucket method=ModelInfer code=OK le=300000.0"] == 0
    assert seen["modelmesh_invoke_model_milliseconds_bucket method=ModelInfer code=OK le=+Inf"] == 1


def test_the_text_is_the_one_that_model_mesh_writes() -> None:
    metrics = Metrics()
    metrics.invoke_model('/a.B/odd"\\\n', "OK", 1)
    metrics.age_at_eviction.observe(1)
    text = metrics.exposition().decode()
    assert "# TYPE modelmesh_loadmodel_failure counter\nmodelmesh_loadmodel_failure 0.0\n" in text
    assert '\nmodelmesh_age_at_eviction_milliseconds_bucket{le="7.776E9",} 1.0\n' in text
    assert '\nmodelmesh_invoke_model_milliseconds_count{method="odd\\"\\\\\\n",code="OK",} 1.0\n' in text
    assert text.count("# HELP") == len({line for line in text.splitlines() if line.startswith("# HELP")})


def test_buckets_are_the_known_ones() -> None:
    assert TIME_MS[0] == 0.5
    assert (len(TIME_MS), TIME_MS[-1]) == (19, 300_000)
    assert (AGE_MS[0], AGE_MS[-1]) == (30_000, 90 * 86_400_000)
    assert (MODEL_BYTES[0], MODEL_BYTES[-1]) == (262_144, 4 << 30)
    assert (MESSAGE_BYTES[0], MESSAGE_BYTES[-1]) == (128, 2 << 20)


def test_histograms_without_labels_and_counters_are_there_from_the_start() -> None:
    seen = series(Metrics())
    for name in (
        "cache_miss_milliseconds", "loadmodel_milliseconds", "unloadmodel_milliseconds",
        "loading_queue_delay_milliseconds", "model_sizing_milliseconds", "age_at_eviction_milliseconds",
        "loaded_model_size_bytes",
    ):  # fmt: skip
        assert seen[f"modelmesh_{name}_count"] == 0
    for name in ("modelmesh_unloadmodel_failure", "modelmesh_unloadmodel_attempt_failure", "meshd_hits", "meshd_cold"):
        assert seen[name] == 0
    assert {seen[f"meshd_decisions rule={rule}"] for rule in Rule} == {0}
    assert "modelmesh_models_managed_total" not in seen
    assert seen["process_resident_memory_bytes"] > 0


def test_what_is_counted_is_shown() -> None:
    metrics = Metrics()
    metrics.counters.requests += 3
    metrics.counters.load_failures += 1
    metrics.decision("place")
    metrics.decision("place")
    metrics.decision("evict")
    metrics.load.observe(15, "m")
    seen = series(metrics)
    assert (seen["meshd_requests"], seen["modelmesh_loadmodel_failure"]) == (3, 1)
    assert (seen["meshd_decisions rule=place"], seen["meshd_decisions rule=evict"]) == (2, 1)
    assert seen["modelmesh_loadmodel_milliseconds_bucket le=20.0"] == 1


def test_an_instance_says_how_full_it_is() -> None:
    metrics = Metrics()
    metrics.instance(lru=100_000, now=160_500, capacity_bytes=3000, used_bytes=1000, models=2)
    seen = series(metrics)
    assert seen["modelmesh_instance_lru_seconds"] == 100
    assert seen["modelmesh_instance_lru_age_seconds"] == 60
    assert (seen["modelmesh_instance_capacity_bytes"], seen["modelmesh_instance_used_bytes"]) == (3000, 1000)
    assert (seen["modelmesh_instance_used_bps"], seen["modelmesh_instance_models_total"]) == (3333, 2)
    metrics.instance(lru=NEVER, now=160_500, capacity_bytes=0, used_bytes=0, models=0)
    seen = series(metrics)
    assert (seen["modelmesh_instance_lru_seconds"], seen["modelmesh_instance_lru_age_seconds"]) == (160, 0)
    assert seen["modelmesh_instance_used_bps"] == 0


def test_an_instance_says_what_the_models_in_use_need_of_it() -> None:
    metrics = Metrics()
    metrics.wanted(750, 1000)
    assert series(metrics)["meshd_wanted_ratio"] == 0.75
    metrics.wanted(0, 0)
    assert series(metrics)["meshd_wanted_ratio"] == 0


def test_names_narrow_what_is_shown() -> None:
    metrics = Metrics()
    metrics.api_request(METHOD, "OK", 3.0, 1, 1)
    metrics.decision("place")
    assert set(series(metrics, "modelmesh_cache_miss_milliseconds_sum", "process_max_fds", "meshd_hits")) == {
        "modelmesh_cache_miss_milliseconds_sum", "process_max_fds", "meshd_hits",
    }  # fmt: skip
    whole = series(metrics, "modelmesh_api_request_milliseconds")
    assert len(whole) == len(TIME_MS) + 3
    assert metrics.exposition(("nothing",)) == b""


def test_full_names_and_series_for_each_model_are_there_when_asked_for() -> None:
    metrics = Metrics(has_full_names=True, is_per_model=True)
    metrics.api_request(METHOD, "OK", 1, 1, 1, "m", "v")
    metrics.invoke_model(METHOD, "OK", 1, "m")
    metrics.load.observe(1, "m")
    labels = "method=inference.GRPCInferenceService/ModelInfer code=OK"
    seen = series(metrics)
    assert seen[f"modelmesh_api_request_milliseconds_count {labels} modelId=m vModelId=v"] == 1
    assert seen[f"modelmesh_invoke_model_milliseconds_count {labels} modelId=m vModelId="] == 1
    assert seen["modelmesh_loadmodel_milliseconds_count modelId=m vModelId="] == 1


def test_names_from_clients_cannot_fill_the_memory() -> None:
    histograms = Histograms("h", "Help", (1,), ("method",))
    for number in range(MOST + 10):
        histograms.child((str(number),)).observe(0)
    text = histograms.text(lambda sample: sample == "h_count")
    assert 'h_count{method="other",} 10.0\n' in text
    assert len(text.splitlines()) == 2 + MOST + 1
    metrics = Metrics()
    for number in range(MOST + 10):
        metrics.invoke_model(f"/a.B/{number}", "OK", 0)
    assert len(metrics._labels) == MOST


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"), (1, "1.0"), (0.5, "0.5"), (-2.25, "-2.25"), (9_999_999, "9999999.0"), (1e7, "1.0E7"),
        (67_108_864, "6.7108864E7"), (-1.5e10, "-1.5E10"), (0.00025, "2.5E-4"), (math.inf, "+Inf"), (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)  # fmt: skip
def test_numbers_look_as_a_jvm_writes_them(value: float, text: str) -> None:
    assert number_text(value) == text


def test_who_leads_alone_tells_of_the_whole_cluster() -> None:
    metrics = Metrics()
    cluster = ("modelmesh_models_loaded_total", "modelmesh_models_with_failure_total", "modelmesh_models_managed_total")
    metrics.upkeep(True, 4, (1, 2, 3))
    seen = series(metrics)
    assert [seen[name] for name in cluster] == [1, 2, 3]
    assert (seen["meshd_leading"], seen["meshd_unsatisfied"]) == (1, 4)
    metrics.upkeep(False, 0, (1, 2, 3))
    seen = series(metrics)
    assert seen["meshd_leading"] == 0
    assert not seen.keys() & {*cluster, "meshd_unsatisfied"}


def test_the_page_says_of_every_metric_what_it_tells() -> None:
    """And of none that there is not (docs/operations.md, metrics)."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    section = page.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`((?:modelmesh|meshd|process|python)_\w+)`", row)]
    first = [name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert {series.family for series in exported().values()} == set(told)
    assert len(first) == len(set(first))
    for row in rows:
        labels = {label for name in re.findall(r"`(\w+)`", row.split(" | ")[0]) for label in labels_of(name)}
        assert labels - {"le"} <= set(re.findall(r"`(\w+)`", row.split(" | ")[1])), row


def labels_of(family: str) -> set[str]:
    return {label for series in exported().values() if series.family == family for label in series.labels}
