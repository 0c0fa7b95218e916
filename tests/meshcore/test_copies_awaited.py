"""A copy that a request waits for, in a cache where everything is used while the load is on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from meshcore.cache import Cache
from meshcore.commands import Command, Load, Settle
from meshcore.copies import Copies
from meshcore.edits import Accept, Edit
from meshcore.errors import FellThrough
from meshcore.reasons import Reason
from meshcore.settings import Settings
from meshcore.totals import Totals
from meshcore.writer import Ended
from tests.builders import NOW, loaded, model, params


@dataclass
class Around:
    """A node whose writes are taken when the test says so."""

    now: int = NOW
    settings: Settings = field(default_factory=Settings)
    me: str = "i"
    is_runtime_away: bool = False
    totals: Totals = field(default_factory=lambda: Totals(1, 4, 100, 10, NOW))

    def totals_for(self, _: str) -> Totals:
        return self.totals

    commands: list[Command] = field(default_factory=list)
    accepting: list[Ended] = field(default_factory=list)

    def emit(self, command: Command) -> None:
        self.commands.append(command)

    def explain(self, reason: Reason) -> Reason:
        return reason

    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None:
        if isinstance(edit, Accept) and ended is not None:
            self.accepting.append(ended)

    def is_live(self, instance: str, load_ts: int) -> bool:
        return True

    def is_ghost(self, instance: str, load_ts: int) -> bool:
        return False

    def changed(self, model: str) -> None: ...
    def accepted(self) -> None: ...
    def retry(
        self, model: str, last_used: int, why: Reason, is_asked_for: bool, exclude: tuple[str, ...] = (),
        size_units: int = 0,
    ) -> None: ...  # fmt: skip
    def capacity_changed(self) -> None: ...


@pytest.mark.parametrize("is_inference", [True, False])
def test_what_was_used_while_a_load_was_written_down_stays_unless_a_request_waits(is_inference: bool) -> None:
    """Otherwise a store that takes its time would turn every request for a cold model away from a busy cache."""
    cache, around = Cache(params(min_churn_age_ms=0)), Around()
    copies = Copies(around, cache)
    for number in range(4):
        loaded(cache, f"m{number}", 20, age_ms=1000)
    copies.admission.admit("cold", model(), {}, 0, 20, is_inference, is_asked_for=True, count=1)
    around.now += 800
    for number in range(4):
        cache.used(f"m{number}", around.now - 100, 0)
    around.accepting.pop()(None)
    if is_inference:
        assert [command.model for command in around.commands if isinstance(command, Load)] == ["cold"]
        assert cache.entries.keys() == {"cold", "m1", "m2", "m3"}
    else:
        ended = [command.outcome for command in around.commands if isinstance(command, Settle)]
        assert isinstance(ended[0], FellThrough)
        assert "cold" not in cache.entries
