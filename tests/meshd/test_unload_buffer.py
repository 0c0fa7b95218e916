"""Room for loads while copies are being unloaded, on a live instance: 1 GiB, models of 50 MiB, six loads at a time.

In units of 8 KiB: capacity 131,072, a model 6,400, reserve 9,600. Unloads end when the test lets them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

UNIT = 8192
CAPACITY, MODEL, RESERVE = 131_072, 6_400, 9_600
FIRST = [f"m{number:02}" for number in range(18)]


class SixAtATime(Fake):
    max_loading_concurrency = 6
    default_model_size_bytes = 50 * MIB


@pytest.fixture
def full() -> Iterator[Mesh]:
    """18 models are loaded, which is all that fit beside the reserve, and unloads are held."""
    with mesh(1, runtime=SixAtATime, default=Behaviour(size=50 * MIB), MM_MIN_CHURN_AGE_MS="0") as lone:
        for name in FIRST:
            lone.client.register(name)
            lone.client.ensure(name)
        assert used(lone) == (18 * MODEL, CAPACITY - RESERVE)
        assert count(lone, "evict") == 0
        lone[0].fake.unloads.shut()
        yield lone
        lone[0].fake.unloads.open()


def count(lone: Mesh, rule: str) -> float:
    return lone[0].metrics().get(f'meshd_decisions{{rule="{rule}",}}', 0)


def used(lone: Mesh) -> tuple[float, float]:
    """Units that models take, and units there are for them."""
    metrics = lone[0].metrics()
    return (
        metrics["modelmesh_instance_used_bytes"] / UNIT,
        metrics["modelmesh_instance_capacity_bytes"] / UNIT,
    )


def ask(lone: Mesh, *names: str) -> None:
    """Have further models loaded, one after the other, and wait for none."""
    for name in names:
        lone.client.register(name)
        lone.client.ensure(name, sync=False)


def loaded(lone: Mesh) -> set[str]:
    return {name for name in lone[0].fake.models if lone.client.state(name) == "LOADED"}


def test_two_further_loads_start_at_once_and_the_third_waits_for_the_first_unload(full: Mesh) -> None:
    """U + size + O: 0 + 6,400 + 115,200 and 6,400 + 6,400 + 115,200 fit, 12,800 + 6,400 + 115,200 do not."""
    fake = full[0].fake
    for number, buffer in (("1", RESERVE), ("2", 2 * MODEL)):
        ask(full, f"n{number}")
        until(lambda number=number: f"n{number}" in fake.models, "it starts at once")  # type: ignore[misc]
        until(lambda number=number: fake.unloads.waiting == int(number), "one goes for it")  # type: ignore[misc]
        assert used(full) == (18 * MODEL, CAPACITY - buffer)
    ask(full, "n3")
    until(lambda: fake.unloads.waiting == 3, "the third one has its place, and its victim goes")
    assert (count(full, "evict"), count(full, "load")) == (3, 20)
    assert full.client.state("n3") == "LOADING"
    until(lambda: loaded(full) == {*FIRST[3:], "n1", "n2"}, "those used least recently went, as many as needed")
    full.run(_let(fake, 1))
    until(lambda: full.client.state("n3") == "LOADED", "the first unload is what it waited for")
    assert (count(full, "evict"), count(full, "load"), fake.unloads.waiting) == (3, 21, 2)
    assert fake.peak_bytes == 20 * 50 * MIB, "memory that was in use at the most: all there is would be 20.48 of them"
    assert used(full) == (18 * MODEL, CAPACITY - 2 * MODEL)
    full.run(_let(fake, 2))
    until(lambda: used(full)[1] == CAPACITY - RESERVE, "all memory is back")


def test_what_waits_starts_in_order_one_for_each_unload(full: Mesh) -> None:
    """Whoever came first; nobody is passed by, and no load makes two others go."""
    fake = full[0].fake
    names = [f"n{number}" for number in range(6)]
    ask(full, *names)
    for started in range(2, 7):
        until(lambda started=started: fake.total.loads == 18 + started, "as many as there is memory for")  # type: ignore[misc]
        until(
            lambda started=started: fake.unloads.waiting == min(3, 7 - started) or started > 4, "the next has its place"
        )  # type: ignore[misc]
        assert [name for name in names if name in fake.models] == names[:started]
        full.run(_let(fake, 1))
    until(lambda: full.client.state("n5") == "LOADED", "all are loaded")
    assert (count(full, "evict"), count(full, "load")) == (6, 24)


async def _let(fake: Fake, number: int) -> None:
    fake.unloads.let(number)
