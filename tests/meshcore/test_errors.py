"""The failures a request can end in."""

from __future__ import annotations

import pytest

from meshcore.errors import (
    ChurnRefused,
    Code,
    CopyGone,
    Draining,
    HasReferents,
    InvalidRequest,
    LoadFailure,
    MeshError,
    ModelExists,
    Moved,
    NowhereToLoad,
    StoreAway,
    UnknownModel,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("x"), "INVALID_ARGUMENT"),
        (UnknownModel(), "NOT_FOUND"),
        (ModelExists("x"), "ALREADY_EXISTS"),
        (Moved("x"), "ABORTED"),
        (HasReferents("x"), "FAILED_PRECONDITION"),
        (LoadFailure("x"), "INTERNAL"),
        (ChurnRefused("x"), "INTERNAL"),
        (CopyGone("x"), "INTERNAL"),
        (NowhereToLoad("x"), "INTERNAL"),
        (StoreAway("x"), "UNAVAILABLE"),
        (Draining("x"), "UNAVAILABLE"),
        (LoadFailure("x", Code.DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED"),
    ],
    ids=repr,
)
def test_every_failure_has_the_status_that_clients_know(error: MeshError, code: str) -> None:
    """A failure's code is its kind's, unless it was made with another."""
    assert error.code == code


def test_unknown_model_reads_as_clients_know_it() -> None:
    """The text of a NOT_FOUND is fixed, for clients match it."""
    assert UnknownModel().text == str(UnknownModel()) == "model not found"


def test_failures_are_equal_by_kind_code_and_text() -> None:
    """What goes into commands and journals is compared by value."""
    assert LoadFailure("x") == LoadFailure("x")
    assert hash(LoadFailure("x")) == hash(LoadFailure("x"))
    assert LoadFailure("x") != LoadFailure("y")
    assert LoadFailure("x") != ChurnRefused("x")
    assert LoadFailure("x") != LoadFailure("x", Code.UNKNOWN)
    assert LoadFailure("x") != "x"
    assert repr(LoadFailure("x")) == "LoadFailure(INTERNAL, 'x')"
