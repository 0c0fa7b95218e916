"""What a scenario file may say, and what is said about one that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcore.settings import Settings
from sim.reading import ScenarioError, parse_scenario, read_scenario
from sim.sweep_paths import read_source
from tests.sim.small import without_line

SMALL = """
duration_s: 10
instances: {count: 3, capacity: 1.5 GiB}
models: {count: 12, size: 10MB}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 2}
traffic: {workload: zipf, requests_per_s: 10}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "a.yaml")
    return caught.value.problems


def test_sizes_are_read_with_their_units() -> None:
    scenario = parse_scenario(SMALL, "a.yaml")
    assert scenario.instances.capacity == 3 << 29
    assert scenario.models.size == 10_000_000


def test_what_is_not_said_is_the_default_of_the_rules() -> None:
    assert parse_scenario(SMALL, "a.yaml").core_settings() == Settings()


def test_a_setting_of_the_rules_is_taken_over() -> None:
    scenario = parse_scenario(SMALL + "settings: {min_churn_age_ms: 0}", "a.yaml")
    assert scenario.core_settings() == Settings(min_churn_age_ms=0)


def test_names_sort_as_they_are_numbered() -> None:
    ids = parse_scenario(SMALL, "a.yaml").model_ids()
    assert ids[0] == "model-00"
    assert ids == sorted(ids)
    assert len(ids) == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "sed: 1", ": sed: unknown key, did you mean seed; allowed: seed, start, duration_s, "),
        (
            SMALL.replace("base_ms", "bas_ms"),
            ": runtime.load.bas_ms: unknown key, did you mean base_ms; allowed: base_ms, bandwidth",
        ),
        (
            SMALL + "settings: {max_round: 1}",
            ": settings.max_round: unknown key, did you mean max_rounds; allowed: min_churn_age_ms, max_rounds",
        ),
        (
            SMALL + "failures: [{model: model-00, instanc: [a]}]",
            ": failures.0.instanc: unknown key, did you mean instances; allowed: model, instances, ",
        ),
        (SMALL.replace("count: 3", "count: 0"), ": instances.count: 0 must be greater than or equal to 1"),
        (SMALL.replace("count: 3", "count: three"), ": instances.count: 'three' must be a whole number"),
        (
            SMALL.replace("10MB", "10 Megs"),
            ": models.size: '10 Megs' must be a number of bytes, or one with a unit: B, KB, KiB, ",
        ),
        (SMALL.replace("size: 10MB", "sizes: [1]"), ": models: must have a size for each of the 12 models, not"),
        (
            SMALL.replace("size: 10MB", ""),
            ": models: must have one of size, sizes, lognormal, quantiles and mixture",
        ),
        (
            SMALL.replace("zipf", "zip"),
            ": traffic.workload: 'zip' must be one of burst, recorded, streams, trace, zipf",
        ),
        (
            SMALL.replace("requests_per_s", "request_per_s"),
            ": traffic.request_per_s: unknown key, did you mean requests_per_s; allowed: ",
        ),
        (
            SMALL.replace("zipf, requests_per_s: 10", "recorded, at_ms: [1.0], models: [12]"),
            ": traffic.models.0: 12 must be less than models.count, 12",
        ),
        (
            SMALL.replace("zipf, requests_per_s: 10", "recorded, at_ms: [1.0], models: [1], instances: [3]"),
            ": traffic.instances.0: 3 must be less than instances.count, 3",
        ),
        (
            SMALL.replace("10}", "10, peaks: [{model: 12, from_s: 1, until_s: 2, requests_per_s: 5}]}"),
            ": traffic.peaks.0.model: 12 must be less than models.count, 12",
        ),
        (
            SMALL.replace("10}", "10, peaks: [{model: 1, from_s: 2, until_s: 2, requests_per_s: 5}]}"),
            ": traffic.peaks.0.until_s: 2 must be more than from_s, 2",
        ),
        (
            SMALL + "settings: {second_copy_min_ms: 2400000}",
            ": second_copy_min_ms is 2400000; it has to be below second_copy_max_ms, 2400000",
        ),
        (SMALL.replace("mean_ms: 2", "mean_ms: .nan"), ": runtime.service.mean_ms: nan must be a finite number"),
        (SMALL + "warmup_s: 1e0", ": warmup_s: '1e0' must be a number; YAML takes it for text, as 1.0e+3 it is one"),
        (SMALL + "warmup_s: 10", ": warmup_s: 10 must be less than duration_s, 10"),
        (
            SMALL + "failures: [{model: gone}]",
            ": failures.0.model: 'gone' must be one of model-00 to model-11",
        ),
        (
            SMALL + "failures: [{model: model-00, instances: [i]}]",
            ": failures.0.instances: 'i' must be one of instance-0 to instance-2",
        ),
        (
            SMALL + "constraints: {gpu: {requird: [gpu]}}",
            ": constraints.gpu.requird: unknown key, did you mean required; allowed: required, preferred",
        ),
        (
            SMALL + "constraints: {simulated: {required: gpu}}",
            ": constraints.simulated.required: 'gpu' must be a list",
        ),
        (
            SMALL + "constraints: {simulated: {required: [gpu, big]}}",
            ": constraints.simulated.required: big, gpu must be in instances.labels of some instance, else",
        ),
        (
            SMALL.replace("GiB", "GiB, labels: [[], [], [], [gpu]]") + "constraints: {_default: {required: [gpu]}}",
            ": constraints._default.required: gpu must be in instances.labels of some instance, else models of "
            "type simulated load nowhere",
        ),
        (SMALL.replace("GiB", "GiB, labels: [gpu]"), ": instances.labels.0: 'gpu' must be a list"),
        (SMALL.replace("GiB", "GiB, zones: []"), ": instances.zones: [] must have at least 1 item, not 0"),
        (
            SMALL.replace("GiB", "GiB, labels: [['']]"),
            ": instances.labels.0.0: '' must have at least 1 character",
        ),
        (
            SMALL.replace("runtime:", "runtime:\n  concurrency: 8\n  model_concurrency: 2"),
            ": runtime: must have one of concurrency and model_concurrency",
        ),
        (SMALL.replace("10MB", "10MB, type: a, types: [b]"), ": models: must have one of type and types"),
        (SMALL.replace("duration_s: 10", ""), ": duration_s: is missing"),
        (SMALL + "duration_s: 11", ":1: duration_s is given twice"),
        (
            SMALL + "start: 2026-01-05",
            ": start: 2026-01-05 must be a day and a time with its zone, as 2026-01-05T08:00:00Z",
        ),
        (SMALL + "start: 2026-01-05 08:00:00", ": start: 2026-01-05 08:00:00 must be a day and a time with its zone"),
        (
            SMALL.replace("zipf", "null"),
            ": traffic.workload: None must be one of burst, recorded, streams, trace, zipf",
        ),
        (
            SMALL.replace("1.5 GiB", "'1.5'"),
            ": instances.capacity: '1.5' must be a whole number of bytes where it has no",
        ),
        (
            SMALL + "kills: [{instance: instance-0, at_s: 1.0e+308}]",
            ": kills.0.at_s: 1e+308 must be less than or equal to 1000000000",
        ),
        (
            SMALL + "churn: {changes: [{at_s: 1.0e+308, unregisters: [0]}]}",
            ": churn.changes.0.at_s: 1e+308 must be less than or equal to 31622400",
        ),
        ("a: [", ":5: "),
        ("- 1", ": must be a mapping with the keys seed, start, duration_s, "),
    ],
)
def test_a_mistake_is_named_with_its_place_its_value_and_what_is_allowed(text: str, said: str) -> None:
    assert without_line(problems(text)[0], "a.yaml").startswith(said)


def test_all_mistakes_are_named_at_once() -> None:
    assert len(problems(SMALL.replace("count", "coun"))) == 4  # each key unknown, each missing


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml: there is no such file"):
        read_scenario(tmp_path / "nowhere.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\n\xff\xfe\x00")
    with pytest.raises(ScenarioError, match=r"a\.yaml:2: byte 6 of the file is not UTF-8$"):
        read_scenario(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("start: 2026-13-45", "a.yaml:1:8: month must be in 1..12"),
        ("seed: !!int many", "a.yaml:1:7: invalid literal for int()"),
        ("duration_s: " + "[" * 800, "a.yaml: has brackets in brackets deeper than can be read"),
        ("seed: " + "9" * 5000, "a.yaml:1:7: the number is larger than any that may be given"),
        ("instances: {count: 0x" + "f" * 5000 + "}", "a.yaml:1:20: the number is larger than any that may be given"),
        ("a: 1\n1: 2", "a.yaml:2:1: the key 1 must be text; in quotes it is"),
        ("null: 2", "a.yaml:1:1: the key null must be text; in quotes it is"),
        ("seed: 1\n--- {}", "a.yaml:2:1: expected a single document in the stream, but found another document"),
        ("a: 1\nb: \0", "a.yaml:2: the character '\\x00' must not be in it"),
    ],
    ids=["no such day", "no such number", "too deep", "too long", "too long in hex", "number", "null", "two", "NUL"],
)
def test_yaml_that_has_no_value_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "a.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith(said)
    assert "\n" not in problem


@pytest.mark.parametrize("name", ["publish_period_ms", "janitor_period_ms", "rate_period_ms", "predict_deadline_ms"])
def test_a_setting_with_which_nothing_would_go_on_is_refused(name: str) -> None:
    with pytest.raises(ScenarioError, match=f"settings.{name}: -1 must be greater than or equal to"):
        parse_scenario(f"settings: {{{name}: -1}}", "a.yaml")


def test_a_value_is_told_in_a_short_line_however_large_it_is() -> None:
    lists = ["seed: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 7))]
    for text in ("\n".join([*lists, "start: *a6"]), f"seed: {'x' * 100_000}", '"a\\nb": 1'):
        for problem in problems(SMALL + text):
            assert len(problem) < 500
            assert "\n" not in problem


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# Why?\n" + SMALL, encoding="utf-8-sig")
    assert read_source(tmp_path / "a.yaml").question == "Why?"
