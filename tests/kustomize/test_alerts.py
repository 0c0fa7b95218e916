"""Alerts look at what meshd exports, come out as they are meant, and say where it is written what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tests.exposition import exported
from tests.kustomize.objects import KUSTOMIZE
from tests.kustomize.promql import TARGET, labels, named, parsed, selected
from tests.pages import anchors, unknown_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations.md").read_text("utf-8")
FILE = yaml.safe_load((KUSTOMIZE / "components/alerts/prometheusrule.yaml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in FILE["spec"]["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = frozenset(rule["record"] for rule in RULES if "record" in rule)
NOT_OURS = {"up"}
"""What Prometheus itself says of who is scraped."""

rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
alerts = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def wrong(expression: str) -> list[str]:
    """What meshd exports nothing of."""
    found = []
    tree = parsed(expression)
    for each in selected(tree):
        if each.name in RECORDED | NOT_OURS:
            continue
        series = exported().get(each.name)
        if series is None:
            found.append(f"{each.name} is not exported")
            continue
        if each.is_rated and not series.is_counter:
            found.append(f"{each.name} does not only grow")
        for label, operator, value in each.matchers:
            values = {code.name for code in grpc.StatusCode} if label == "code" else series.labels.get(label, set())
            wanted = value.split("|") if operator in ("Re", "NotRe") else [value]
            found += [f"{each.name} has no {label}={one}" for one in wanted if one not in values]
    known = TARGET.union(*(series.labels for series in exported().values()))
    found += [f"there is no label {label}" for label in named(tree) if label not in known]
    return found


@rules
def test_it_looks_at_what_is_exported(rule: dict[str, Any]) -> None:
    assert wrong(rule["expr"]) == []


@rules
def test_what_it_compares_meets(rule: dict[str, Any]) -> None:
    of = labels(parsed(rule["expr"]), RECORDED)
    assert {"namespace", "job"} <= of
    if "record" in rule:
        assert of == {"namespace", "job"}


@alerts
def test_it_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"[0-9]+[mh]", alert["for"])
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook"}
    assert unknown_commands(told["description"]) == []


@alerts
def test_its_text_names_labels_that_it_has(alert: dict[str, Any]) -> None:
    text = alert["annotations"]["summary"]
    used = re.findall(r"\{\{ (.*?) \}\}", text)
    known = {f"$labels.{label}" for label in labels(parsed(alert["expr"]), RECORDED)}
    values = {"$value", *(f"$value | {how}" for how in ("humanize", "humanize1024", "humanizePercentage"))}
    assert set(used) <= known | values
    assert {"$labels.job", "$labels.namespace"} <= set(used), "of several meshes it says which one"


@alerts
def test_its_section_is_there(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == "docs/operations.md"
    assert anchor in anchors(PAGE)


def test_the_page_lists_them_all() -> None:
    told = re.findall(r"^\| `(Meshd\w+)` \| (\w+) \| .* \[.*\]\(#([a-z-]+)\) \|$", PAGE, re.MULTILINE)
    assert told == [
        (each["alert"], each["labels"]["severity"], each["annotations"]["runbook"].partition("#")[2]) for each in ALERTS
    ]
    assert len({name for name, _, _ in told}) == len(told)


def test_examples_on_the_page_look_at_what_is_exported() -> None:
    examples = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    queries = [query for example in examples for query in re.split(r"\n\s*\n", example.strip())]
    assert len(queries) > 4
    assert [found for query in queries for found in wrong(query)] == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("meshd_request > 0", "meshd_request is not exported"),
        ("meshd_requests_total > 0", "meshd_requests_total is not exported"),
        ('meshd_decisions{rule="fails"} > 0', "meshd_decisions has no rule=fails"),
        ('modelmesh_api_request_milliseconds_count{code=~"OK|BAD"}', "modelmesh_api_request_milliseconds_count has no"),
        ("rate(meshd_leading[5m])", "meshd_leading does not only grow"),
        ("sum by (pod) (meshd_requests)", "there is no label pod"),
    ],
)
def test_a_mistake_is_noticed(expression: str, found: str) -> None:
    assert [each.startswith(found) for each in wrong(expression)] == [True]


def test_sides_that_never_meet_are_noticed() -> None:
    with pytest.raises(AssertionError, match="and"):
        labels(parsed("meshd_lost_bytes > 0 and sum by (job) (meshd_requests) > 0"), RECORDED)
