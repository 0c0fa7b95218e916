"""A scenario played as a cache alone: one instance whose models are there at once, so that only who stays matters.

The decisions are the mesh's own as ever; what is taken away is the time that things take, and what the rules keep free
or refuse because things take time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import cycle, repeat

from meshcore.asks import Failed
from meshcore.capacity import CacheParams
from meshcore.errors import NeverFits
from meshcore.records import ModelRecord
from meshcore.units import UNIT_BYTES, to_units
from sim.given import Arrivals, Book, Ending, World
from sim.plane import Server
from sim.scenario import Scenario


class AtOnce:
    """Model servers and a store that take no time."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes = sizes

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, int, str]:
        """No load fails."""
        return 0, 0, ""

    def unload_ms(self, instance: str, model: str, gen: int) -> int:
        """To give memory back."""
        return 0

    def size_ms(self, instance: str, model: str, gen: int) -> int:
        """To measure a size."""
        return 0

    def size_bytes(self, model: str) -> int:
        """What a model takes of memory, as its registration says, too."""
        return self._sizes[model]

    def predicted_bytes(self, model: str) -> int:
        """The same."""
        return self._sizes[model]

    def max_concurrency(self, model: str) -> int:
        """Any number of requests."""
        return 0

    def commit_ms(self, instance: str, key: str, expect: int) -> int:
        """To commit."""
        return 0

    def read_ms(self, instance: str, key: str) -> int:
        """To read."""
        return 0

    def watch_ms(self, instance: str) -> int:
        """To see a commit."""
        return 0


def cache_params(scenario: Scenario) -> CacheParams:
    """All of the memory is for models, and no load is refused."""
    return CacheParams(
        capacity_units=scenario.instances.capacity // UNIT_BYTES,
        reserve_units=0,
        min_space_units=1,
        default_units=1,
        load_threads=scenario.instances.loading_concurrency,
        load_timeout_ms=scenario.instances.loading_timeout_ms,
        limits_concurrency=False,
        assume_loaded_ms=0,
        min_churn_age_ms=0,
    )


def as_cache(scenario: Scenario, world: World, sizes: dict[str, int]) -> World:
    """The world without what takes time, where registrations say how large models are."""
    ways = AtOnce(sizes)
    named = zip(sizes.items(), cycle(scenario.model_types()), strict=False)
    return replace(
        world,
        registrations={
            model: ModelRecord(kind, last_used=world.start_ms, size_bytes=size).encode()
            for (model, size), kind in named
        },
        ways=ways,
        delays=ways,
        server=lambda _: Server(1, repeat(0.0)),
        patience_ms=None,
    )


def in_turn(traffic: Iterable[Arrivals], sizes: dict[str, int], world: World, book: Book) -> Iterator[Arrivals]:
    """One request after the other, a millisecond apart, whenever they came.

    Those for models that are larger than all of the memory fail before they come to the cache, as nothing in it may
    change for them; ``book`` is told.
    """
    (instance,), at = world.instances, 0
    most = world.params(instance).capacity_units
    fitting = {model: to_units(size) <= most for model, size in sizes.items()}
    for _, models, _ in traffic:
        instants, kept = [], []
        for model in models:
            at += 1
            if fitting[model]:
                instants.append(float(at))
                kept.append(model)
            else:
                text = f"{model} of {sizes[model]} bytes is larger than the capacity of {most * UNIT_BYTES} bytes"
                book.ended(Ending(instance, at, at, Failed(NeverFits(text))))
        yield instants, kept, [0] * len(kept)
