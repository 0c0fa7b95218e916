"""Models without copies, the latest used first."""

from __future__ import annotations

from meshcore.events import Seen
from meshcore.idle import SPARE, IdleModels
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.meshcore.instances import T


class Registry:
    """A view with models in it, and their index."""

    def __init__(self, **last_used: int) -> None:
        self.view = ClusterView("a", T, Settings(), 0)
        self.revision = 0
        self.idle = IdleModels(self.view)
        for model, used in last_used.items():
            self.put(model, ModelRecord("t", last_used=used), is_told=False)
        self.idle.begin()

    def put(self, model: str, record: ModelRecord | None, is_told: bool = True) -> None:
        self.revision += 1
        self.view.see_models(self.revision, (Seen(model, record.encode() if record else None, self.revision),))
        if is_told:
            self.idle.seen(model)


def taken(registry: Registry) -> list[tuple[str, int]]:
    """All there is from the head on, which is given back."""
    found = []
    while not registry.idle.is_spent:
        found += registry.idle.take(3)
    registry.idle.give_back()
    while not registry.idle.is_whole:
        registry.idle.look(3)
    return found


def test_models_are_looked_at_some_at_a_time() -> None:
    """A million registrations are not read at once."""
    registry = Registry(m1=1, m2=2, m3=3)
    assert registry.idle.look(2) == ["m1", "m2"]
    assert not registry.idle.is_whole
    assert registry.idle.look(2) == ["m3"]
    assert registry.idle.is_whole
    assert taken(registry) == [("m3", 3), ("m2", 2), ("m1", 1)]
    assert taken(registry) == [("m3", 3), ("m2", 2), ("m1", 1)], "all was given back"


def test_who_goes_through_it_meets_each_once() -> None:
    """Also one that is another one meanwhile, or that all are looked at anew."""
    registry = Registry(m1=1, m2=2, m3=3)
    registry.idle.look(9)
    assert registry.idle.take(1) == [("m3", 3)]
    registry.put("m3", ModelRecord("t", last_used=9))
    assert registry.idle.take(1) == []
    registry.idle.begin()
    registry.idle.look(9)
    assert registry.idle.take(2) == [("m2", 2)]
    assert not registry.idle.is_spent
    assert registry.idle.take(9) == [("m1", 1)]
    assert registry.idle.is_spent
    registry.idle.give_back()
    registry.idle.look(9)
    assert taken(registry) == [("m3", 9), ("m2", 2), ("m1", 1)]


def test_equal_last_uses_are_told_apart_by_the_id() -> None:
    """D-15: models that were registered together have the same last use, and none is lost for it."""
    registry = Registry(b=5, c=5, a=5, d=0)
    registry.idle.look(9)
    assert taken(registry) == [("a", 5), ("b", 5), ("c", 5), ("d", 0)]


def test_index_follows_what_changes() -> None:
    """A model with a copy is not in it, and is again once it has none, with its last use of then."""
    registry = Registry(m=1, n=2)
    registry.idle.look(9)
    registry.put("n", ModelRecord("t", last_used=3, copies={"a": T}))
    assert taken(registry) == [("m", 1)]
    registry.put("n", ModelRecord("t", last_used=4, failures={"a": Failure(T, "bad")}))
    registry.put("n", ModelRecord("t", last_used=4, failures={"b": Failure(T, "bad")}))
    assert taken(registry) == [("n", 4), ("m", 1)]
    registry.put("m", None)
    registry.put("o", ModelRecord("t"))
    assert taken(registry) == [("n", 4), ("o", 0)]


def test_index_stays_as_small_as_what_it_is_of() -> None:
    """Models that come and go leave entries that no longer hold: with too many of these it is made anew."""
    registry = Registry(m=1)
    registry.idle.look(9)
    for number in range(2 * SPARE):
        registry.put(f"gone-{number}", ModelRecord("t", last_used=number))
        registry.put(f"gone-{number}", None)
    assert len(registry.idle._heap) <= SPARE + 2
    registry.idle.look(9)
    assert taken(registry) == [("m", 1)]
    registry.idle.begin()
    registry.idle.take(1)
    registry.idle.end()
    assert registry.idle.is_whole
    assert registry.idle.is_spent
    registry.idle.give_back()
    assert registry.idle.is_whole
