"""Where in a YAML file something stands that a sentence is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import yaml


def placed(problem: str, name: str, text: str) -> str:
    """``problem``, which begins with the path of a key, behind the file's name and the line of that key in ``text``; of
    one that is not there the line of what it would be in, if it has one."""
    line = line_of(text, problem.partition(": ")[0].split("."))
    return f"{name}:{line}: {problem}" if line else f"{name}: {problem}"


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line, from 1, of the deepest part of ``path`` that is there; None: there is none of it."""
    node, line = _root(text), None
    for part in path:
        found = _within(node, part)
        if found is None:
            break
        key, node = found
        line = key.start_mark.line + 1
    return line


@lru_cache(maxsize=1)  # a text with one mistake may have many
def _root(text: str) -> yaml.Node | None:
    return yaml.compose(text, yaml.SafeLoader)


def _within(node: yaml.Node | None, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A key and its value, or an item twice."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None
