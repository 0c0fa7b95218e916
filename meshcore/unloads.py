"""Memory of copies that have left the cache, until the runtime gave it back: when it is asked to, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meshcore.commands import Command, Unload
from meshcore.entry import State
from meshcore.reasons import Reason, Rule
from meshcore.settings import Settings
from meshcore.units import NEVER


class Surroundings(Protocol):
    """What the unloads need of the node around them."""

    now: int

    @property
    def settings(self) -> Settings: ...
    @property
    def me(self) -> str: ...
    def emit(self, command: Command) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...


@dataclass(slots=True)
class _Unload:
    """One copy's memory; ``due_at`` NEVER: its load or its requests have not ended, or the runtime was asked."""

    gen: int
    weight: int
    why: Reason
    not_before: int
    is_loading: bool
    attempts: int = 0
    due_at: int = NEVER
    is_given_up: bool = False
    """``weight`` counts as lost; the runtime goes on being asked."""
    lost_units: int = 0
    """What counts as lost of this model, and is there again when an unload of it works."""


def unload_delay_ms(settings: Settings, state: State, is_eviction: bool) -> int:
    """How long after a copy in ``state`` was let go it may be unloaded: until then the runtime may still be busy with
    what was under way."""
    if state is State.LOADING:
        return settings.unload_evicted_load_ms if is_eviction else settings.unload_removed_load_ms
    return settings.unload_sizing_ms if state is State.SIZING else settings.unload_used_ms


class Unloads:
    """At most one unload a model; its end tells ``back`` how many units came back, ``lost`` how many are lost.

    What is lost goes on being asked for, and each further failure tells of 0 units. A copy of the model that is loaded
    meanwhile ends that: the runtime is asked again when that copy goes, and an unload that works leaves nothing of the
    model.
    """

    def __init__(
        self, around: Surroundings, back: Callable[[str, int, int], None], lost: Callable[[str, int], None]
    ) -> None:
        self._around, self._back, self._lost = around, back, lost
        self._unloads: dict[str, _Unload] = {}
        self._left: dict[str, int] = {}
        """Units that count as lost of models that were loaded anew."""
        self._early_at = 0

    def __contains__(self, model: str) -> bool:
        """Whether a former copy of the model is still to be unloaded, or the runtime is being asked to."""
        unload = self._unloads.get(model)
        return unload is not None and (not unload.is_given_up or unload.due_at == NEVER)

    def __len__(self) -> int:
        return len(self._unloads)

    def begin(self, model: str, gen: int, weight: int, why: Reason, delay_ms: int, is_loading: bool = False) -> None:
        """``weight`` units are to come back, ``delay_ms`` from now at the earliest, once nothing uses the copy any
        more: ``load_ended`` or ``free`` says so."""
        lost_units, not_before = self._left.pop(model, 0), self._around.now + delay_ms
        self._unloads[model] = _Unload(gen, weight, why, not_before, is_loading, lost_units=lost_units)

    def load_begins(self, model: str) -> None:
        """A copy is loaded anew: what a former one left is not asked for until that one goes."""
        if given_up := self._unloads.pop(model, None):
            self._left[model] = given_up.lost_units

    def load_ended(self, model: str, gen: int) -> None:
        """A load that nobody waited for any more is over."""
        unload = self._current(model, gen)
        if unload is not None and unload.is_loading:
            unload.is_loading = False
            self.free(model, gen)

    def free(self, model: str, gen: int) -> None:
        """Nothing uses the copy any more: its memory can be given back."""
        if unload := self._current(model, gen):
            unload.due_at = unload.not_before
            self._ask_if_due(model, unload)

    def unloaded(self, model: str, gen: int) -> None:
        """The runtime gave the memory back; perhaps it can now do what it could not before."""
        if unload := self._current(model, gen):
            del self._unloads[model]
            if unload.lost_units:
                inputs: dict[str, int | str] = {"found_units": unload.lost_units}
                why = Reason(Rule.UNLOAD, model, self._around.me, "worked after all", inputs=inputs)
                self._around.explain(why)
            self._back(model, unload.weight, unload.lost_units)
            self.ask_again()

    def failed(self, model: str, gen: int, text: str) -> None:
        """Ask again later; what does not work for long is memory that this instance does not have meanwhile."""
        unload = self._current(model, gen)
        if unload is None:
            return
        settings = self._around.settings
        unload.attempts += 1
        is_first = unload.attempts == 1 <= settings.unload_retries
        pause_ms = settings.unload_retry_first_ms if is_first else settings.unload_retry_ms
        unload.due_at = self._around.now + pause_ms
        units = 0
        if not unload.is_given_up:
            inputs: dict[str, int | str] = {"attempts": unload.attempts, "units": unload.weight}
            self._around.explain(Reason(Rule.UNLOAD, model, self._around.me, f"failed: {text}", inputs=inputs))
            if unload.attempts <= settings.unload_retries:
                return
            units, unload.weight = unload.weight, 0
            unload.lost_units += units
            unload.is_given_up = True
        self._lost(model, units)

    def ask_again(self) -> None:
        """A good moment for all unloads that failed: a load is about to need the memory, or another unload worked."""
        failed = [item for item in self._unloads.items() if item[1].attempts and item[1].due_at != NEVER]
        if failed and self._around.now >= self._early_at:
            self._early_at = self._around.now + self._around.settings.unload_retry_early_ms
            for model, unload in failed:
                self._ask(model, unload)

    def forget(self) -> None:
        """The runtime's memory is empty: nothing is left to be given back."""
        self._unloads.clear()
        self._left.clear()

    def next_wake(self) -> int:
        """The next instant at which the runtime is to be asked."""
        return min((unload.due_at for unload in self._unloads.values()), default=NEVER)

    def tick(self) -> None:
        """Ask for what is due."""
        for model, unload in list(self._unloads.items()):
            self._ask_if_due(model, unload)

    def _ask_if_due(self, model: str, unload: _Unload) -> None:
        if unload.due_at <= self._around.now:
            self._ask(model, unload)

    def _ask(self, model: str, unload: _Unload) -> None:
        unload.due_at = NEVER
        self._around.emit(Unload(model, unload.gen, unload.why))

    def _current(self, model: str, gen: int) -> _Unload | None:
        """The unload that an answer is about; None: it is over."""
        unload = self._unloads.get(model)
        return unload if unload is not None and unload.gen == gen else None
