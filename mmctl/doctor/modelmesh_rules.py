"""What stands in the way when instances of meshd are to take the place of a ModelMesh (docs/migration.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmctl.doctor.check import NOT_LOOKED
from mmctl.doctor.environment import Tried, of_absent
from mmctl.doctor.finding import Finding, Level, note, ok, problem, warning
from mmctl.doctor.survey import ELSEWHERE, EXAMPLES, Survey
from mmctl.sizes import count, printable, shortened

GUIDE = "docs/migration.md"

_NO_EXTRACTION = "ids of models are not taken out of requests yet: clients have to name them in a header"

IN_THE_WAY: Mapping[str, str] = {
    "MM_PAYLOAD_PROCESSORS": "requests and answers are not sent to payload processors yet",
    "MM_DATAPLANE_CONFIG": _NO_EXTRACTION,
    "MM_DATAPLANE_CONFIG_PATH": _NO_EXTRACTION,
    "LL_REGISTRY": "instances find each other in KV_STORE alone",
}
"""What somebody counts on who has set it, and is not there yet."""

_DECIDE = "do without it, or wait until it is there"


def of_keys(survey: Survey, root: str) -> list[Finding]:
    """What is there at all."""
    if not survey.parts:
        return [
            problem(
                "there is nothing below this prefix",
                root,
                "give --service (MM_SERVICE_NAME) and --prefix "
                "(MM_KVSTORE_PREFIX, mm under ModelMesh Serving) of the ModelMesh",
            )
        ]
    told = ", ".join(f"{number:,} {part}" for part, number in sorted(survey.parts.items()))
    found = [ok(told, root)]
    if survey.foreign:
        found.append(
            note(
                f"{survey.parts[ELSEWHERE]:,} keys that are nobody's: {shortened(survey.foreign)}",
                root,
                "they are left alone",
            )
        )
    return found


def of_records(survey: Survey) -> list[Finding]:
    """Records that cannot be read, fields that are not known, references to nothing."""
    more = survey.unreadable_number - len(survey.unreadable)
    found = [
        problem(printable(text), do="correct or delete the record: what it is about is not served")
        for text in survey.unreadable
    ]
    if more > 0:
        found.append(problem(f"{more:,} more records cannot be read", do="the same"))
    if survey.unknown:
        names = [f"{name} in {number:,}" for name, number in survey.unknown.most_common(EXAMPLES)]
        found.append(
            note(
                f"attributes that are not known here: {'; '.join(map(printable, names))}",
                do="nothing: they are kept as they are",
            )
        )
    if survey.dangling:
        found.append(
            warning(
                f"virtual models that refer to a model which is not there: {shortened(survey.dangling)}",
                do="give them another target, or delete them",
            )
        )
    if survey.failed:
        found.append(
            note(
                f"{count(survey.failed, 'model')} failed to load there",
                do="failures of the last 15 minutes count here too",
            )
        )
    models, vmodels = survey.parts["registry/"], survey.parts["vmodels/"]
    if any(finding.level in (Level.PROBLEM, Level.WARNING) for finding in found):
        return found
    return [*found, ok(f"{count(models, 'model')}, {count(vmodels, 'virtual model')}: all can be read")]


def of_instances(survey: Survey) -> list[Finding]:
    """Pods that run, whether they go, who leads."""
    java = {name: record for name, record in survey.instances.items() if not record.is_ours}
    going = sorted(name for name, record in java.items() if record.is_shutting_down)
    found = []
    if going:
        found.append(
            warning(f"pods that are going: {shortened(going)}", do="wait: an instance is not ready while somebody goes")
        )
    if survey.ours:
        found.append(note(f"{count(survey.ours, 'instance')} of meshd in it already", do=GUIDE))
    if not java:
        return [*found, note("no pod of ModelMesh runs", do="the registry can be taken over as it is")]
    versions = sorted({str(record.version) for record in java.values()})
    units = sum(record.capacity_units for record in java.values())
    used = sum(record.used_units for record in java.values())
    found.append(
        ok(
            f"{count(len(java), 'pod')} of version {', '.join(versions)}, "
            f"{100 * used // units if units else 0}% of their memory used"
        )
    )
    found.append(
        note("while both kinds run, a model that both are asked for is loaded twice", do=f"plan memory: {GUIDE}")
    )
    return found


def of_types(survey: Survey, constraints: Mapping[str, Any], labels: Iterable[str]) -> list[Finding]:
    """Whether each type of the models can be placed: ``labels`` are those of an instance of meshd, ``constraints`` as
    MM_TYPE_CONSTRAINTS has them; what pods of ModelMesh have counts too, for one takes their place."""
    if not constraints:
        return [ok(f"{count(len(survey.types), 'type')} of models, and no constraints that are known")]
    own = frozenset(labels)
    sets = [frozenset(record.labels) for record in survey.instances.values()] + [own]
    found = []
    for kind, number in sorted(survey.types.items()):
        entry = constraints.get(kind, constraints.get("_default", {}))
        required = set(entry.get("required", ())) if isinstance(entry, dict) else set()
        if required and not any(required <= each for each in sets):
            found.append(
                problem(
                    f"{count(number, 'model')} of type {printable(kind)} need{'s' if number == 1 else ''} "
                    f"the labels {', '.join(sorted(required))}, which no instance has",
                    do="set MM_LABELS of the instances that shall have them",
                )
            )
    return found or [ok(f"{count(len(survey.types), 'type')} of models, each has a place")]


def of_variables(env: Mapping[str, str], seen: Tried, elsewhere: Sequence[str] = ()) -> list[Finding]:
    """Each variable of the container: means the same, differs, has no effect, is not there yet. ``elsewhere``: those
    whose value is not known."""
    if not env:
        return [note("its environment is not known", do="give its Deployment: --file, --deployment, or --env-file")]
    found = [problem(text, do="correct it: no instance of meshd starts with it") for text in seen.problems]
    acted_on = {row.name: row.is_acted_on for row in seen.rows}
    found += [
        problem(f"{name} is set: {IN_THE_WAY[name]}", do=_DECIDE)
        for name in sorted(env)
        if env[name] and name in IN_THE_WAY and not acted_on.get(name, False)
    ]
    for remark in seen.remarks:
        name = remark.partition(" ")[0].rstrip(":")
        if name in IN_THE_WAY:
            continue
        is_harmless = remark.endswith("has no effect here")
        found.append(
            note(remark, do="take it out when the switch is done")
            if is_harmless
            else warning(remark, do="see docs/configuration.md")
        )
    found += _differences(env)
    found += of_absent(seen)
    if elsewhere:
        told = f"values that are not in the Deployment, and were not judged: {', '.join(elsewhere)}"
        found.append(note(told, do="look at them, or give them all with --env-file"))
    named = {re.split("[ =:]", finding.what)[0] for finding in found}
    if not seen.rows:
        return found
    same = [name for name in env if name not in named]
    return [*found, ok(f"{count(len(same), 'variable')} mean{'s' if len(same) == 1 else ''} the same")]


def _differences(env: Mapping[str, str]) -> list[Finding]:
    found = []
    if not env.get("MM_METRICS"):
        found.append(
            note(
                "MM_METRICS is not set: ModelMesh sends StatsD, meshd opens port 2112 for Prometheus",
                do="set it to what you want",
            )
        )
    if env.get("MM_TLS_PRIVATE_KEY_PATH") and env.get("MM_ENABLE_SSL", "").lower() != "false":
        found.append(
            note(
                "MM_TLS_PRIVATE_KEY_PATH gives TLS between instances too, which ModelMesh has with the old names only",
                do="MM_ENABLE_SSL=false leaves it out",
            )
        )
    if env.get("MM_SVC_GRPC_PORT") == "0":
        found.append(warning("MM_SVC_GRPC_PORT=0 is any free port; ModelMesh then has no server", do="give the port"))
    return found


def constraints_of(text: str) -> dict[str, Any]:
    """Type constraints by type; none where ``text`` cannot be read, which meshd itself tells."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def verdict(findings: Sequence[Finding]) -> Finding:
    """The one answer: ready to switch, how much stands in the way, or that it cannot be told."""
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    unseen = [finding.check for finding in findings if finding.what.startswith(NOT_LOOKED)]
    if problems:
        return Finding(Level.PROBLEM, f"not ready to switch: {count(problems, 'problem')} in the way", check="verdict")
    if unseen:
        told = f"whether it can be switched cannot be told: not looked at: {', '.join(unseen)}"
        return Finding(Level.PROBLEM, told, do="give what it takes, or --skip them", check="verdict")
    if warnings:
        told = f"ready to switch, after a look at {count(warnings, 'warning')}"
        return Finding(Level.WARNING, told, do=GUIDE, check="verdict")
    return Finding(Level.OK, "ready to switch", do=GUIDE, check="verdict")
