"""Where one request has been."""

from __future__ import annotations

from meshcore.asks import Answered, Kind, Met, Request
from meshcore.errors import LoadFailure
from meshcore.records import Failure
from meshcore.trip import Trip
from tests.builders import NOW, model


def test_request_goes_on_with_what_it_has_met() -> None:
    """A peer is told of every copy and target so far; a target is not told of itself."""
    trip = Trip(tried=[("b", 1)], targets=["c", "d"])
    request = Request("m", is_balanced=True, hops=1, met=Met("b", 1, 0, Answered(None)))
    hit = Request("m", kind=Kind.HIT, tried=(("b", 1),), targets=("c", "d"), origin="a", hops=2)
    assert trip.on(request, Kind.HIT, "a") == hit
    load = Request("m", kind=Kind.LOAD, tried=(("b", 1),), targets=("c",), origin="a", hops=2)
    assert trip.on(request, Kind.LOAD, "a") == load


def test_failures_met_are_as_good_as_recorded() -> None:
    """D-05: an instance that failed to load is no holder any more for this request, but a failure."""
    trip = Trip()
    record = model(copies={"b": NOW + 5, "c": 1}, failures={"d": Failure(1, "x")})
    assert trip.merged(record) is record
    trip.failed("b", LoadFailure("bad"), NOW)
    assert trip.error == LoadFailure("bad")
    failures = {"d": Failure(1, "x"), "b": Failure(NOW, "bad")}
    assert trip.merged(record) == model(copies={"c": 1}, failures=failures)


def test_only_targets_that_lost_the_copy_are_forgiven() -> None:
    """They may be asked once more; who refused or failed may not."""
    trip = Trip(targets=["b", "c"], gone=["a", "c"])
    assert trip.forgives()
    assert (trip.targets, trip.gone) == (["b"], [])
    assert not trip.forgives()
