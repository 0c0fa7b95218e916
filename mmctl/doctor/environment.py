"""What an instance would make of its environment: meshd itself is asked, and judges every variable."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.settings_rules import of_settings
from mmctl.errors import Failed, Usage

START_S = 60.0
"""So long two starts of meshd may take on a busy host."""
_ONLY = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")
"""What the process needs of this shell; nothing else of it counts."""
_LISTS = ("MM_AUTO_REGISTER_MODEL_PATH", "MM_AUTO_REGISTER_MODELS_PATH")
_ELSEWHERE = "cannot be read: No such file"


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in force."""

    name: str
    value: str
    origin: str
    is_acted_on: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """``problems`` stop a start, then there are no ``rows``; ``remarks`` do not. ``absent``: variables that name files
    which are not on this host; they were tried with files that say nothing."""

    rows: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


async def tried(env: Mapping[str, str]) -> Tried:
    """What ``meshd --print-config`` says with this environment and no other."""
    first = await _asked(env)
    absent = tuple(text.partition(":")[0] for text in first.problems if _ELSEWHERE in text)
    if not absent:
        return first
    with tempfile.TemporaryDirectory() as directory:
        stand_ins = {}
        for name in absent:
            file = Path(directory) / name
            file.write_text("[]" if name in _LISTS else "{}")
            stand_ins[name] = str(file)
        return replace(await _asked({**env, **stand_ins}), absent=absent)


async def _asked(env: Mapping[str, str]) -> Tried:
    inherited = {name: value for name in _ONLY if (value := os.environ.get(name)) is not None}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "meshd",
        "--print-config",
        "-o",
        "json",
        env={**inherited, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await process.communicate()
    except BaseException:  # whoever asked gave it up
        process.kill()
        await process.wait()
        raise
    lines = tuple(said.decode("utf-8", "replace").splitlines())
    if process.returncode == 2:
        return Tried(problems=lines)
    if process.returncode != 0:
        raise Failed(f"meshd --print-config ended with {process.returncode}: {' '.join(lines[-1:])}")
    rows = tuple(
        Row(each["name"], each["value"], each["origin"], each["is_acted_on"]) for each in json.loads(out.decode())
    )
    return Tried(rows, lines)


def of_environment(seen: Tried) -> list[Finding]:
    """What stops a start, what will not do what it asks for, and what is dangerous."""
    found = [problem(text, do="correct it: no instance starts with it") for text in seen.problems]
    found += of_absent(seen)
    found += [warning(text, do="take it out, or see docs/configuration.md") for text in seen.remarks]
    if seen.rows:
        found += [
            each for each in of_settings({row.name: (row.value, row.origin) for row in seen.rows}) if each.level != "ok"
        ]
    return found or [ok(f"an instance starts with it; {_given(seen)} settings are given")]


def of_absent(seen: Tried) -> list[Finding]:
    """Files that could not be looked at."""
    return [
        note(f"{name} names a file that is not on this host", do="look at it where the instance runs")
        for name in seen.absent
    ]


def _given(seen: Tried) -> int:
    return sum(row.origin not in ("default", "derived") for row in seen.rows)


def parse_env(text: str, where: str) -> dict[str, str]:
    """Lines ``NAME=VALUE``, with or without ``export`` and quotes; Usage names a line that is none."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip().removeprefix("export ").strip()
        if not bare or bare.startswith("#"):
            continue
        name, equals, value = bare.partition("=")
        if not equals or not name or not name.replace("_", "a").isalnum():
            raise Usage(f"{where}, line {number}: NAME=VALUE is expected")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found
