"""The rows of the screens: what a column shows of a thing, and in which order things stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar

from mmctl.errors import Usage, nearest
from mmctl.sizes import human_age, human_size, printable
from mmctl.top.state import Frame
from mmctl.values import HeldCopy, Instance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``text`` takes a thing and the instant (epoch ms), ``order`` what it is sorted by, largest first if ``falls``."""

    title: str
    width: int
    text: Callable[[T, int], str]
    order: Callable[[T], Any]
    falls: bool = True
    right: bool = True
    spare: bool = False
    """Shown only where there is room for it."""


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """One kind of thing; the first column has what width the others leave."""

    columns: Sequence[Column[T]]
    name: Callable[[T], str]
    words: Callable[[T], str]
    """What a filter looks at."""
    style: Callable[[T], str]

    def named(self, title: str) -> int:
        """The number of a column; Usage."""
        titles = [column.title.lower() for column in self.columns]
        if title.lower() not in titles:
            raise Usage(f"--sort {title!r} is no column; {nearest(title, titles)}")
        return titles.index(title.lower())

    def rows(self, things: Iterable[T], frame: Frame) -> list[T]:
        """Those that pass the filter, as the screen has them sorted; equal ones by name."""
        wanted = frame.filter.lower()
        passed = [thing for thing in things if wanted in self.words(thing).lower()]
        passed.sort(key=self.name)
        column = self.columns[frame.sort]
        passed.sort(key=column.order, reverse=column.falls != frame.reverse)
        return passed


def _phase(instance: Instance) -> str:
    phase = instance.phase or ("java" if instance.is_java else "unknown")
    return "silent" if instance.is_silent else "cordoned" if instance.cordoned and phase == "ready" else phase


def _share(instance: Instance) -> float:
    return instance.used_bytes / instance.capacity_bytes if instance.capacity_bytes else 0.0


def _instance_style(instance: Instance) -> str:
    if instance.is_silent:
        return "red"
    return {"ready": "", "starting": "cyan", "draining": "yellow", "stopping": "yellow"}.get(instance.phase, "dim")


INSTANCES: Table[Instance] = Table(
    columns=(
        Column("ID", 12, lambda each, _: each.id, lambda each: each.id, falls=False, right=False),
        Column("PHASE", 8, lambda each, _: _phase(each), _phase, falls=False, right=False),
        Column("MODELS", 6, lambda each, _: f"{each.models:,}", lambda each: each.models),
        Column(
            "LOADING", 7, lambda each, _: f"{each.loads_in_progress}/{each.load_threads}",
            lambda each: each.loads_in_progress,
        ),
        Column("RPM", 8, lambda each, _: f"{each.requests_per_minute:,}", lambda each: each.requests_per_minute),
        Column("USED", 8, lambda each, _: human_size(each.used_bytes), lambda each: each.used_bytes),
        Column("CAPACITY", 8, lambda each, _: human_size(each.capacity_bytes), lambda each: each.capacity_bytes),
        Column("%", 4, lambda each, _: f"{100 * _share(each):.0f}%", _share),
        Column("LRU", 4, lambda each, now: human_age(each.lru_ms, now), lambda each: -(each.lru_ms or inf)),
        Column("AGE", 4, lambda each, now: human_age(each.start_ms, now), lambda each: -each.start_ms),
        Column("ZONE", 8, lambda each, _: each.zone or "-", lambda each: each.zone, False, False, spare=True),
        Column("VERSION", 12, lambda each, _: each.version or "-", lambda each: each.version, False, False, spare=True),
        Column("PLANE", 6, lambda each, _: each.data_plane or "-", lambda each: each.data_plane, False, False, True),
        Column(
            "LABELS", 16, lambda each, _: ",".join(each.labels) or "-", lambda each: each.labels, False, False, True,
        ),
    ),
    name=lambda each: each.id,
    words=lambda each: " ".join((each.id, _phase(each), each.zone, each.version, each.location, *each.labels)),
    style=_instance_style,
)  # fmt: skip

COPIES: Table[HeldCopy] = Table(
    columns=(
        Column("MODEL", 24, lambda each, _: printable(each.model), lambda each: each.model, falls=False, right=False),
        Column("STATE", 8, lambda each, _: each.state, lambda each: each.state, falls=False, right=False),
        Column("RPM", 8, lambda each, _: f"{each.requests_per_minute:,}", lambda each: each.requests_per_minute),
        Column("FLIGHT", 6, lambda each, _: f"{each.in_flight:,}", lambda each: each.in_flight),
        Column("QUEUED", 6, lambda each, _: f"{each.queued:,}", lambda each: each.queued),
        Column("SIZE", 8, lambda each, _: human_size(each.size_bytes), lambda each: each.size_bytes),
        Column("USED", 4, lambda each, now: human_age(each.last_used_ms, now), lambda each: each.last_used_ms),
        Column("SINCE", 5, lambda each, now: human_age(each.load_ts_ms, now), lambda each: each.load_ts_ms),
    ),
    name=lambda each: each.model,
    words=lambda each: f"{each.model} {each.state}",
    style=lambda each: {"active": "", "sizing": "", "failed": "red"}.get(each.state, "cyan"),
)
