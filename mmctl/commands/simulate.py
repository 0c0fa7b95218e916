"""The command on the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmctl.errors import Usage
from mmctl.options import Debug, Output
from mmctl.output import Form, show_heading, show_text, show_value
from mmctl.progress import Progress

if TYPE_CHECKING:
    from sim import Result


def simulate(
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios, in YAML.")],
    rules: Annotated[
        list[str] | None,
        typer.Option(
            help="Rules to play by: mesh, no-second-copies, random or modelmesh, if you like with an order of eviction,"
            " as in mesh+gdsf: lru, cost, gdsf, lfu or s3fifo; several are shown beside each other."
        ),
    ] = None,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Play scenarios by the rules that a mesh goes by, or by others, and sum up what was seen: the same every time."""
    # Imported here: what it needs takes as long to import as all of mmctl.
    from sim import ScenarioError, read_scenario, run
    from sim.policies import rules_named
    from sim.report import speed_line

    names = list(dict.fromkeys(rules or ["mesh"]))
    for name in names:
        try:
            rules_named(name)
        except ValueError as error:
            raise Usage(f"--rules: {error}") from None

    scenarios = []
    problems: list[str] = []
    for path in file:
        try:
            scenarios.append((str(path), read_scenario(path)))
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise Usage("\n".join(problems))
    played: list[tuple[str, dict[str, Result]]] = []
    with Progress() as progress:
        for path_name, scenario in scenarios:
            results: dict[str, Result] = {}
            for name in names:
                progress.waiting(f"simulating {path_name}")
                try:
                    results[name] = run(scenario, name)
                except ScenarioError as error:
                    raise Usage("\n".join(f"{path_name}: {problem}" for problem in error.problems)) from None
                progress.line(f"{path_name}: {speed_line(results[name].speed)}")
            played.append((path_name, results))
    _show(played, output)


def _show(played: list[tuple[str, dict[str, Result]]], output: Form) -> None:
    from sim.report import as_comparison, as_table

    has_many = len(played) > 1 or len(played[0][1]) > 1
    match output:
        case Form.JSON | Form.YAML if not has_many:
            show_value(next(iter(played[0][1].values())).data, output)
        case Form.JSON | Form.YAML:
            show_value(
                [
                    {"scenario": path_name, "rules": name, **result.data}
                    for path_name, results in played
                    for name, result in results.items()
                ],
                output,
            )
        case Form.NAME:
            for path_name, _ in played:
                show_text(f"{path_name}\n")
        case _:
            for path_name, results in played:
                if len(played) > 1:
                    show_heading(path_name)
                show_text(as_table(*results.values()) if len(results) == 1 else as_comparison(results))
