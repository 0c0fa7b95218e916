"""What is simulated, as a whole, and that its parts agree."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from sys import intern
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, create_model, model_validator

from meshcore.constraints import Constraints, TypeConstraint
from meshcore.settings import LEAST, Settings
from sim.amounts import STRICT, Name
from sim.catalogue import Models
from sim.faults import Fates
from sim.fleet import Constraint, Fleet
from sim.surroundings import Network, Retries, Runtime, Store
from sim.workloads import Workload
from sim.workloads.churn import Churn
from sim.workloads.recorded import Recorded
from sim.workloads.streams import Streams
from sim.workloads.trace import Trace
from sim.workloads.zipf import Peak, Zipf

_Knobs: Any = create_model(
    "_Knobs",
    __config__=STRICT,
    **{
        knob.name: (int, Field(default=knob.default, ge=LEAST.get(knob.name, 0), le=2**53)) for knob in fields(Settings)
    },
)  # type: ignore[call-overload]


class Scenario(Fates):
    """One simulation: the same scenario and seed give the same bytes."""

    seed: int = Field(default=1, ge=0, lt=2**32)
    start: AwareDatetime = datetime(2026, 1, 5, 8, tzinfo=UTC)
    duration_s: float = Field(gt=0, le=31_622_400)
    warmup_s: float = Field(default=0, ge=0)
    """Requests and events before this are not counted."""
    instances: Fleet
    models: Models
    constraints: dict[Name, Constraint] = Field(default={})
    """By type of models; ``_default`` is for those that are not named."""
    runtime: Runtime
    network: Network = Network()
    store: Store = Store()
    traffic: Workload
    churn: Churn | None = None
    """Without it all models are registered all the time."""
    retries: Retries = Retries()
    mode: Literal["mesh", "cache"] = "mesh"
    """``cache``: one instance, and nothing takes time."""
    eviction: Literal["lru", "cost", "gdsf", "lfu", "s3fifo"] = "lru"
    """Which copies make room."""
    settings: _Knobs = _Knobs()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.warmup_s >= self.duration_s:
            raise ValueError(f"warmup_s: {self.warmup_s:g} must be less than duration_s, {self.duration_s:g}")
        self.core_settings()  # raises ValueError where two of them cannot be together
        models, instances = self.model_ids(), self.instance_ids()
        if isinstance(self.traffic, Recorded):
            _check_numbers("models", self.traffic.models, len(models))
            _check_numbers("instances", self.traffic.instances or [], len(instances))
        elif isinstance(self.traffic, Trace):
            _check_places(self.traffic.instances or [], len(instances))
        elif isinstance(self.traffic, Zipf):
            _check_peaks(self.traffic.peaks, len(models))
        elif isinstance(self.traffic, Streams):
            self.traffic.check(len(models), self.duration_s)
        if self.churn is not None:
            self.churn.check(len(models))
        for number, failure in enumerate(self.failures):
            if failure.model not in models:
                where = f"failures.{number}.model"
                raise ValueError(f"{where}: {failure.model!r} must be one of {models[0]} to {models[-1]}")
        self.check_fates(instances)
        if self.network.between_zones_ms is not None and self.instances.zones is None:
            raise ValueError("network.between_zones_ms: must be left out where instances have no zones")
        self._check_constraints()
        if self.mode == "cache":
            self._check_cache()
        return self

    def _check_cache(self) -> None:
        if self.instances.count != 1:
            raise ValueError(f"instances.count: {self.instances.count} must be 1 where mode is cache")
        for name in ("warmup_s", *Fates.model_fields):
            if getattr(self, name):
                raise ValueError(f"{name}: must be left out where mode is cache, as no time goes by in it")

    def _check_constraints(self) -> None:
        constraints = Constraints()
        constraints.put(self.type_constraints())
        fleets = [self.labels(number) for number in range(min(self.instances.count, len(self.instances.labels)))]
        for model_type in self.model_types():
            if not any(constraints.allow(model_type, labels) for labels in fleets):
                where = f"constraints.{constraints.name(model_type)}.required"
                given = ", ".join(constraints.required(model_type))
                raise ValueError(
                    f"{where}: {given} must be in instances.labels of some instance, else models of type"
                    f" {model_type} load nowhere"
                )

    def model_types(self) -> list[str]:
        """The types that models are of, each in turn."""
        return self.models.types or [self.models.type]

    def labels(self, number: int) -> tuple[str, ...]:
        """The labels of the instance of that number."""
        return tuple(sorted(set(self.instances.labels[number % len(self.instances.labels)])))

    def zone(self, number: int) -> str:
        """The zone of the instance of that number; empty: it has none."""
        zones = self.instances.zones
        return zones[number % len(zones)] if zones else ""

    def type_constraints(self) -> dict[str, TypeConstraint]:
        """What the rules go by, as in MM_TYPE_CONSTRAINTS."""
        return {name: TypeConstraint.of(each.required, each.preferred) for name, each in self.constraints.items()}

    def model_ids(self) -> list[str]:
        """The models' names, in the order of their numbers."""
        if self.models.names is not None:
            return [intern(name) for name in self.models.names]
        digits = len(str(self.models.count - 1))
        return [intern(f"model-{number:0{digits}}") for number in range(self.models.count)]

    def instance_ids(self) -> list[str]:
        """The instances' names, in the order of their numbers."""
        digits = len(str(self.instances.count - 1))
        return [intern(f"instance-{number:0{digits}}") for number in range(self.instances.count)]

    def all_instance_ids(self) -> list[str]:
        """The names of the instances that are ever there, in the order of their numbers: new ones are last."""
        old = self.instance_ids()
        return old if self.upgrade is None else [*old, *(f"{name}-new" for name in old)]

    def core_settings(self) -> Settings:
        """The numbers that the rules go by."""
        return Settings(**self.settings.model_dump())


def _check_peaks(peaks: list[Peak], models: int) -> None:
    for number, peak in enumerate(peaks):
        where = f"traffic.peaks.{number}"
        if peak.model >= models:
            raise ValueError(f"{where}.model: {peak.model} must be less than models.count, {models}")
        if peak.until_s <= peak.from_s:
            raise ValueError(f"{where}.until_s: {peak.until_s:g} must be more than from_s, {peak.from_s:g}")


def _check_numbers(name: str, numbers: list[int], count: int) -> None:
    for at, number in enumerate(numbers):
        if number >= count:
            raise ValueError(f"traffic.{name}.{at}: {number} must be less than {name}.count, {count}")


def _check_places(names: list[str], count: int) -> None:
    if len(names) > count:
        raise ValueError(f"traffic.instances: must have no more than instances.count, {count}, not {len(names)}")
