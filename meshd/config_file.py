"""The file that settings may stand in: a YAML mapping of their names to their values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from meshd.config_checks import hint, is_known
from meshd.settings.kinds import Kind, Unfit, contents
from meshd.settings.table import SETTINGS

NULL = "tag:yaml.org,2002:null"
_KINDS = {name: setting.kind for setting in SETTINGS for name in setting.names}


@dataclass(frozen=True, slots=True)
class FileSettings:
    """``texts``: each setting as its variable would say it, by name; ``problems``: what cannot be, a sentence each."""

    path: str
    texts: Mapping[str, str]
    problems: tuple[str, ...] = ()


NO_FILE = FileSettings("", MappingProxyType({}))


def read_file(path: str) -> FileSettings:
    """The settings in a file. Raises Unfit, in one sentence, where it cannot be read or is no mapping."""
    root = _composed(path, contents(path))
    if root is None:
        return FileSettings(path, MappingProxyType({}))
    if not isinstance(root, yaml.MappingNode):
        raise Unfit(f"{_place(path, root)}: a mapping of settings is expected, as in MM_MESH_PORT: 8080")
    texts: dict[str, str] = {}
    problems = []
    for key, value in root.value:
        name, place = key.value, _place(path, key)
        if not isinstance(name, str):
            problems.append(f"{place}: what is no name is in the place of one")
        elif not is_known(name):
            problems.append(f"{place}: {name} is not a setting{hint(name)}")
        elif name in texts:
            problems.append(f"{place}: {name} is there twice")
        else:
            try:
                texts[name] = _text(value, _KINDS.get(name))
            except ValueError as error:
                problems.append(f"{place}: {name} {error}")
    return FileSettings(path, MappingProxyType(texts), tuple(problems))


def _composed(path: str, text: str) -> Any:
    """The one document of a YAML text, as nodes: a value is wanted as it is written, not as YAML understands it."""
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unfit(f"{path}, line {line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unfit(f"{path}, line {line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise Unfit(f"{path}: not YAML: nested too deep") from error


def _text(node: Any, kind: Kind | None) -> str:
    """A value as its variable would say it. Raises ValueError, in a text that goes on after the setting's name."""
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag == NULL else str(node.value)
    if kind is not None and kind.is_json:
        return _json(node)
    if kind is not None and kind.separator and isinstance(node, yaml.SequenceNode):
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return kind.separator.join(str(item.value) for item in node.value)
        raise ValueError("is a list of lists or mappings; a list of plain values is expected")
    shape = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
    raise ValueError(f"is a {shape}; allowed: {kind.allowed if kind else 'a plain value'}")


def _json(node: Any) -> str:
    try:
        return json.dumps(yaml.constructor.SafeConstructor().construct_document(node), default=str)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("says what JSON cannot") from error


def _place(path: str, node: Any) -> str:
    return f"{path}, line {node.start_mark.line + 1}"
