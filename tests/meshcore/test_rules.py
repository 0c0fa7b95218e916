"""Rules that are not ours, and what they are given to go by."""

from __future__ import annotations

from collections.abc import Iterator

from meshcore.cache import Cache
from meshcore.entry import Entry
from meshcore.eviction import lru_order
from meshcore.meter import Meter
from meshcore.ranking import EvictKey, EvictOrder
from meshcore.reasons import Rule
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.units import NEVER
from tests.builders import NOW, entry, loaded, model, names, params
from tests.meshcore.lone import Lone
from tests.meshcore.scale import MINUTE, SECOND, Scaled, rules


class NewestFirst:
    """The copy that came last goes first, and every load finds room; notes who went, and whether for room."""

    def __init__(self, order: EvictOrder) -> None:
        self.order = order
        self.models: list[str] = []
        self.went: list[tuple[str, bool]] = []

    def put(self, entry: Entry, last_used: int) -> None:
        if entry.model not in self.models:
            self.models.insert(0, entry.model)

    def discard(self, model: str, made_room: bool = False) -> None:
        if model in self.models:
            self.models.remove(model)
            self.went.append((model, made_room))

    def oldest(self) -> int:
        return 1 if self.models else NEVER

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        return entry.priority, len(self.models)

    def ascending(self, now: int) -> Iterator[tuple[EvictKey, str]]:
        return (((0, place), model) for place, model in enumerate(self.models))


def test_a_cache_evicts_in_the_order_that_it_is_given() -> None:
    ranking = NewestFirst(lru_order)
    cache = Cache(params(), ranking)
    copies = [loaded(cache, f"m{number}", 30, age_ms=MINUTE * number) for number in range(3)]
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["m2"]
    cache.remove(copies[0])
    assert ranking.went == [("m2", True), ("m0", False)]
    assert cache.oldest_ms == 1


def test_a_pinned_copy_is_in_no_order() -> None:
    ranking = NewestFirst(lru_order)
    cache = Cache(params(), ranking)
    copy = loaded(cache, "m", 30)
    cache.reprioritise(copy, 5, True, NOW)
    assert ranking.models == []
    cache.reprioritise(copy, 5, False, NOW)
    assert ranking.models == ["m"]


def test_each_node_has_an_order_of_its_own() -> None:
    chosen = Rules(ranking=NewestFirst)
    made = [Lone(rules=chosen).node.cache._planner._ranking for _ in range(2)]
    assert made[0] is not made[1]
    assert [ranking.order for ranking in made if isinstance(ranking, NewestFirst)] == [lru_order, lru_order]


def test_what_regular_use_is_can_be_another_rule() -> None:
    """Here one use suffices; the meter is what it may keep something in."""
    asked: list[int] = []

    def always(meter: Meter, at: int, settings: Settings) -> bool:
        asked.append(meter.first_use)
        meter.first_use = at
        return True

    scaled = Scaled(rules=Rules(is_used_regularly=always))
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=60)
    assert (rules(scaled), asked) == ([Rule.SECOND_COPY], [-1])


def test_a_rule_knows_how_new_the_latest_other_copy_is_and_how_long_loads_take() -> None:
    seen: list[Standing] = []

    def noted(standing: Standing, settings: Settings) -> int:
        seen.append(standing)
        return 0

    scaled = Scaled(rules=Rules(scale_up=noted))
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=2100)
    copies = {"a": scaled.node.cache.entries["m"].load_ts, "b": scaled.now - 40, "c": scaled.now - 30}
    scaled.know("m", model(copies=copies, ready=copies))
    scaled.go(10 * SECOND, rpm=2100)
    assert [standing.newest_ms for standing in seen] == [NEVER, 10 * SECOND + 30]
    assert {standing.load_ms for standing in seen} == {scaled.node.copies.load_times.expected_ms("onnx", -1)}
