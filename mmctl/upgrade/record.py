"""An upgrade as etcd keeps it, so that every mmctl knows of it and any can go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

FORMAT = 1
"""Of the record. One with a greater number belongs to a newer mmctl."""

MOST_EVENTS = 50
"""The newest are kept."""


class Phase(StrEnum):
    """Where an upgrade is."""

    ROLLING = "rolling"
    HELD = "held"
    ROLLING_BACK = "rolling_back"
    DONE = "done"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self in (Phase.DONE, Phase.ROLLED_BACK)


class Hold(StrEnum):
    """What an upgrade is held for."""

    NONE = ""
    FAILED = "failed"
    """Loads fail on new instances."""
    SLOW = "slow"
    """A load on a new instance takes too long."""
    STUCK = "stuck"
    """A new instance cannot be ready as things are."""
    STALLED = "stalled"
    """Nothing has moved for too long."""
    OTHER = "other"
    """What comes is not what was begun any more."""


class Ask(StrEnum):
    """What somebody asked of whoever carries the upgrade out."""

    NOTHING = ""
    ABORT = "abort"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go wrong: models that fail on new instances, and how long a load or a step may take."""

    max_failed: int = 2
    max_wait_ms: int = 300_000
    settle_ms: int = 2_000
    """So long nothing further is done after something has moved: what is wrong with a new instance has time to show."""
    auto_rollback: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One upgrade. ``plan`` is what its kind needs to carry it out; ``old`` and ``new`` are ids of instances."""

    id: str
    kind: str
    """``local`` or ``kubernetes``."""
    former: str
    wanted: str
    """Of versions, as people read them."""
    plan: Mapping[str, Any]
    size: int
    """How many instances there are before and after."""
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    limits: Limits = Limits()
    phase: Phase = Phase.ROLLING
    hold: Hold = Hold.NONE
    reason: str = ""
    started_ms: int = 0
    phase_ms: int = 0
    """Since when it is in its phase."""
    moved_ms: int = 0
    """When an instance came or went last."""
    mark: str = ""
    """Who was there then."""
    counted_ms: Mapping[str, int] = field(default_factory=dict)
    """From when on failures on an instance count, by its own clock; all of those on one that is not named."""
    comes: str = ""
    """What the new instances are of, as the driver knows it (a replica set); empty: not seen yet."""
    asked: Ask = Ask.NOTHING
    asked_by: str = ""
    runner: str = ""
    """Who carries it out, or did last."""
    events: tuple[Event, ...] = field(default=())

    def with_event(self, now: int, text: str) -> Upgrade:
        """The same after ``text`` happened; what happens over and over is kept once."""
        if self.events and self.events[-1].text == text:
            return self
        return replace(self, events=(*self.events, Event(now, text))[-MOST_EVENTS:])

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> Upgrade:
        """The upgrade in ``value``; ValueError says why it cannot be read. Names that are not known are left out."""
        try:
            read = json.loads(value)
            if read["format"] > FORMAT:
                raise ValueError("a newer mmctl wrote it: use that one")
            known = {name: read[name] for name in cls.__slots__ if name in read}
            limits = {name: read["limits"][name] for name in Limits.__slots__ if name in read["limits"]}
            return cls(**known | {
                "phase": Phase(read["phase"]), "hold": Hold(read["hold"]), "asked": Ask(read["asked"]),
                "limits": Limits(**limits), "old": tuple(read["old"]), "new": tuple(read["new"]),
                "events": tuple(Event(event["at_ms"], event["text"]) for event in read["events"]),
            })  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is damaged: {error!r}") from None
