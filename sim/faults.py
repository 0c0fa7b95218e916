"""What happens to the instances of a scenario and to the store, and when; that all of it can be."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from sim.amounts import STRICT, Factor, Name

LEAST_RESTART_S = 3.0
"""An instance that goes lets clients hear of it first."""
LEAST_OUTAGE_S = 4.0
"""That the store answers nothing is known after 3.5 s."""

LATEST_S = 1e9
"""Long after the end of any run."""

Start = Annotated[float, Field(ge=0, le=LATEST_S)]
End = Annotated[float, Field(gt=0, le=LATEST_S)]


class Span(BaseModel):
    """From one moment to another."""

    model_config = STRICT

    from_s: Start
    until_s: End

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.until_s <= self.from_s:
            raise ValueError(f"until_s: {self.until_s:g} must be more than from_s, {self.from_s:g}")
        return self


class Failure(BaseModel):
    """Loads of ``model`` that begin between two moments fail, on all instances or on those named."""

    model_config = STRICT

    model: str
    instances: list[str] = []
    from_s: Start = 0
    until_s: End = LATEST_S
    text: str = "cannot read the model file"


class SlowDisk(Span):
    """Loads that begin meanwhile take ``factor`` times as long, on all instances or on those named."""

    instances: list[Name] = []
    factor: Factor


class Restart(Span):
    """``instance`` is told to go at ``from_s``, serves until nothing is under way, and is back, empty, at ``until_s``.

    Meanwhile clients come to the others.
    """

    instance: Name


class Join(BaseModel):
    """``instance`` is not there before ``at_s``."""

    model_config = STRICT

    instance: Name
    at_s: End


class Leave(BaseModel):
    """``instance`` is told to go at ``at_s``, as at a restart, and does not come back."""

    model_config = STRICT

    instance: Name
    at_s: Start


class Kill(BaseModel):
    """``instance`` is gone at ``at_s`` without a word, and back, empty, at ``back_s`` if that is given."""

    model_config = STRICT

    instance: Name
    at_s: Start
    back_s: End | None = None

    @model_validator(mode="after")
    def _is_back_later(self) -> Self:
        if self.back_s is not None and self.back_s <= self.at_s:
            raise ValueError(f"back_s: {self.back_s:g} must be more than at_s, {self.at_s:g}")
        return self


class Freeze(Span):
    """``instance`` and its model server do nothing meanwhile, and go on afterwards."""

    instance: Name


class Partition(Span):
    """The ``instances`` reach each other meanwhile, but neither the others nor the store."""

    instances: list[Name] = Field(min_length=1)


class StoreOutage(Span):
    """The store answers nothing from ``from_s`` to ``until_s``; leases last 10 s. No instance restarts meanwhile."""


class Upgrade(BaseModel):
    """From ``from_s`` on an instance of a newer version joins every ``each_s``, and an old one is told to go."""

    model_config = STRICT

    from_s: Start
    each_s: float = Field(ge=5, le=LATEST_S)


class Fates(BaseModel):
    """All that happens to instances and to the store in a scenario."""

    model_config = STRICT

    failures: list[Failure] = []
    slow_disks: list[SlowDisk] = []
    joins: list[Join] = []
    leaves: list[Leave] = []
    restarts: list[Restart] = []
    kills: list[Kill] = []
    freezes: list[Freeze] = []
    partitions: list[Partition] = []
    store_outages: list[StoreOutage] = []
    upgrade: Upgrade | None = None

    def check_fates(self, instances: list[str]) -> None:
        """Raises ValueError where what is to happen cannot."""
        self._check_enough(instances)
        known = set(instances)
        for name in ("failures", "slow_disks", "partitions"):
            for number, each in enumerate(getattr(self, name)):
                for instance in each.instances:
                    _check_name(f"{name}.{number}.instances", instance, instances, known)
        comings: list[tuple[float, float, str, str]] = []
        for name in ("joins", "leaves", "restarts", "kills", "freezes"):
            for number, each in enumerate(getattr(self, name)):
                where = f"{name}.{number}"
                _check_name(f"{where}.instance", each.instance, instances, known)
                comings.append((*_span(each), each.instance, where))
        if self.upgrade is not None:
            from_s, each_s = self.upgrade.from_s, self.upgrade.each_s
            comings += [(from_s + at * each_s, inf, name, "upgrade") for at, name in enumerate(instances)]
        _check_apart(comings)
        self._check_outages(comings)

    def _check_enough(self, instances: list[str]) -> None:
        goings = {each.instance for name in ("joins", "leaves", "restarts", "kills") for each in getattr(self, name)}
        if goings and len(instances) < 2:
            name = next(name for name in ("joins", "leaves", "restarts", "kills") if getattr(self, name))
            raise ValueError(f"{name}: must be empty where there is one instance, as nobody would be left")
        for number, restart in enumerate(self.restarts):
            _check_length(f"restarts.{number}", restart, LEAST_RESTART_S)

    def _check_outages(self, comings: list[tuple[float, float, str, str]]) -> None:
        before_s = 0.0
        for number, outage in enumerate(self.store_outages):
            where = f"store_outages.{number}"
            if outage.from_s < before_s:
                raise ValueError(f"{where}.from_s: {outage.from_s:g} must be {before_s:g} or later, one at a time")
            _check_length(where, outage, LEAST_OUTAGE_S)
            if any(from_s < outage.until_s and outage.from_s < until_s for from_s, until_s, _, _ in comings):
                raise ValueError(f"{where}: no instance may come, go or stop while the store is away")
            before_s = outage.until_s
        before_s = 0.0
        for number, partition in enumerate(self.partitions):
            where = f"partitions.{number}"
            if partition.from_s < before_s:
                raise ValueError(f"{where}.from_s: {partition.from_s:g} must be {before_s:g} or later, one at a time")
            for _, until_s, instance, what in comings:
                is_back = until_s < inf and not what.startswith("freezes")
                if is_back and instance in partition.instances and partition.from_s < until_s <= partition.until_s:
                    raise ValueError(f"{where}: {instance} may not come by {what} while it is cut off")
            if any(it.from_s < partition.until_s and partition.from_s < it.until_s for it in self.store_outages):
                raise ValueError(f"{where}: must not be while the store is away")
            before_s = partition.until_s
        if self.upgrade is not None and self.store_outages:
            raise ValueError("upgrade: must be left out where there are store_outages")


def _span(each: Join | Leave | Restart | Kill | Freeze) -> tuple[float, float]:
    match each:
        case Restart() | Freeze():
            return each.from_s, each.until_s
        case Join():
            return 0.0, each.at_s
        case Kill(at_s=at_s, back_s=back_s) if back_s is not None:
            return at_s, back_s
        case _:
            return each.at_s, inf


def _check_apart(comings: Iterable[tuple[float, float, str, str]]) -> None:
    """To one instance one thing happens at a time."""
    until: dict[str, tuple[float, str]] = {}
    for from_s, until_s, instance, where in sorted(comings):
        before_s, what = until.get(instance, (0.0, ""))
        if from_s < before_s == inf:
            raise ValueError(f"{where}: {instance} is not there at {from_s:g} s, as it does not come back from {what}")
        if from_s < before_s:
            raise ValueError(f"{where}: {from_s:g} s must be {before_s:g} or later, as {what} lasts so long")
        until[instance] = until_s, where


def _check_name(where: str, instance: str, instances: list[str], known: set[str]) -> None:
    if instance not in known:
        raise ValueError(f"{where}: {instance!r} must be one of {instances[0]} to {instances[-1]}")


def _check_length(where: str, span: Span, least_s: float) -> None:
    if span.until_s < span.from_s + least_s:
        raise ValueError(f"{where}.until_s: {span.until_s:g} must be {span.from_s + least_s:g} or later")
