"""One copy on this instance and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from meshcore.records import DEFAULT_PRIORITY


class State(IntEnum):
    """Where a copy is in its life (docs/design.md, states)."""

    NEW = 0  # admitted; the record does not name it yet
    QUEUED = 1  # named in the record, waits for its turn
    WAITING = 2  # its turn, waits for memory
    LOADING = 3  # the runtime loads it
    SIZING = 4  # loaded, answers requests, its size is still a guess
    ACTIVE = 5  # loaded, its size is known
    FAILED = 6  # a placeholder that remembers why
    REMOVED = 7  # no longer in the cache

    @property
    def is_pending(self) -> bool:
        """Whether the runtime has not been asked to load it yet."""
        return self <= State.WAITING

    @property
    def is_loading(self) -> bool:
        """Whether the runtime is loading it."""
        return self is State.LOADING

    @property
    def is_serving(self) -> bool:
        """Whether it answers requests."""
        return self in (State.SIZING, State.ACTIVE)


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.QUEUED, State.FAILED, State.REMOVED}),
    State.QUEUED: frozenset({State.WAITING, State.FAILED, State.REMOVED}),
    State.WAITING: frozenset({State.LOADING, State.FAILED, State.REMOVED}),
    State.LOADING: frozenset({State.SIZING, State.ACTIVE, State.FAILED, State.REMOVED}),
    State.SIZING: frozenset({State.ACTIVE, State.REMOVED}),
    State.ACTIVE: frozenset({State.REMOVED}),
    State.FAILED: frozenset({State.REMOVED}),
    State.REMOVED: frozenset(),
}
"""From each state, those that may follow; a load fails before it started when it turns out to fit nowhere here."""


class IllegalTransition(Exception):
    """A copy was to enter a state that does not follow from the one it is in."""


@dataclass(slots=True, eq=False)
class Entry:
    """One copy here, from its admission to its removal; compared by identity. Instants are epoch ms."""

    model: str
    gen: int
    """Which of the model's incarnations on this instance it is."""
    load_ts: int
    """When it was admitted: its name in the model's record."""
    type: str
    path: str
    key: str
    weight: int = 1
    """Cache units charged to it; after its removal those that the runtime has not given back yet."""
    is_claimed: bool = False
    """Whether the runtime may use ``weight`` already; until then it is only a place in the cache."""
    state: State = State.NEW
    priority: int = DEFAULT_PRIORITY
    """Changed, as the next four, through the cache that orders by it."""
    is_pinned: bool = False
    is_redundant: bool = False
    """Others answer in its place: the model has one more ready copy than it must have."""
    load_ms: int = 0
    """How long its load took or, until it is known, is expected to take."""
    uses: int = 0
    """Requests that it answered."""
    is_prioritised: bool = False
    """An inference waits for it."""
    is_awaited: bool = False
    """Some request waits for it and sees for itself how its load ends."""
    is_waited_for: bool = False
    """So does a client's request for the model itself, or did."""
    is_asked_for: bool = False
    """Clients want it; until one does it is a copy that the mesh makes by itself."""
    arrived: int = 0
    """Its number in the load queue."""
    in_flight: int = 0
    """Requests that the copy is answering."""
    predicted_units: int = 0
    is_average: bool = False
    """``predicted_units`` says nothing of this model, and its runtime is asked when it is its turn."""
    known: Mapping[str, int] = field(default_factory=dict)
    """The copies (instance, load_ts) that whoever asked for the load knew of."""
    copies: int = 1
    """How many of its model there shall be."""
    is_leaving: bool = False
    """It is one too many, and goes as soon as its model's record no longer names it."""
    waiting_since: int = 0
    """When its turn came; from then on it waits for memory."""
    started_ms: int = 0
    """When the runtime was asked to load it."""
    max_concurrency: int = 0
    """Requests that the runtime may be answering at once; 0: any number."""
    max_inflight: int = 0
    """Requests that may be on it, waiting ones included; 0: any number."""
    failure: str = ""
    failed_at: int = 0

    def to(self, state: State) -> None:
        """Enter ``state``; raises IllegalTransition where it cannot follow."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self.model} (gen {self.gen}) is {self.state.name} and cannot be {state.name}")
        self.state = state

    @property
    def is_pending(self) -> bool:
        """Whether the runtime has not been asked to load it yet."""
        return self.state.is_pending

    @property
    def is_loading(self) -> bool:
        """Whether the runtime is loading it."""
        return self.state.is_loading

    @property
    def is_serving(self) -> bool:
        """Whether it answers requests."""
        return self.state.is_serving
