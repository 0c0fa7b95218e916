"""The command on journals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from meshcore.settings import Settings
from mmctl.errors import Failed, Usage, nearest
from mmctl.options import Debug, Output
from mmctl.output import Form, show_list
from mmctl.progress import Progress


def replay_(
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Journals of instances (MM_JOURNAL_PATH).")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=NUMBER", help="Decide by another setting of the rules.", show_default=False
        ),
    ] = None,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Decide again what instances decided, and show the first thing that comes out otherwise."""
    # Imported here: what it needs is all of the rules, and no other command's.
    from meshcore.replay import BadJournal, replay
    from mmctl.journals import lines
    from mmctl.replayed import VIEW, Result, remark, show

    changes = _changes(setting or [])
    results, problems = [], []
    with Progress() as progress:
        for path in file:
            progress.waiting(f"replaying {path}")
            try:
                results.append(Result(path, replay(lines(path), changes=changes)))
            except BadJournal as bad:
                problems.append(f"{path}: {bad}")
            except Usage as unreadable:
                problems.append(str(unreadable))
    show_list(VIEW, results, output)
    differing = [result for result in results if result.of.difference is not None]
    for result in results:
        remark(result)
    if output in (Form.TABLE, Form.WIDE):
        for result in differing:
            show(result)
    if problems:
        raise Usage("\n".join(problems))
    if differing:
        raise Failed(f"{len(differing)} of {len(results)} come out otherwise")


def _changes(pairs: list[str]) -> Mapping[str, int]:
    known = {field.name for field in fields(Settings)}
    changes = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if name not in known:
            raise Usage(f"--set {pair}: the rules have no setting {name!r}; {nearest(name, sorted(known))}")
        try:
            changes[name] = int(number)
        except ValueError:
            raise Usage(f"--set {pair}: {number!r} is no whole number") from None
    return changes
