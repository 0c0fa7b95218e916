"""How upgrades, their plans and their instances are shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmctl.output import Cell, Column, Form, View, show_fields, show_heading, show_list, show_value
from mmctl.sizes import count, human_age, human_size
from mmctl.upgrade.outlook import Step
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.values import Instance

_EVENTS = 8
_STYLES = {Phase.HELD: "yellow", Phase.ROLLING_BACK: "yellow", Phase.ROLLED_BACK: "red", Phase.DONE: "green"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done; ``differences``: what it is, as it was, as it will be."""

    kind: str
    former: str
    wanted: str
    differences: Sequence[tuple[str, str, str]]
    steps: Sequence[Step]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sided:
    """An instance and the side that it is on."""

    side: str
    instance: Instance


STEPS: View[Step] = View(
    columns=(
        Column("STEP", lambda step: step.do),
        Column("INSTANCE", lambda step: step.instance),
        Column("MODELS", lambda step: f"{step.models:,}" if step.do == "drain" else "", right=True),
        Column("HOLDS", lambda step: human_size(step.held_bytes) if step.do == "drain" else "", right=True),
        Column("ROOM ELSEWHERE", lambda step: _room(step), right=True),
    ),
    plain=lambda step: {**asdict(step), "has_room": step.has_room},
    name=lambda step: step.instance,
    nothing="no steps",
)

INSTANCES: View[Sided] = View(
    columns=(
        Column("SIDE", lambda one: one.side),
        Column("INSTANCE", lambda one: one.instance.id),
        Column("VERSION", lambda one: one.instance.version or "-"),
        Column("PHASE", lambda one: one.instance.phase or "-"),
        Column("MODELS", lambda one: f"{one.instance.models:,}", right=True),
        Column("USED", lambda one: human_size(one.instance.used_bytes), right=True),
        Column("CAPACITY", lambda one: human_size(one.instance.capacity_bytes), right=True),
        Column("LOADING", lambda one: str(one.instance.loads_in_progress), right=True),
    ),
    plain=lambda one: {
        "side": one.side,
        "id": one.instance.id,
        "version": one.instance.version,
        "phase": one.instance.phase,
        "models": one.instance.models,
        "used_bytes": one.instance.used_bytes,
        "capacity_bytes": one.instance.capacity_bytes,
        "loads_in_progress": one.instance.loads_in_progress,
    },
    name=lambda one: one.instance.id,
    nothing="no instances",
)


def sided(upgrade: Upgrade, instances: Sequence[Instance]) -> list[Sided]:
    """The instances of both sides, those that etcd knows."""
    known = {instance.id: instance for instance in instances}
    both = [("old", name) for name in upgrade.old] + [("new", name) for name in upgrade.new]
    return [Sided(side, known[name]) for side, name in both if name in known]


def show_plan(plan: Plan, form: Form) -> None:
    """The plan in ``form``."""
    if form in (Form.JSON, Form.YAML):
        changes = [{"name": name, "before": before, "after": after} for name, before, after in plan.differences]
        show_value(
            {
                "kind": plan.kind, "from": plan.former, "to": plan.wanted, "changes": changes,
                "steps": [STEPS.plain(step) for step in plan.steps], "warnings": list(plan.warnings),
            },
            form,
        )  # fmt: skip
        return
    if form is Form.NAME:
        show_list(STEPS, plan.steps, form)
        return
    show_fields([("from", plan.former), ("to", plan.wanted)])
    if plan.differences:
        show_heading("what will be another")
        show_fields(
            [(name, f"{before or '(none)'} -> {after or '(none)'}") for name, before, after in plan.differences]
        )
    show_heading(count(len(plan.steps), "step"))
    show_list(STEPS, plan.steps, form)
    if plan.warnings:
        show_heading("what to know")
        show_fields([("-", Cell(text, "yellow")) for text in plan.warnings])


def plain(upgrade: Upgrade, runner: str, instances: Sequence[Sided]) -> dict[str, Any]:
    """An upgrade for json and yaml; ``runner`` is who carries it out now."""
    return {
        "id": upgrade.id,
        "kind": upgrade.kind,
        "from": upgrade.former,
        "to": upgrade.wanted,
        "phase": upgrade.phase.value,
        "reason": upgrade.reason,
        "held_for": upgrade.hold.value,
        "started_ms": upgrade.started_ms,
        "phase_ms": upgrade.phase_ms,
        "moved_ms": upgrade.moved_ms,
        "runner": runner,
        "last_runner": upgrade.runner,
        "max_failed": upgrade.limits.max_failed,
        "max_wait_ms": upgrade.limits.max_wait_ms,
        "auto_rollback": upgrade.limits.auto_rollback,
        "size": upgrade.size,
        "instances": [INSTANCES.plain(one) for one in instances],
        "events": [{"at_ms": event.at_ms, "text": event.text} for event in upgrade.events],
    }


def show_upgrade(upgrade: Upgrade, runner: str, instances: Sequence[Sided], form: Form) -> None:
    """How an upgrade is, in ``form``."""
    match form:
        case Form.JSON | Form.YAML:
            show_value(plain(upgrade, runner, instances), form)
        case Form.NAME:
            show_list(INSTANCES, instances, form)
        case _:
            _describe(upgrade, runner, instances, form)


def _describe(upgrade: Upgrade, runner: str, instances: Sequence[Sided], form: Form) -> None:
    now = int(time.time() * 1000)
    phase = upgrade.phase.value.replace("_", " ")
    limits = upgrade.limits
    more = ", then it is rolled back" if limits.auto_rollback else ", then it is held"
    fields: list[tuple[str, str | Cell]] = [
        ("upgrade", f"{upgrade.former} -> {upgrade.wanted} ({upgrade.kind}, {count(upgrade.size, 'instance')})"),
        ("phase", Cell(f"{phase}: {upgrade.reason}", _STYLES.get(upgrade.phase, ""))),
        ("age", f"{human_age(upgrade.started_ms, now)}, in this phase {human_age(upgrade.phase_ms, now)}"),
        ("limits", f"{count(limits.max_failed, 'failed model')}, {limits.max_wait_ms // 1000} s for a step{more}"),
    ]
    if not upgrade.phase.is_over:
        gone = Cell(f"nobody ({upgrade.runner} is gone): `start --resume` goes on, `abort` goes back", "red")
        fields.append(("carried out by", runner or gone))
    show_fields(fields)
    if instances:
        show_heading(count(len(instances), "instance"))
        show_list(INSTANCES, instances, form)
    show_heading("what happened")
    show_fields([(human_age(event.at_ms, now), event.text) for event in upgrade.events[-_EVENTS:]])


def _room(step: Step) -> str | Cell:
    if step.do != "drain":
        return ""
    return Cell(human_size(step.room_bytes), "" if step.has_room else "yellow")
