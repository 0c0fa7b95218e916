"""What a ModelMesh has left in its etcd: every key below its prefix, read as an instance of meshd will read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from meshcore.errors import BadRecord
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.vmodel_record import VModelRecord

EXAMPLES = 5
"""So many keys at most are kept of anything."""
PARTS = ("registry/", "vmodels/", "instances/", "leaderLatch/", "config/", "meshd/")
"""What a mesh keeps below its prefix."""
ELSEWHERE = "other keys"


@dataclass
class Survey:
    """Sums of what was taken in; examples are names, all else are counts.

    ``types``: models by type; ``unknown``: records by the name of an attribute that nobody here knows; ``unreadable``:
    key and reason of records; ``instances`` by id; ``config``: value by name.
    """

    parts: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unreadable_number: int = 0
    unreadable: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    failed: int = 0
    loaded: int = 0
    ours: int = 0
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    leaders: list[str] = field(default_factory=list)
    config: dict[str, bytes] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    wanted: dict[str, str] = field(default_factory=dict)
    """A virtual model by each model that one refers to."""

    def take(self, name: str, value: bytes) -> None:
        """One pair; ``name`` is its key without the prefix of the mesh."""
        part = next((part for part in PARTS if name.startswith(part)), ELSEWHERE)
        self.parts[part] += 1
        read: Mapping[str, Callable[[str, bytes], None]] = {
            "registry/": self._model, "vmodels/": self._vmodel, "instances/": self._instance,
            "leaderLatch/": lambda name, _: self.leaders.append(name.removeprefix("_")),
            "config/": self.config.__setitem__,
        }  # fmt: skip
        if part == ELSEWHERE and len(self.foreign) < EXAMPLES:
            self.foreign.append(name)
        if part not in read:
            return
        try:
            read[part](name.removeprefix(part), value)
        except BadRecord as error:
            self.unreadable_number += 1
            if len(self.unreadable) < EXAMPLES:
                self.unreadable.append(str(error))

    @property
    def dangling(self) -> list[str]:
        """Virtual models that refer to a model which is not registered."""
        return sorted({vmodel for model, vmodel in self.wanted.items() if model not in self.models})

    def _model(self, name: str, value: bytes) -> None:
        self.models.add(name)
        record = ModelRecord.decode(value, name)
        self.types[record.type] += 1
        self.failed += bool(record.failures)
        self.loaded += bool(record.copies)
        self._count("registry", record.extra, record.extra_meshd)

    def _vmodel(self, name: str, value: bytes) -> None:
        record = VModelRecord.decode(value, name)
        for model in (record.active, record.target):
            if model:
                self.wanted[model] = name
        self._count("vmodels", record.extra, record.extra_meshd)

    def _instance(self, name: str, value: bytes) -> None:
        record = InstanceRecord.decode(value, name)
        self.instances[name] = record
        self.ours += record.is_ours
        self._count("instances", record.extra, record.extra_meshd)

    def _count(self, where: str, *extras: Mapping[str, object]) -> None:
        for extra in extras:
            self.unknown.update(f"{name} ({where})" for name in extra)
