"""What is to be done so that a mesh is as files say: rules alone, nothing is asked or written here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from mmctl.documents import ATTRIBUTES, Described
from mmctl.sizes import shortened
from mmctl.values import Model, Registration, Status, VModel, VModelChange, VModelStatus

_FIXED = ("type", "path", "key")
_SETTABLE = ("size", "min", "max", "pin", "priority")
"""What can change about a model, labels aside."""


class Kind(StrEnum):
    """What a step is about."""

    MODEL = "model"
    VMODEL = "vmodel"


class Action(StrEnum):
    """What is to be done."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    REFUSE = "refuse"
    """It cannot be as the files say; ``text`` says why."""
    KEEP = "keep"
    """It is so already, or ``text`` says why it stays."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is another in the files; None: it is not there."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One model or virtual model."""

    kind: Kind
    name: str
    action: Action
    differences: tuple[Difference, ...] = ()
    text: str = ""

    @property
    def is_telling(self) -> bool:
        """Whether there is something to say about it."""
        return self.action is not Action.KEEP or bool(self.text)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: of models and virtual models at least those that the files name, or refer to; ``prunable`` are the
    names of models that go where the files do not name them, and then ``vmodels`` are all that there are."""

    models: Mapping[str, Model]
    vmodels: Mapping[str, VModel]
    prunable: Iterable[str] = ()


def plan(described: Described, found: Found) -> list[Step]:
    """A step for each model and virtual model, in the order in which they have to be done."""
    steps = [_model(wanted, found.models.get(name)) for name, wanted in described.models.items()]
    steps += [_vmodel(wanted, described, found) for wanted in described.vmodels.values()]
    gone = sorted(name for name in found.prunable if name not in described.models)
    keepers = _keepers(described, found)
    return steps + [_gone(name, keepers.get(name, [])) for name in gone]


def _keepers(described: Described, found: Found) -> Mapping[str, list[str]]:
    """By model the virtual models that refer to it once all is as the files say."""
    keepers: dict[str, list[str]] = {}
    for name in sorted(found.vmodels.keys() | described.vmodels.keys()):
        if wanted := described.vmodels.get(name):
            kept = {*wanted.targets, wanted.shadow or ""}
        else:
            before = found.vmodels[name]
            kept = {*before.targets, *before.next, before.shadow}
        for model in kept:
            keepers.setdefault(model, []).append(name)
    return keepers


def _gone(name: str, keepers: list[str]) -> Step:
    if keepers:
        noun = "virtual model" if len(keepers) == 1 else "virtual models"
        return Step(Kind.MODEL, name, Action.KEEP, text=f"kept by {noun} {shortened(keepers)}")
    return Step(Kind.MODEL, name, Action.REMOVE)


def _model(wanted: Registration, found: Model | None) -> Step:
    if found is None:
        return Step(Kind.MODEL, wanted.name, Action.CREATE, tuple(_said(wanted)))
    if found.status is Status.UNKNOWN:
        why = found.failures[0].text if found.failures else "its record cannot be read"
        return Step(Kind.MODEL, wanted.name, Action.REFUSE, text=why)
    fixed = tuple(_differences(_pairs(_FIXED, found, wanted)))
    if fixed:
        text = f"{', '.join(each.field for each in fixed)} of a registered model cannot change; unregister it first"
        return Step(Kind.MODEL, wanted.name, Action.REFUSE, fixed, f"{text}, or give the new one another name")
    changed = [*_differences(_pairs(_SETTABLE, found, wanted))]
    changed += _differences(_inner("labels", found.labels, wanted.labels))
    return Step(Kind.MODEL, wanted.name, Action.CHANGE if changed else Action.KEEP, tuple(changed))


def _said(wanted: Registration) -> Iterator[Difference]:
    """What is not as it is where nothing is said."""
    said = _differences(_pairs(_FIXED + _SETTABLE, Registration("", ""), wanted))
    yield from (replace(each, before=None) for each in said)
    yield from _differences(_inner("labels", {}, wanted.labels))


def _vmodel(wanted: VModelChange, described: Described, found: Found) -> Step:
    def step(action: Action, differences: Iterable[Difference] = (), text: str = "") -> Step:
        return Step(Kind.VMODEL, wanted.name, action, tuple(differences), text)

    models = [*wanted.targets, *([wanted.shadow] if wanted.shadow else [])]
    missing = [model for model in models if model not in described.models and model not in found.models]
    if missing:
        return step(Action.REFUSE, text=f"{', '.join(missing)}: not registered, and not in the files")
    before = found.vmodels.get(wanted.name)
    if before is None:
        before = VModel(wanted.name, VModelStatus.DEFINED, owner=wanted.owner)
        owner = _differences([("owner", None, wanted.owner)]) if wanted.owner else []
        return step(Action.CREATE, [*_vmodel_differences(before, wanted), *owner])
    if before.status is VModelStatus.UNKNOWN:
        return step(Action.REFUSE, text="its record cannot be read")
    if wanted.owner and wanted.owner != before.owner:
        differences = [Difference("owner", before.owner, wanted.owner)]
        return step(Action.REFUSE, differences, "the owner of a virtual model cannot change; delete it first")
    changed = list(_vmodel_differences(before, wanted))
    return step(Action.CHANGE if changed else Action.KEEP, changed)


def _vmodel_differences(before: VModel, wanted: VModelChange) -> Iterator[Difference]:
    """What shall answer counts, whether it does already or not."""
    yield from _differences(_inner("targets", before.next or before.targets, wanted.targets))
    yield from _differences([("shadow", before.shadow, wanted.shadow or "")])


def _pairs(fields: Iterable[str], before: Model | Registration, after: Registration) -> Iterator[tuple[str, Any, Any]]:
    return ((field, getattr(before, ATTRIBUTES[field]), getattr(after, ATTRIBUTES[field])) for field in fields)


def _inner(field: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    return ((f"{field}.{name}", before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()))


def _differences(fields: Iterable[tuple[str, Any, Any]]) -> Iterator[Difference]:
    return (Difference(field, before, after) for field, before, after in fields if before != after)
