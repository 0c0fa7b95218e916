"""How a plan and what came of it look, and their names in json (docs/mmctl.md, output)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmctl.apply.plan import Action, Difference, Kind, Step
from mmctl.output import Cell, Column, View, say
from mmctl.sizes import count, printable

MOST_SHOWN = 50
"""Steps of a plan that a person is shown before it is done; `mmctl diff` shows all."""

_SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.REMOVE: "-", Action.REFUSE: "!", Action.KEEP: "="}
_STYLES = {Action.CREATE: "green", Action.CHANGE: "yellow", Action.REMOVE: "red", Action.REFUSE: "red"}
_NOUNS = {Kind.MODEL: "model", Kind.VMODEL: "virtual model"}
_RESULTS = {"failed": "red", "created": "green", "changed": "green", "removed": "green", "not found": "yellow"}
_SAID = {
    Action.CREATE: "to create",
    Action.CHANGE: "to change",
    Action.REMOVE: "to unregister",
    Action.REFUSE: "that cannot be so",
    Action.KEEP: "unchanged",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step: ``result`` is created, changed, unchanged, removed, not_found or failed."""

    kind: Kind
    name: str
    result: str
    code: str = "OK"
    error: str = ""


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value and value.isprintable() else json.dumps(value, ensure_ascii=False)


def _difference(each: Difference, action: Action) -> str:
    field, before, after = printable(each.field), _value(each.before), _value(each.after)
    if action is Action.CREATE or each.before is None:
        return f"{field}={after}"
    return f"-{field}" if each.after is None else f"{field}: {before} -> {after}"


def _what(step: Step) -> str:
    differences = ", ".join(_difference(each, step.action) for each in step.differences)
    return "; ".join(part for part in (differences, step.text) if part)


PLAN: View[Step] = View(
    columns=(
        Column("ACTION", lambda step: Cell(f"{_SIGNS[step.action]} {step.action.value}", _STYLES.get(step.action, ""))),
        Column("KIND", lambda step: step.kind.value),
        Column("ID", lambda step: step.name, flexible=True),
        Column("WHAT", lambda step: _what(step) or "-"),
    ),
    plain=lambda step: {
        "action": step.action.value,
        "kind": step.kind.value,
        "id": step.name,
        "differences": [{"field": each.field, "before": each.before, "after": each.after} for each in step.differences],
        "text": step.text,
    },
    name=lambda step: step.name,
    nothing="no differences",
)

DONE: View[Done] = View(
    columns=(
        Column("KIND", lambda done: done.kind.value),
        Column("ID", lambda done: done.name, flexible=True),
        Column("RESULT", lambda done: Cell(done.result.replace("_", " "), _RESULTS.get(done.result, ""))),
        Column("ERROR", lambda done: f"{done.code}: {done.error}" if done.error else "-"),
    ),
    plain=lambda done: {
        "kind": done.kind.value,
        "id": done.name,
        "result": done.result,
        "code": done.code,
        "error": done.error,
    },
    name=lambda done: done.name,
    nothing="nothing was to be done",
)


def say_plan(steps: Sequence[Step]) -> None:
    """A plan for the person who is to agree: what is to be done, and how much of each."""
    shown = [step for step in steps if step.is_telling]
    for step in sorted(shown, key=lambda step: step.action is not Action.REFUSE)[:MOST_SHOWN]:
        what = _what(step)
        line = f"{_SIGNS[step.action]} {step.kind.value} {printable(step.name)}{'  ' if what else ''}{what}"
        say(line, style=_STYLES.get(step.action, ""))
    if len(shown) > MOST_SHOWN:
        say(f"and {len(shown) - MOST_SHOWN:,} more; `mmctl diff` shows all")
    say(summary(steps))


def summary(steps: Sequence[Step]) -> str:
    """How many of what, in a line."""
    parts = []
    for kind, noun in _NOUNS.items():
        actions = [step.action for step in steps if step.kind is kind]
        numbers = [f"{actions.count(action):,} {_SAID[action]}" for action in _SAID if action in actions]
        if numbers:
            parts.append(f"{count(len(actions), noun)}: {', '.join(numbers)}")
    return "; ".join(parts)
