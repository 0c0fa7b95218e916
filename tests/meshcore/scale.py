"""One node beside others, seen through what it decides about the number of copies."""

from __future__ import annotations

from typing import Any

from meshcore.asks import Request
from meshcore.commands import Begin
from meshcore.events import Usage, Used
from meshcore.reasons import Reason, Rule
from meshcore.records import InstanceRecord
from meshcore.rules import Rules
from meshcore.settings import Settings
from tests.builders import NOW, instance
from tests.meshcore.lone import Lone

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SCALING = (Rule.SECOND_COPY, Rule.SCALE_UP, Rule.SCALE_DOWN)


def full(**fields: Any) -> InstanceRecord:
    """An instance without room, whose least recently used model was used an hour ago."""
    return instance(**({"used_units": 1000, "lru_ms": NOW - HOUR} | fields))


class Scaled(Lone):
    """Instance a with the model m loaded, and ``others`` (b, c, ...) beside it."""

    def __init__(
        self,
        others: int = 3,
        *,
        settings: Settings | None = None,
        like: InstanceRecord | None = None,
        rules: Rules | None = None,
        **limits: Any,
    ) -> None:
        names = "bcdefghijklmnopqrstuvwxyz"[:others]
        limits = {"capacity_units": 1000, "load_threads": 8} | limits
        peers = {name: like or instance() for name in names}
        super().__init__(settings=settings, peers=peers, rules=rules, **limits)

    def serve(self, count: int, model: str = "m", **usage: int) -> None:
        """The plane served so many requests."""
        self.feed(Used((Usage(model, count, self.now, **usage),)))

    def go(self, ms: int, rpm: int = 0, model: str = "m", **usage: int) -> None:
        """Time goes by in steps of a second, with so many requests a minute."""
        for _ in range(ms // 1000):
            self.now += 1000
            if rpm:
                self.serve(rpm // 60, model, **usage)
            while self.node.next_wake(self.now) <= self.now:
                self.tick(0)

    def decided(self) -> list[Reason]:
        """All decisions about the number of copies, and no others."""
        return [reason for reason in self.node.log.since(0) if reason.rule in SCALING]

    def asked(self) -> list[Request]:
        """The further copies that were asked for."""
        return [begin.request for begin in self.all(Begin)]


def rules(scaled: Scaled) -> list[Rule]:
    """Of its decisions about the number of copies."""
    return [reason.rule for reason in scaled.decided()]
