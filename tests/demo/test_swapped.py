"""The demo's own check, on a real mesh in which two models stand under each other's names."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from demo.client import endpoints, send
from demo.fleet import Fleet
from demo.traffic import Ask
from demo.training import Model, models
from demo.zoo import Recipe
from tests.etcd import find_etcd

pytestmark = [pytest.mark.e2e, pytest.mark.etcd]

RECIPES = [
    Recipe("wine/tree", "wine", DecisionTreeClassifier(max_depth=3, random_state=1), is_classifier=True),
    Recipe("wine/logistic", "wine", LogisticRegression(C=1e-5, max_iter=5000), is_classifier=True),
    Recipe("wine/stump", "wine", DecisionTreeClassifier(max_depth=1, random_state=1), is_classifier=True),
]
EACH = 20


def mistakes(registered: list[Model], trained: list[Model], folder: Path, data_dir: Path) -> Counter[str]:
    """How many answers the demo's client calls wrong, by model, in a mesh with these registrations."""

    async def run() -> Counter[str]:
        processes = await fleet.up(registered, folder, 4 << 20)
        addresses = [process.address for process in processes]
        asks = [Ask(0.0, number, row) for row in range(EACH) for number in range(len(trained))]
        async with aiohttp.ClientSession() as http, endpoints(addresses, http) as ready:
            answers = await send(asks, trained, ready, lambda _: None)
        assert [answer.failure for answer in answers if answer.failure] == []
        return Counter(trained[answer.ask.model].name for answer in answers if answer.mistake)

    fleet = Fleet(data_dir, lambda _: None, instances=1)
    try:
        return asyncio.run(run())
    finally:
        fleet.down()


def test_wrong_answers_are_found_when_two_models_are_swapped(tmp_path: Path) -> None:
    find_etcd()
    folder = tmp_path / "models"
    trained = models(RECIPES, folder, lambda _: None)
    tree, logistic, stump = trained
    swapped = [replace(tree, file=logistic.file), replace(logistic, file=tree.file), stump]
    assert mistakes(swapped, trained, folder, tmp_path / "mesh") == {"wine/tree": EACH, "wine/logistic": EACH}
