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


def unload_delay_ms(settings: Settings, state: State, is_eviction: bool) -> int:
    """How long after a copy in ``state`` was let go it may be unloaded: until then the runtime may still be busy with
    what was under way."""
    if state is State.LOADING:
        return settings.unload_evicted_load_ms if is_eviction else settings.unload_removed_load_ms
    return settings.unload_sizing_ms if state is State.SIZING else settings.unload_used_ms


class Unloads:
    """At most one unload a model; ``ended`` is called with each one's units and whether they came back."""

    def __init__(self, around: Surroundings, ended: Callable[[str, int, bool], None]) -> None:
        self._around, self._ended = around, ended
        self._unloads: dict[str, _Unload] = {}
        self._early_at = 0

    def __contains__(self, model: str) -> bool:
        return model in self._unloads

    def __len__(self) -> int:
        return len(self._unloads)

    def begin(self, model: str, gen: int, weight: int, why: Reason, delay_ms: int, is_loading: bool = False) -> None:
        """``weight`` units are to come back, ``delay_ms`` from now at the earliest, once nothing uses the copy any
        more: ``load_ended`` or ``free`` says so."""
        self._unloads[model] = _Unload(gen, weight, why, self._around.now + delay_ms, is_loading)

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
            self._ended(model, unload.weight, True)
            self.ask_again()

    def failed(self, model: str, gen: int, text: str) -> None:
        """Ask again later; what never works is memory that this instance no longer has."""
        unload = self._current(model, gen)
        if unload is None:
            return
        settings, around = self._around.settings, self._around
        unload.attempts += 1
        inputs: dict[str, int | str] = {"attempts": unload.attempts, "units": unload.weight}
        around.explain(Reason(Rule.UNLOAD, model, around.me, f"failed: {text}", inputs=inputs))
        if unload.attempts > settings.unload_retries:
            del self._unloads[model]
            self._ended(model, unload.weight, False)
            return
        pause_ms = settings.unload_retry_first_ms if unload.attempts == 1 else settings.unload_retry_ms
        unload.due_at = around.now + pause_ms

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
