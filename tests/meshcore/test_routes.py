"""The table that the plane serves from."""

from __future__ import annotations

from meshcore.commands import Holder, Local, Route
from meshcore.entry import Entry, State
from meshcore.events import Seen
from meshcore.records import ModelRecord
from meshcore.routes import Routes
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.builders import NOW, entry, instance, model


class Table:
    """Routes of instance a; b is there, c is not."""

    def __init__(self) -> None:
        self.view = ClusterView("a", NOW - 100, Settings(), 0)
        self.entries: dict[str, Entry] = {}
        self.told: list[Route] = []
        self.marked: list[tuple[str, bool]] = []
        self.routes = Routes(
            self.view,
            self.entries.get,
            self.told.append,
            lambda model, is_redundant: self.marked.append((model, is_redundant)),
        )
        self.view.see_instances(1, (Seen("b", instance(start_ms=NOW - 50).encode(), 1),))

    def update(self, record: ModelRecord | None) -> Route | None:
        """What the plane is told, if it is told something."""
        self.told.clear()
        self.routes.update("m", record)
        return self.told[0] if self.told else None


def test_route_names_the_live_copies_in_order() -> None:
    """Copies on instances that are gone, or from before an instance's start, are in no route."""
    table = Table()
    record = model(copies={"c": NOW, "b": NOW - 50, "a": NOW - 101}, ready={"b": NOW - 50})
    assert table.update(record) == Route("m", None, (Holder("b", NOW - 50, True),))
    assert table.update(model(copies={"b": NOW - 51})) == Route("m", None, ())


def test_copy_here_is_as_the_cache_has_it() -> None:
    """Whatever the record says of the copy here: the cache knows whether it is there and whether it answers."""
    table = Table()
    here = table.entries["m"] = entry("m", gen=3, load_ts=NOW, max_concurrency=4)
    record = model(copies={"a": NOW, "b": NOW}, ready={"a": NOW, "b": NOW})
    b = Holder("b", NOW, True)
    assert table.update(record) == Route("m", None, (Holder("a", NOW, False), b))
    here.state = State.SIZING
    assert table.update(record) == Route("m", Local(3, 4), (Holder("a", NOW, True), b))
    here.state = State.FAILED
    assert table.update(record) == Route("m", None, (b,))
    del table.entries["m"]
    assert table.update(record) is None


def test_copy_here_is_in_the_table_before_its_record_is() -> None:
    """What answers here answers, whether or not there is a record that can be read."""
    table = Table()
    table.entries["m"] = entry("m", state=State.ACTIVE)
    assert table.update(None) == Route("m", Local(1), (Holder("a", NOW, True),))


def test_plane_is_told_only_what_changed() -> None:
    """A route that is as it was is not told again, and one that never was is not taken back."""
    table = Table()
    assert table.update(model()) is None
    record = model(copies={"b": NOW})
    assert table.update(record) is not None
    assert table.update(record) is None
    assert table.update(None) == Route("m", None, ())
    assert table.update(None) is None


def test_models_of_an_instance_are_found_without_a_search() -> None:
    """An instance that comes or goes changes the routes of the models whose record names it, alive or not."""
    table = Table()
    table.update(model(copies={"c": NOW, "b": NOW}))
    table.routes.update("n", model(copies={"b": NOW}))
    assert (table.routes.naming("b"), table.routes.naming("c"), table.routes.naming("d")) == (["m", "n"], ["m"], [])
    assert "m" in table.routes
    table.update(model(copies={"b": NOW}))
    assert (table.routes.naming("b"), table.routes.naming("c")) == (["n", "m"], [])
    table.update(model())
    assert table.routes.naming("b") == ["n"]
    assert "m" not in table.routes


def test_copies_that_answer_are_counted() -> None:
    table = Table()
    assert table.routes.ready("m") == 0
    table.entries["m"] = entry("m", load_ts=NOW)
    table.update(model(copies={"a": NOW, "b": NOW}, ready={"b": NOW}))
    assert table.routes.ready("m") == 1
