"""Deleting a registration, having it loaded, asking what it does."""

from __future__ import annotations

from typing import Any

import pytest

from meshcore.asks import (
    Clashed,
    CopyInfo,
    Forward,
    Kind,
    Op,
    Read,
    Refused,
    Request,
    Settled,
    Status,
    StatusInfo,
    Told,
    Unreachable,
    Unregister,
    Verdict,
    Wrote,
)
from meshcore.commands import Withdraw
from meshcore.errors import (
    HasReferents,
    LoadFailure,
    MeshError,
    Moved,
)
from meshcore.events import Seen
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone
from tests.meshcore.registering import TS, put, told

# -- unregister


def test_registration_is_deleted_as_the_store_has_it() -> None:
    """The record is read, then deleted as it was read; the copy here goes at once."""
    lone = Lone()
    gen = lone.load("m")
    asking = lone.ask(Unregister("m"))
    assert asking.step == Read("m")
    asking.answer(Seen("m", lone.record("m").encode(), lone.revision))
    assert put(asking) == (lone.revision, None)
    asking.answer(Wrote(lone.revision + 1))
    assert told(asking) == StatusInfo(Status.NOT_FOUND, is_changed=True)
    assert lone.last(Withdraw).gen == gen
    assert lone.node.log.of("m") == ()


def test_absent_registration_is_as_good_as_deleted() -> None:
    """Deleting is idempotent."""
    asking = Lone().ask(Unregister("m"))
    asking.answer(Seen("m", None, 9))
    assert told(asking) == StatusInfo(Status.NOT_FOUND)


def test_model_that_a_virtual_model_points_at_is_not_deleted() -> None:
    """What is referred to stays, as the store has it now."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Unregister("m"))
    asking.answer(Seen("m", model(references=1).encode(), 5))
    assert asking.error == HasReferents("Model m has referents")


def test_deletion_that_clashes_looks_again() -> None:
    """A copy that came meanwhile does not keep a model registered, a reference does."""
    lone = Lone()
    asking = lone.ask(Unregister("m"))
    asking.answer(Seen("m", model().encode(), 5))
    asking.answer(Clashed(model(references=1).encode(), 6))
    assert asking.step == Read("m")
    asking.answer(Seen("m", model(references=1).encode(), 6))
    assert isinstance(asking.error, HasReferents)


def test_deletion_may_rest_on_a_revision() -> None:
    """Who has read the record may delete it only as he has read it."""
    lone = Lone()
    asking = lone.ask(Unregister("m", expected=4))
    asking.answer(Seen("m", model().encode(), 5))
    assert asking.error == Moved("the record of m is at revision 5, not 4")
    asking = lone.ask(Unregister("m", expected=5))
    asking.answer(Seen("m", model().encode(), 5))
    assert put(asking) == (5, None)


def test_deletion_goes_by_news_that_is_ahead_of_its_read() -> None:
    """The watch has told of the deletion while the read was under way."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Unregister("m"))
    lone.know("m", None)
    asking.answer(Seen("m", model().encode(), 2))
    assert put(asking) == (0, None)


# -- ensure


@pytest.mark.parametrize(
    ("record", "errors"),
    [
        pytest.param(model(), ("Nowhere available to load",), id="nowhere"),
        pytest.param(model(failures={"a": Failure(NOW - 5, "bad")}), ("bad",), id="failed lately"),
        pytest.param(
            model(failures={"a": Failure(NOW - 5, "bad"), "b": Failure(NOW - 9, "worse")}),
            ("bad", "worse"),
            id="failed everywhere",
        ),
    ],
)
def test_ensure_that_comes_to_nothing_is_a_status(record: ModelRecord, errors: tuple[str, ...]) -> None:
    """LOADING_FAILED with the texts, the latest first: the caller asked for a state, not for an answer."""
    lone = Lone()
    lone.know("m", record)
    info = told(lone.ask(Request("m", Op.ENSURE, exclude=("a",))))
    assert (info.status, info.errors) == (Status.LOADING_FAILED, errors)


def test_ensure_counts_as_use_now_at_the_latest() -> None:
    """Whatever a client's clock says: an instant in the future keeps all others out, a later one no record can hold."""
    lone = Lone()
    lone.load("m", last_used=NOW - 5_000)
    lone.ask(Request("m", Op.ENSURE, last_used=2**64 - 1))
    assert lone.node.cache.last_used("m") == NOW


def test_ensure_names_the_failure_at_hand_before_those_on_record() -> None:
    """An older failure elsewhere does not hide why it went wrong now."""
    lone = Lone(min_churn_age_ms=300_000)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model(failures={"b": Failure(NOW - 9, "bad")}))
    first, second = told(lone.ask(Request("m", Op.ENSURE))).errors
    assert first.startswith("Cache churn threshold exceeded")
    assert second == "bad"


def test_ensure_of_a_model_unregistered_meanwhile_still_says_how_its_load_ended() -> None:
    """There is no record left to tell more from."""
    for outcome, expected in (
        (LoadFailure("bad load"), StatusInfo(Status.LOADING_FAILED, ("bad load",))),
        (None, StatusInfo(Status.LOADED)),
    ):
        lone = Lone(settings=Settings(max_rounds=1))
        lone.know("m", model())
        asking = lone.ask(Request("m", Op.ENSURE))
        lone.know("m", None)
        asking.answer(Settled(outcome))
        assert told(asking) == expected


def test_ensure_that_fails_for_another_reason_is_an_error() -> None:
    """A peer that cannot be reached says nothing about the model."""
    lone = Lone(peers={"b": instance()})
    lone.know("m", model(copies={"b": TS}, ready={"b": TS}))
    asking = lone.ask(Request("m", Op.ENSURE, exclude=("a",)))
    asking.answer(Unreachable("reset"))
    assert asking.error == MeshError("b: reset", asking.error.code)


# -- status


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(model(), StatusInfo(Status.NOT_LOADED), id="only registered"),
        pytest.param(model(copies={"gone": TS}), StatusInfo(Status.NOT_LOADED), id="on an instance that is gone"),
        pytest.param(
            model(copies={"b": TS, "c": TS + 1}, ready={"b": TS}, failures={"d": Failure(TS + 2, "bad")}),
            StatusInfo(
                Status.LOADED,
                ("bad",),
                (
                    CopyInfo("d", Status.LOADING_FAILED, TS + 2),
                    CopyInfo("c", Status.UNKNOWN, TS + 1),
                    CopyInfo("b", Status.UNKNOWN, TS),
                ),
            ),
            id="loaded, loading and failed",
        ),
        pytest.param(
            model(failures={"b": Failure(TS, "bad"), "c": Failure(TS + 1, "worse")}),
            StatusInfo(
                Status.LOADING_FAILED,
                ("worse", "bad"),
                (CopyInfo("c", Status.LOADING_FAILED, TS + 1), CopyInfo("b", Status.LOADING_FAILED, TS)),
            ),
            id="failed",
        ),
        pytest.param(
            model(failures={"b": Failure(NOW - 900_000, "bad")}),
            StatusInfo(Status.NOT_LOADED),
            id="failed long ago",
        ),
    ],
)
def test_status_is_what_the_record_says_of_live_copies(record: ModelRecord, expected: StatusInfo) -> None:
    """Copies and failures newest first; nothing is loaded or touched."""
    lone = Lone(peers={"b": instance(), "c": instance()})
    lone.know("m", record)
    lone.commands.clear()
    assert told(lone.ask(Request("m", Op.STATUS))) == expected
    assert lone.commands == []


def test_status_of_an_unknown_model_is_not_found() -> None:
    """After a look into the store; a peer that is asked does not look."""
    lone = Lone()
    asking = lone.ask(Request("m", Op.STATUS))
    assert asking.step == Read("m")
    asking.answer(Seen("m", None, 9))
    assert told(asking) == StatusInfo(Status.NOT_FOUND)
    assert told(lone.ask(Request("m", Op.STATUS, Kind.HIT))) == StatusInfo(Status.NOT_FOUND)


def test_status_of_a_model_registered_a_moment_ago_is_read_from_the_store() -> None:
    """The watch has not told of it yet."""
    asking = Lone().ask(Request("m", Op.STATUS))
    asking.answer(Seen("m", model().encode(), 9))
    assert told(asking) == StatusInfo(Status.NOT_LOADED)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        pytest.param(Told(StatusInfo(Status.LOADED)), Status.LOADED, id="it is ready there"),
        pytest.param(Told(StatusInfo(Status.LOADING)), Status.LOADING, id="it still loads"),
        pytest.param(Told(StatusInfo(Status.NOT_FOUND)), Status.LOADING, id="it has not heard of it"),
        pytest.param(Refused(Verdict.NOT_HERE, "b"), Status.LOADING, id="it refuses"),
        pytest.param(Unreachable("reset"), Status.LOADING, id="it is not to be reached"),
    ],
)
def test_copy_that_loads_elsewhere_is_asked_whether_it_is_ready(reply: Any, status: Status) -> None:
    """Readiness reaches the record a little later than the copy: its own instance knows."""
    lone = Lone(peers={"b": instance(), "c": instance()})
    lone.know("m", model(copies={"b": TS, "c": TS + 1}))
    asking = lone.ask(Request("m", Op.STATUS))
    assert asking.step == Forward("b", Request("m", Op.STATUS, Kind.HIT, origin="a", hops=1))
    asking.answer(reply)
    info = told(asking)
    assert info.status is status
    assert [copy.instance for copy in info.copies] == ["c", "b"]
    assert lone.node.view.health.is_ok("b", NOW) is not isinstance(reply, Unreachable)


def test_copy_that_loads_here_needs_nobody_else_to_tell() -> None:
    """This instance knows best what is here, and what it tells a peer is what it knows."""
    lone = Lone(peers={"b": instance()})
    lone.begin_load("m")
    assert told(lone.ask(Request("m", Op.STATUS))).status is Status.LOADING
    lone.loaded("m", 10)
    assert told(lone.ask(Request("m", Op.STATUS))).status is Status.LOADED
    lone.know("n", model(copies={"b": TS}))
    assert told(lone.ask(Request("n", Op.STATUS, Kind.HIT))).status is Status.LOADING


def test_failure_here_shows_before_it_is_on_record() -> None:
    """The instance where a load failed tells of it at once."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m", "bad load")
    info = told(lone.ask(Request("m", Op.STATUS)))
    assert (info.status, info.errors) == (Status.LOADING_FAILED, ("bad load",))
