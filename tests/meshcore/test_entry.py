from __future__ import annotations

import pytest

from meshcore.entry import TRANSITIONS, IllegalTransition, State
from tests.builders import entry

LOADED = [State.QUEUED, State.WAITING, State.LOADING, State.SIZING, State.ACTIVE, State.REMOVED]


def test_a_load_goes_through_all_states_in_turn() -> None:
    copy = entry("m")
    for state in LOADED:
        copy.to(state)
    assert copy.state is State.REMOVED


@pytest.mark.parametrize("state", State)
def test_only_what_follows_from_a_state_can_be_entered(state: State) -> None:
    for other in State:
        copy = entry("m", state=state)
        if other in TRANSITIONS[state]:
            copy.to(other)
            assert copy.state is other
        else:
            with pytest.raises(IllegalTransition, match=rf"m \(gen 1\) is {state.name} and cannot be {other.name}"):
                copy.to(other)
            assert copy.state is state


def test_every_state_but_the_last_can_end_in_removal() -> None:
    assert [state for state in State if State.REMOVED not in TRANSITIONS[state]] == [State.REMOVED]


def test_only_what_does_not_serve_yet_can_fail() -> None:
    failing = [state for state in State if State.FAILED in TRANSITIONS[state]]
    assert failing == [State.NEW, State.QUEUED, State.WAITING, State.LOADING]


@pytest.mark.parametrize(
    ("state", "is_pending", "is_loading", "is_serving"),
    [
        (State.NEW, True, False, False),
        (State.QUEUED, True, False, False),
        (State.WAITING, True, False, False),
        (State.LOADING, False, True, False),
        (State.SIZING, False, False, True),
        (State.ACTIVE, False, False, True),
        (State.FAILED, False, False, False),
        (State.REMOVED, False, False, False),
    ],
)
def test_a_copy_serves_from_the_end_of_its_load(
    state: State, is_pending: bool, is_loading: bool, is_serving: bool
) -> None:
    copy = entry("m", state=state)
    assert (copy.is_pending, copy.is_loading, copy.is_serving) == (is_pending, is_loading, is_serving)


def test_copies_are_compared_by_identity() -> None:
    assert entry("m") != entry("m")
