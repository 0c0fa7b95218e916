"""What a client asks of the registry."""

from __future__ import annotations

from typing import Any

import pytest

from meshcore.asks import (
    AwaitLoaded,
    Clashed,
    CopyInfo,
    Done,
    Forward,
    Kept,
    Kind,
    Op,
    Put,
    Read,
    Refused,
    Register,
    Request,
    Settled,
    Status,
    StatusInfo,
    StoreSilent,
    Told,
    Unreachable,
    Unregister,
    Verdict,
    Wrote,
)
from meshcore.commands import Commit, Withdraw
from meshcore.errors import (
    BadRecord,
    HasReferents,
    InvalidRequest,
    LoadFailure,
    MeshError,
    ModelExists,
    Moved,
    StoreAway,
)
from meshcore.events import RegistrySeen, Seen
from meshcore.reasons import Rule
from meshcore.records import Failure, ModelRecord
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Asking, Lone

HOUR_MS = 3_600_000
TS = NOW - 600_000


def put(asking: Asking) -> tuple[int, ModelRecord | None]:
    """What a flow wants written, and against which revision."""
    assert isinstance(asking.step, Put), asking.step
    value = asking.step.value
    return asking.step.expect, ModelRecord.decode(value) if value is not None else None


def told(asking: Asking) -> StatusInfo:
    assert isinstance(asking.step, Done), asking.step
    assert isinstance(asking.step.answer, StatusInfo)
    return asking.step.answer


# -- register


def test_new_registration_is_written_where_there_was_none() -> None:
    """It counts as used six hours ago, so that it pushes nothing out; nothing is loaded."""
    lone = Lone()
    asking = lone.ask(Register("m", "onnx", "path", "key"))
    expected = model(path="path", key="key", last_used=NOW - 6 * HOUR_MS)
    assert put(asking) == (0, expected)
    assert isinstance(asking.step, Put)
    assert (asking.step.why.rule, asking.step.why.cause) == (Rule.REGISTER, "asked for")
    asking.answer(Wrote(9))
    assert told(asking) == StatusInfo(Status.NOT_LOADED, is_new=True, is_changed=True, mod=9)
    assert lone.record("m") == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, NOW - 6 * HOUR_MS),
        ({"should_load": True}, NOW - HOUR_MS),
        ({"last_used": NOW - 5}, NOW - 5),
        ({"last_used": NOW + 5}, NOW),
    ],
)
def test_registration_counts_as_used_when_it_says_but_not_later_than_now(asked: dict[str, Any], expected: int) -> None:
    """As given, else an hour ago if it is to be loaded, else six."""
    _, record = put(Lone().ask(Register("m", "onnx", **asked)))
    assert record is not None
    assert record.last_used == expected


def test_registration_that_stands_already_is_agreed_with() -> None:
    """Registering is idempotent: the same again is a status, and nothing is written."""
    lone = Lone(peers={"b": instance()})
    lone.know("m", model(path="p", copies={"b": TS}, ready={"b": TS}, last_used=NOW - 6 * HOUR_MS))
    info = told(lone.ask(Register("m", "onnx", "p")))
    assert (info.status, info.is_new, info.is_changed, info.mod) == (Status.LOADED, False, False, 2)


@pytest.mark.parametrize("other", [("x", "p", "k"), ("onnx", "x", "k"), ("onnx", "p", "x")])
def test_another_registration_under_the_same_id_is_refused(other: tuple[str, str, str]) -> None:
    """Type, path and key are what a model is; they never change under its id."""
    lone = Lone()
    lone.know("m", model(path="p", key="k"))
    assert lone.ask(Register("m", *other)).error == ModelExists("Model already exists with different attribute values")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (Register("", "onnx"), "must provide non-empty modelId"),
        (Register("m", ""), "Must provide non-empty model type string"),
        (Register("m", "onnx", kept=Kept(priority=10)), "priority is 10; allowed: 0 to 9"),
        (Register("m", "onnx", kept=Kept(priority=-1)), "priority is -1; allowed: 0 to 9"),
        (
            Register("m", "onnx", kept=Kept(size_bytes=2**63)),
            "the size is 9223372036854775808 bytes; allowed: 0 to 9223372036854775807",
        ),
        (
            Register("m", "onnx", kept=Kept(min_copies=3, max_copies=2)),
            "min copies are 3, more than max copies, 2",
        ),
        (Unregister(""), "must provide non-empty modelId"),
        (Request("", Op.ENSURE), "must provide non-empty modelId"),
        (Request("", Op.STATUS), "must provide non-empty modelId"),
    ],
)
def test_senseless_request_is_named(asked: Register | Unregister | Request, text: str) -> None:
    """What, and what is allowed."""
    assert Lone().ask(asked).error == InvalidRequest(text)


def test_last_use_on_record_is_refreshed_when_it_is_an_hour_old() -> None:
    """Re-registering keeps a model from ageing, without a write each time."""
    lone = Lone()
    lone.know("m", model(last_used=NOW - HOUR_MS))
    assert told(lone.ask(Register("m", "onnx", last_used=NOW))).is_changed is False
    lone.now += 1
    asking = lone.ask(Register("m", "onnx", last_used=NOW + 1))
    assert put(asking) == (2, model(last_used=NOW + 1))
    assert isinstance(asking.step, Put)
    assert asking.step.why.rule is Rule.TOUCH


def test_what_the_mesh_keeps_about_a_model_can_be_changed() -> None:
    """Size, labels, copies, pin and priority are replaced as a whole; without them they stay."""
    lone = Lone()
    fields = {"size_bytes": 5, "min_copies": 1, "max_copies": 2, "is_pinned": True, "priority": 0}
    before = model(last_used=NOW, labels={"x": "y"}, **fields)
    lone.know("m", before)
    assert told(lone.ask(Register("m", "onnx"))).is_changed is False
    kept = Kept(7, {"z": "w"}, 3, 3, False, 9)
    asking = lone.ask(Register("m", "onnx", kept=kept))
    assert put(asking) == (
        2,
        model(last_used=NOW, size_bytes=7, labels={"z": "w"}, min_copies=3, max_copies=3, priority=9),
    )
    asking.answer(Wrote(5))
    info = told(asking)
    assert (info.is_new, info.is_changed, info.mod) == (False, True, 5)


@pytest.mark.parametrize("kept", [Kept(priority=0), Kept(priority=9), Kept(min_copies=2)])
def test_what_the_mesh_keeps_may_be_at_its_limits(kept: Kept) -> None:
    """Priorities go from 0 to 9; without a most there may be any number of copies."""
    _, record = put(Lone().ask(Register("m", "onnx", kept=kept)))
    assert record is not None
    assert (record.priority, record.min_copies) == (kept.priority, kept.min_copies)


def test_registration_that_clashes_is_tried_against_what_stands_there() -> None:
    """Two clients that register the same model at once both succeed."""
    lone = Lone()
    asking = lone.ask(Register("m", "onnx"))
    asking.answer(Clashed(model(last_used=NOW).encode(), 7))
    info = told(asking)
    assert (info.status, info.is_new, info.mod) == (Status.NOT_LOADED, False, 7)
    other = lone.ask(Register("n", "onnx"))
    other.answer(Clashed(model("keras").encode(), 8))
    assert isinstance(other.error, ModelExists)


def test_silent_store_makes_registrations_unavailable() -> None:
    """The client tries again: registering twice is registering once."""
    for asked in (Register("m", "onnx"), Unregister("m"), Register("m", "onnx", expected=0)):
        asking = Lone().ask(asked)
        asking.answer(StoreSilent("no leader"))
        assert asking.error == StoreAway("no leader")


def test_trial_checks_everything_and_changes_nothing() -> None:
    """What would happen is told; nothing is written or loaded."""
    lone = Lone()
    info = told(lone.ask(Register("m", "onnx", should_load=True, is_trial=True)))
    assert (info.status, info.is_new, info.is_changed, info.mod) == (Status.NOT_LOADED, True, True, 0)
    lone.know("m", model("keras"))
    assert isinstance(lone.ask(Register("m", "onnx", is_trial=True)).error, ModelExists)
    gone = lone.ask(Unregister("m", is_trial=True))
    gone.answer(Seen("m", model("keras").encode(), 2))
    assert told(gone) == StatusInfo(Status.NOT_FOUND, is_changed=True)
    assert lone.all(Commit) == []


def test_registration_may_rest_on_a_revision() -> None:
    """Who has read the record may change it only as he has read it."""
    lone = Lone()
    lone.know("m", model(last_used=NOW, priority=1))
    asking = lone.ask(Register("m", "onnx", kept=Kept(priority=2), expected=2))
    assert asking.step == Read("m")
    asking.answer(Seen("m", model(last_used=NOW, priority=1).encode(), 2))
    assert put(asking) == (2, model(last_used=NOW, priority=2))
    asking.answer(Clashed(model(last_used=NOW, priority=3).encode(), 6))
    assert asking.step == Read("m")
    asking.answer(Seen("m", model(last_used=NOW, priority=3).encode(), 6))
    assert asking.error == Moved("the record of m is at revision 6, not 2")


def test_registration_may_ask_to_be_loaded() -> None:
    """Loading follows the write, with the registration's age; a load that begins is LOADING."""
    lone = Lone()
    asking = lone.ask(Register("m", "onnx", should_load=True))
    asking.answer(Wrote(9))
    info = told(asking)
    assert (info.status, info.is_new, info.mod) == (Status.LOADING, True, 9)
    assert lone.node.cache.last_used("m") == NOW - HOUR_MS


def test_registration_may_wait_for_its_load() -> None:
    """A load that fails is a status, not an error: the model is registered."""
    lone = Lone()
    asking = lone.ask(Register("m", "onnx", should_load=True, is_sync=True))
    asking.answer(Wrote(9))
    assert isinstance(asking.step, AwaitLoaded)
    asking.answer(Settled(LoadFailure("bad load")))
    info = told(asking)
    assert (info.status, info.errors, info.is_new) == (Status.LOADING_FAILED, ("bad load",), True)


def test_unreadable_registration_is_named() -> None:
    """A record that somebody broke is told of with its key, not overwritten."""
    lone = Lone()
    lone.feed(RegistrySeen(2, (Seen("m", b"{", 2),)))
    for asked in (Register("m", "onnx"), Request("m"), Request("m", Op.STATUS), Request("m", Op.ENSURE)):
        error = lone.ask(asked).error
        assert isinstance(error, BadRecord)
        assert '"registry/m"' in error.text


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
