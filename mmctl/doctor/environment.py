"""What an instance would make of its environment: meshd itself is asked, and judges every variable."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.settings_rules import of_settings
from mmctl.errors import Failed, Usage

TRY_S = 20.0
_ONLY = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")
"""What the process needs of this shell; nothing else of it counts."""
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
    """``problems`` stop a start, then there are no ``rows``; ``remarks`` do not."""

    rows: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


async def tried(env: Mapping[str, str]) -> Tried:
    """What ``meshd --print-config`` says with this environment and no other."""
    inherited = {name: value for name in _ONLY if (value := os.environ.get(name)) is not None}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meshd", "--print-config", "-o", "json", env={**inherited, **env},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TRY_S):
            out, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Failed(f"meshd --print-config took more than {TRY_S:g} s") from None
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
    found = [of_problem(text) for text in seen.problems]
    found += [warning(text, do="take it out, or see docs/configuration.md") for text in seen.remarks]
    if seen.rows:
        found += [each for each in of_settings({row.name: (row.value, row.origin) for row in seen.rows})
                  if each.level != "ok"]  # fmt: skip
    return found or [ok(f"an instance starts with it; {_given(seen)} settings are given")]


def of_problem(text: str) -> Finding:
    """A setting that stops a start, unless it only names a file that may well be where the instance runs."""
    if _ELSEWHERE in text:
        return note(f"{text}; it may be there where the instance runs", do="look at the file there")
    return problem(text, do="correct it: no instance starts with it")


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


def files_missing(problems: Sequence[str]) -> list[str]:
    """Settings among ``problems`` whose only fault is that their file is not here."""
    return [text.partition(":")[0].partition("=")[0] for text in problems if _ELSEWHERE in text]
