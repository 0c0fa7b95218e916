"""What a client asks of the registry."""

from __future__ import annotations

from typing import Any

import pytest

from meshcore.asks import (
    AwaitLoaded,
    Clashed,
    Kept,
    Op,
    Put,
    Read,
    Register,
    Request,
    Settled,
    Status,
    StatusInfo,
    StoreSilent,
    Unregister,
    Wrote,
)
from meshcore.commands import Commit
from meshcore.errors import (
    BadRecord,
    InvalidRequest,
    LoadFailure,
    ModelExists,
    Moved,
    StoreAway,
)
from meshcore.events import RegistrySeen, Seen
from meshcore.reasons import Rule
from meshcore.registration import kept_of, with_kept
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone
from tests.meshcore.registering import HOUR_MS, TS, put, told

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
        (Register("m", "onnx", kept=Kept(min_copies=-1)), "min copies are -1; allowed: 0 to 2147483647"),
        (Register("m", "onnx", kept=Kept(max_copies=2**31)), "max copies are 2147483648; allowed: 0 to 2147483647"),
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


def test_what_is_kept_of_a_model_can_be_read_off_its_record() -> None:
    """So that one thing can be changed and the others left."""
    kept = Kept(7, {"z": "w"}, 3, 4, True, 9)
    assert kept_of(with_kept(model(), kept)) == kept
    assert kept_of(model()) == Kept()


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


def test_store_that_denies_what_is_known_ends_a_registration() -> None:
    """A store that was put back answers with what is older than what this instance saw: to ask it again and again would
    change nothing."""
    lone = Lone()
    lone.know("m", model(last_used=NOW - 8 * 3_600_000))
    asking = lone.ask(Register("m", "onnx", last_used=NOW))
    assert isinstance(asking.step, Put)
    asking.answer(Clashed(model(last_used=1).encode(), asking.step.expect - 1))
    assert isinstance(asking.error, StoreAway)
    assert "put back to an earlier state" in asking.error.text


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
