"""How large a model is taken to be before it is loaded: what is known of it, an average while many wait, or what its
runtime guesses."""

from __future__ import annotations

from typing import Protocol

from meshcore.capacity import CacheParams
from meshcore.commands import Command, Predict
from meshcore.entry import Entry
from meshcore.settings import Settings
from meshcore.totals import Totals


class Surroundings(Protocol):
    """What sizing needs of the node around it."""

    @property
    def settings(self) -> Settings: ...

    def totals_for(self, model_type: str) -> Totals: ...
    def emit(self, command: Command) -> None: ...


def average_units(totals: Totals, least_copies: int) -> int:
    """A bit more than what a copy takes on average where models of a type may be; 0: there are fewer copies than that
    says anything."""
    if totals.copies < least_copies:
        return 0
    return 1 + (totals.capacity_units - totals.free_units) // totals.copies


class Sizing:
    """Sizes in cache units, 0 for one that is not known."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._asking: dict[int, None] = {}
        """The gens of copies whose turn it is and whose size the runtime is asked for first."""

    @property
    def asking(self) -> int:
        """Loads that have a loader and wait for the runtime's guess."""
        return len(self._asking)

    def is_asking(self, entry: Entry) -> bool:
        """Whether this load is one of them."""
        return entry.gen in self._asking

    def average(self, model_type: str, loads: int, params: CacheParams) -> int:
        """What to go by with so many ``loads`` accepted and not over; 0: the runtime can be asked at once.

        Its guesses cost it time that it lacks when many loads wait.
        """
        settings = self._around.settings
        if loads <= params.load_threads + params.load_threads // 3:
            return 0
        return average_units(self._around.totals_for(model_type), settings.average_copies)

    def ask(self, entry: Entry) -> None:
        """Ask the runtime how large a model will be."""
        deadline_ms = self._around.settings.predict_deadline_ms
        self._around.emit(Predict(entry.model, entry.gen, entry.type, entry.path, entry.key, deadline_ms))

    def ask_at_turn(self, entry: Entry) -> None:
        """It is the turn of a load that went by an average: what it takes had better be known now."""
        self._asking[entry.gen] = None
        self.ask(entry)

    def answered(self, gen: int) -> bool:
        """The runtime's guess is in, or will not come; whether the copy had its turn."""
        return self._asking.pop(gen, 0) is None
