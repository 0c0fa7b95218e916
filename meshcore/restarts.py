"""Whether the runtime is still the one that loaded the copies here, and what follows where it is not.

It is never asked: a runtime that is asked for its status drops all it has. A lost connection makes it doubtful; that
nobody listens where it did, that another socket stands there, or that it lost several models at once, settles it.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from meshcore.capacity import CacheParams
from meshcore.commands import Command, Greet, Probe, Settle
from meshcore.copies import Copies, Gone
from meshcore.edits import Edit
from meshcore.errors import MeshError
from meshcore.events import Failing, Finding, LoadFailed
from meshcore.reasons import Reason, Rule
from meshcore.settings import Settings
from meshcore.units import NEVER, age_ms
from meshcore.writer import Ended

RESTARTED = {
    Finding.REFUSED: "nobody listens where it did",
    Finding.REPLACED: "another socket stands where it listened",
}
"""The findings that settle it."""


class Surroundings(Protocol):
    """What the watch over the runtime needs of the node around it."""

    now: int

    @property
    def settings(self) -> Settings: ...
    @property
    def me(self) -> str: ...
    def emit(self, command: Command) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...
    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None: ...
    def runtime_changed(self) -> None: ...  # it is away, or back


class RuntimeWatch:
    """One runtime over all its lives."""

    def __init__(self, around: Surroundings, copies: Copies) -> None:
        self._around, self._copies = around, copies
        self.is_away = False
        """It restarted and is not ready yet."""
        self._doubtful_until = 0
        self._question = 0
        """The number of the last question whether it restarted, which requests may wait for."""
        self._is_open = False
        self._is_cut_off = False
        """The question is about a lost connection, and stays open until it is answered."""
        self._is_stale = False
        """The connection ended after somebody went to look."""
        self._asked_at = 0
        self._ask_again_at = NEVER
        self._held: list[LoadFailed] = []
        """Loads that it, or its end, made fail: which of the two is the open question."""
        self._lost: dict[str, int] = {}
        """The models that it lost last, and when, the latest at the end."""
        self._gone: deque[Gone] = deque()
        self._under_way = 0
        self._is_sending = False

    # -- doubt -------------------------------------------------------------------------------------

    def suspected(self, text: str) -> None:
        """The connection to it ended."""
        if self.is_away:
            return
        around = self._around
        around.explain(Reason(Rule.SUSPECT, "", around.me, text))
        self._doubtful_until = around.now + around.settings.suspect_ms
        self._is_cut_off = self._is_stale = True
        self._ask()
        self._judge_lost()

    def load_failed(self, failed: LoadFailed) -> None:
        """A load went wrong; that is nothing to hold against the model while the runtime may have restarted."""
        if failed.how is Failing.LOST and not self.is_away:
            self._held.append(failed)
            self._ask()
        else:
            self._copies.load_failed(failed.model, failed.gen, failed.text, failed.how)

    def lost(self, model: str) -> None:
        """It says that it does not have a model that it had loaded."""
        self._lost.pop(model, None)
        self._lost[model] = self._around.now
        if len(self._lost) > self._around.settings.lost_models:
            del self._lost[next(iter(self._lost))]
        self._judge_lost()

    def unavailable(self) -> int:
        """A request to it ended UNAVAILABLE: the question to wait for, 0 if there is no reason for one."""
        around = self._around
        if not self.is_away and around.now >= self._asked_at + around.settings.probe_again_ms:
            self._ask()
        return self._question if self._is_open else 0

    def probed(self, question: int, finding: Finding) -> None:
        """This is to be seen where it listens."""
        if not self._is_open or question != self._question:
            return
        around = self._around
        if finding in RESTARTED:
            self._restarted(RESTARTED[finding])
        elif self._is_stale:
            self._look()
        elif finding is Finding.SILENT and self._is_cut_off:
            self._ask_again_at = around.now + around.settings.probe_again_ms
        else:
            self._close()

    def _ask(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        self._question += 1
        self._look()

    def _look(self) -> None:
        self._asked_at, self._ask_again_at, self._is_stale = self._around.now, NEVER, False
        self._around.emit(Probe(self._question))

    def _close(self) -> None:
        """It did not restart, as far as can be told: what failed has failed."""
        held, self._held = self._held, []
        self._end_question()
        for failed in held:
            self._copies.load_failed(failed.model, failed.gen, failed.text, failed.how)

    def _end_question(self) -> None:
        if self._is_open:
            self._is_open, self._is_cut_off, self._ask_again_at = False, False, NEVER
            self._around.emit(Settle("", self._question, None))

    def _judge_lost(self) -> None:
        settings, now = self._around.settings, self._around.now
        recent = [model for model, at in self._lost.items() if age_ms(at, now) <= settings.lost_within_ms]
        if now < self._doubtful_until and len(recent) >= settings.lost_models:
            self._restarted(f"the connection was lost, and with it {' and '.join(recent)}")

    # -- restart -----------------------------------------------------------------------------------

    def _restarted(self, cause: str) -> None:
        """Its memory is empty: no request goes to its copies, no load begins, until it is ready."""
        around = self._around
        self.is_away = True
        self._doubtful_until = 0
        self._lost.clear()
        self._held.clear()
        inputs: dict[str, int | str] = {"copies": self._copies.cache.count}
        why = around.explain(Reason(Rule.RESTART, "", around.me, cause, inputs=inputs))
        self._gone += self._copies.lose_all(f"the runtime restarted: {cause}")
        self._end_question()
        around.runtime_changed()
        self._deregister()
        around.emit(Greet(why))

    def back(self, params: CacheParams) -> None:
        """It is ready."""
        around = self._around
        self.is_away = False
        inputs: dict[str, int | str] = {"capacity_units": params.capacity_units, "load_threads": params.load_threads}
        around.explain(Reason(Rule.RESTART, "", around.me, "ready again", inputs=inputs))
        around.runtime_changed()
        self._copies.runtime_back(params)

    def _deregister(self) -> None:
        """Take lost copies out of their records, so many at a time that the store serves others meanwhile."""
        if self._is_sending:  # a write that was not needed ends at once
            return
        self._is_sending = True
        while self._gone and self._under_way < self._around.settings.deregister_batch:
            self._under_way += 1
            self._around.edit(*self._gone.popleft(), self._deregistered)
        self._is_sending = False

    def _deregistered(self, _: MeshError | None) -> None:
        self._under_way -= 1
        self._deregister()

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant at which it is looked for again."""
        return self._ask_again_at

    def tick(self) -> None:
        """Look for it again if it is time."""
        if self._ask_again_at <= self._around.now:
            self._look()
