"""docs/simulator.md knows every key of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from sim.metrics import METRICS
from sim.reading import parse_scenario
from sim.scenario import Scenario
from sim.workloads import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))


def keys(model: type[BaseModel]) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        found.append(name)
        inner = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type)]
        if name != "settings":
            found += [key for part in inner if issubclass(part, BaseModel) for key in keys(part)]
    return found


@pytest.mark.parametrize("key", sorted({*keys(Scenario), *(key for model in REGISTRY.values() for key in keys(model))}))
def test_the_page_names_the_key(key: str) -> None:
    assert any(f"{before}{key}{after}" in PAGE for before in "`.{ " for after in "`,}: ")


def test_the_scenario_on_the_page_is_one_and_its_variants_too() -> None:
    """Each further example takes the place of the keys that it has."""
    text, *variants = (part.partition("```")[0] for part in PAGE.split("```yaml\n")[1:])
    assert parse_scenario(text, "docs/simulator.md").seed == 7
    assert len(variants) > 5
    for variant in variants:
        parse_scenario(yaml.safe_dump(yaml.safe_load(text) | yaml.safe_load(variant)), f"docs/simulator.md: {variant}")


@pytest.mark.parametrize("metric", METRICS)
def test_the_page_names_the_metric(metric: str) -> None:
    """Quantiles are named apart from what they are of."""
    before, _, last = metric.rpartition("_")
    is_quantile = metric.startswith(("latency_", "cold_start_wait_"))
    assert [name for name in ((f"{before}_", last) if is_quantile else (metric,)) if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_page_lists_the_scenario_with_its_question(path: Path) -> None:
    question = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    assert f"| `{path.stem}` | {question} | " in PAGE
