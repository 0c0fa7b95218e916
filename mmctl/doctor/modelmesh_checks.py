"""The checks on a ModelMesh that is to be replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmctl.doctor import modelmesh_rules as rules
from mmctl.doctor.check import Check
from mmctl.doctor.environment import START_S, Tried, tried
from mmctl.doctor.finding import Finding, ok
from mmctl.doctor.mesh_checks import of_dynamic
from mmctl.doctor.subject import Subject
from mmctl.doctor.survey import Survey

GO_THROUGH_S = 120.0
"""A registry of a million models is read once."""


def modelmesh_checks(subject: Subject, elsewhere: Sequence[str] = ()) -> list[Check]:
    """All of them. ``elsewhere``: variables of the environment whose value is not known."""

    async def survey() -> Survey:
        await subject.live_etcd()
        found: Survey = await subject.once("survey", lambda: _survey(subject))
        return found

    async def keys() -> Sequence[Finding]:
        return rules.of_keys(await survey(), subject.root())

    async def records() -> Sequence[Finding]:
        return rules.of_records(await survey())

    async def instances() -> Sequence[Finding]:
        return rules.of_instances(await survey())

    async def types() -> Sequence[Finding]:
        labels = [label.strip() for label in subject.env.get("MM_LABELS", "").split(",") if label.strip()]
        return rules.of_types(await survey(), rules.constraints_of(_constraints(subject.env)), labels)

    async def config() -> Sequence[Finding]:
        found = [each for name, value in (await survey()).config.items() for each in of_dynamic(name, value)]
        return found or [ok("nothing is set for the whole mesh")]

    async def environment() -> Sequence[Finding]:
        seen = await tried(subject.env) if subject.env else Tried()
        return rules.of_variables(subject.env, seen, elsewhere)

    return [
        Check("keys", keys, GO_THROUGH_S),
        Check("records", records, GO_THROUGH_S),
        Check("pods", instances, GO_THROUGH_S),
        Check("types", types, GO_THROUGH_S),
        Check("config", config, GO_THROUGH_S),
        Check("environment", environment, START_S),
    ]


def _constraints(env: Mapping[str, str]) -> str:
    """The text of the type constraints, as far as it can be had here."""
    if text := env.get("MM_TYPE_CONSTRAINTS"):
        return text
    try:
        return Path(env.get("MM_TYPE_CONSTRAINTS_PATH", "")).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


async def _survey(subject: Subject) -> Survey:
    look, survey = subject.look(), Survey()
    async for key, value in look.pairs(look.root):
        survey.take(key.removeprefix(look.root), value)
    return survey
