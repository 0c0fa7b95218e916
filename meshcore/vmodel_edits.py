"""What the store is to hold once a virtual model was set, switched or deleted: the record, and who is referred to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshcore.errors import Mismatch, ModelExists, UnknownModel, VModelExists
from meshcore.records import ModelRecord
from meshcore.split import heaviest
from meshcore.vmodel_asks import ModelWrite, SetVModel
from meshcore.vmodel_record import VModelRecord

Models = Mapping[str, ModelRecord | None]


@dataclass(frozen=True, slots=True)
class Standing:
    """A virtual model and models as they stand together, None where there is none, with their revisions."""

    vmodel: VModelRecord | None
    mod: int
    models: Models
    mods: Mapping[str, int]


def check(asked: SetVModel, standing: Standing) -> None:
    """Whether what is asked for can be; raises MeshError with the words that clients of ModelMesh know.

    The order of the questions is theirs too: what is expected of the virtual model, then the models, then the rest.
    """
    record, target = standing.vmodel, heaviest(asked.weights)
    if asked.expected:
        if record is None and asked.expected != target:
            raise Mismatch(f"vmodel {asked.vmodel} not found")
        if record is not None:
            _check_owner(asked, record, quoted=asked.owner)
            if record.target not in (asked.expected, target):
                raise Mismatch(f"Existing target model {record.target} does not match expected {asked.expected}")
    _check_models(asked, standing.models)
    if record is not None:
        _check_owner(asked, record, quoted=record.owner)
    elif asked.is_update_only:
        raise UnknownModel(f"vmodel {asked.vmodel} not found")


def _check_owner(asked: SetVModel, record: VModelRecord, quoted: str) -> None:
    if asked.owner and asked.owner != record.owner:
        raise VModelExists(f'vmodel {asked.vmodel} already exists with different owner "{quoted}"')


def _check_models(asked: SetVModel, models: Models) -> None:
    target, info = heaviest(asked.weights), asked.info
    for model in asked.weights:
        record = models[model]
        if record is None and (info is None or model != target):
            raise UnknownModel(f"Target model {model} not found")
        if record is None or info is None or model != target:
            continue
        if (record.type, record.path, record.key) != (info.type, info.path, info.key):
            raise ModelExists(f"Target model {model} already exists with different attribute values")
    if asked.shadow and models[asked.shadow] is None:
        raise UnknownModel(f"Shadow model {asked.shadow} not found")


def wanted(asked: SetVModel, record: VModelRecord | None, may_switch: bool, default_owner: str) -> VModelRecord:
    """The record as it should be where ``record`` stands (itself: nothing is to change).

    ``may_switch``: the models that are asked for could answer at once.
    """
    fresh = record or VModelRecord(asked.owner or default_owner)
    before, shadow = fresh.wanted, fresh.shadow if asked.shadow is None else asked.shadow
    after = fresh if record is not None and before == asked.weights else fresh.aimed_at(asked.weights)
    if shadow in asked.weights:
        shadow = ""  # it has been looked at for long enough
    if shadow != after.shadow:
        after = replace(after, shadow=shadow)
    is_at_once = asked.is_forced or record is None or (may_switch and after is not record)
    return after.switched() if is_at_once and after.is_in_transition else after


def with_target(asked: SetVModel, standing: Standing, last_used: int) -> Models:
    """The models as they stand, with the one that is to be registered, and the target used as of ``last_used``."""
    target, info = heaviest(asked.weights), asked.info
    record = standing.models[target]
    if record is None and info is not None:
        record = ModelRecord(info.type, info.path, info.key, auto_delete=info.is_auto_delete)
    return {**standing.models, target: record and record.used_at(last_used)}


def writes(standing: Standing, after: VModelRecord | None, models: Models) -> tuple[ModelWrite, ...]:
    """What of models is to be written with the virtual model so that it becomes ``after`` (None: none).

    References are what the two sets of models that it refers to differ by (D-21); an ``auto_delete`` model whose last
    one goes is deleted. One that is not there any more, or cannot be read, is to stay as it is.
    """
    there = frozenset(model for model, record in standing.models.items() if record is not None)
    before = standing.vmodel.roles if standing.vmodel is not None else frozenset()
    roles = after.roles if after is not None else frozenset()
    found = []
    for model in sorted(before | roles):
        record = models.get(model)
        change = (model in roles) - (model in before and model in there)
        if record is None:
            if model not in roles:
                found.append(ModelWrite(model, standing.mods[model], is_kept=True))
            continue
        if change:
            record = replace(record, references=max(0, record.references + change))
        if record == standing.models.get(model):
            continue
        is_over = change < 0 and record.auto_delete and not record.references
        found.append(ModelWrite(model, standing.mods[model], None if is_over else record.encode()))
    return tuple(found)
