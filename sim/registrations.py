"""Which models of a scenario are registered when: what the mesh is asked for, and what clients ask for then."""

from __future__ import annotations

from collections.abc import Iterator

from meshcore.asks import Register, Unregister
from sim.churn import Errand
from sim.scenario import Scenario
from sim.workloads.churn import Known


def at_first(scenario: Scenario) -> int:
    """How many models are registered at the start: the first by number."""
    churn, models = scenario.churn, scenario.models.count
    return models if churn is None else churn.at_first(models)


def errands(scenario: Scenario) -> Iterator[Errand]:
    """What is asked for as models come and go."""
    if (churn := scenario.churn) is None:
        return
    models, types = scenario.model_ids(), scenario.model_types()
    for turn in churn.turns(scenario.seed, len(models), scenario.duration_s * 1000):
        model, model_type = models[turn.model], types[turn.model % len(types)]
        coming = Register(model, model_type, should_load=churn.is_loaded)
        yield Errand(turn.at_ms, coming if turn.is_coming else Unregister(model))


def known_models(scenario: Scenario) -> Known | None:
    """Which models are asked for; None: any at any time."""
    churn, models = scenario.churn, scenario.models.count
    if churn is None or churn.asks_unregistered:
        return None
    turns = churn.turns(scenario.seed, models, scenario.duration_s * 1000)
    return Known(turns, models, churn.at_first(models))
