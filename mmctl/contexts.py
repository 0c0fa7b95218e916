"""The file of contexts, which are named ways to a mesh."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mmctl.errors import Failed, NotFound, Usage, nearest
from mmctl.places import place


def config_file() -> Path:
    """Where contexts are kept. Raises NoHome."""
    return place("XDG_CONFIG_HOME", ".config") / "config.yaml"


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the file holds; ``others`` is what it has beside contexts."""

    current: str = ""
    contexts: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """The context called ``name``, as it stands there; NotFound."""
        if name not in self.contexts:
            hint = nearest(name, map(str, self.contexts)) if self.contexts else "there is none"
            raise NotFound(f"{config_file()}: no context {name!r}; {hint}")
        return self.contexts[name]

    def used(self, name: str) -> Contexts:
        """The same with ``name``, which is one of them, as the current one; NotFound."""
        self.get(name)
        return replace(self, current=name)

    def with_context(self, name: str, values: Mapping[str, Any]) -> Contexts:
        """The same with ``name`` as ``values`` say; the first one is the current one."""
        return replace(self, contexts={**self.contexts, name: values}, current=self.current or name)

    def without(self, name: str) -> Contexts:
        """The same without ``name``; NotFound."""
        self.get(name)
        contexts = {other: values for other, values in self.contexts.items() if other != name}
        return replace(self, contexts=contexts, current="" if self.current == name else self.current)


def read() -> Contexts:
    """What is kept; without a file nothing is. Usage says what is wrong with the file."""
    file = config_file()
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise Usage(f"{file}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Usage(f"{file}: not YAML: {error}") from None
    if config is None:
        return Contexts()
    contexts = config.get("contexts") or {} if isinstance(config, dict) else None
    if not isinstance(contexts, dict):
        raise Usage(f"{file}: contexts is an object that has each context by its name")
    others = {name: value for name, value in config.items() if name not in ("current", "contexts")}
    return Contexts(str(config.get("current") or ""), {str(name): contexts[name] for name in contexts}, others)


def write(kept: Contexts) -> None:
    """Keep it, whole or not at all, for its owner's eyes only: Failed."""
    file = config_file()
    beside = file.with_name(f"{file.name}.{os.getpid()}.new")
    values = {**({"current": kept.current} if kept.current else {}), "contexts": dict(kept.contexts), **kept.others}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as fresh:
            yaml.safe_dump(values, fresh, sort_keys=False, allow_unicode=True)
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise Failed(f"{file}: cannot be written: {error.strerror or error}") from None
