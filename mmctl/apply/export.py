"""Models and virtual models as documents, which `mmctl apply` and `mmctl register -f` take again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any

import yaml

from mmctl.documents import ATTRIBUTES
from mmctl.values import Model, Registration, Status, VModel, VModelStatus


class Language(StrEnum):
    """How documents are written."""

    YAML = "yaml"
    JSONL = "jsonl"


class Unwritable(ValueError):
    """It cannot be written down; why."""


_PLAIN = Registration("", "")


def model_document(model: Model) -> dict[str, Any]:
    """What was said about a model, without what goes without saying; raises Unwritable."""
    if model.status is Status.UNKNOWN:
        raise Unwritable(model.failures[0].text if model.failures else "its record cannot be read")
    values = {field: getattr(model, name) for field, name in ATTRIBUTES.items()}
    _check_text(values)
    return {field: value for field, value in values.items() if value != getattr(_PLAIN, ATTRIBUTES[field])}


def vmodel_document(vmodel: VModel) -> dict[str, Any]:
    """What shall answer for a name, whether it does already or not; raises Unwritable."""
    if vmodel.status is VModelStatus.UNKNOWN:
        raise Unwritable("its record cannot be read")
    targets = dict(vmodel.next or vmodel.targets)
    values = {"vmodel": vmodel.name, "targets": targets, "shadow": vmodel.shadow, "owner": vmodel.owner}
    _check_text(values)
    return {field: value for field, value in values.items() if value != ""}


def is_within(vmodel: VModel, models: Collection[str]) -> bool:
    """Whether all that it refers to is among ``models``."""
    referred = {*(vmodel.next or vmodel.targets), *([vmodel.shadow] if vmodel.shadow else [])}
    return referred <= set(models)


def written(documents: Iterable[dict[str, Any]], language: Language) -> str:
    """The documents as text; parts one after the other are documents too."""
    if language is Language.JSONL:
        return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump_all(
        documents, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000, explicit_start=True
    )
    return text


def _check_text(values: dict[str, Any]) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unwritable("it is not UTF-8, which files are") from None
