"""The command on the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmctl.errors import Usage
from mmctl.options import Debug, Output
from mmctl.output import Form, show_heading, show_text, show_value
from mmctl.progress import Progress


def simulate(
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios, in YAML.")],
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Play scenarios by the rules that a mesh goes by, and sum up what was seen: the same every time."""
    # Imported here: what it needs takes as long to import as all of mmctl.
    from sim import ScenarioError, read_scenario, run
    from sim.report import as_table, speed_line

    scenarios = []
    problems: list[str] = []
    for path in file:
        try:
            scenarios.append((str(path), read_scenario(path)))
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise Usage("\n".join(problems))
    results = []
    with Progress() as progress:
        for name, scenario in scenarios:
            progress.waiting(f"simulating {name}")
            try:
                results.append((name, run(scenario)))
            except ScenarioError as error:
                raise Usage("\n".join(f"{name}: {problem}" for problem in error.problems)) from None
            progress.line(f"{name}: {speed_line(results[-1][1].speed)}")
    match output:
        case Form.JSON | Form.YAML if len(results) == 1:
            show_value(results[0][1].data, output)
        case Form.JSON | Form.YAML:
            show_value([{"scenario": name, **result.data} for name, result in results], output)
        case Form.NAME:
            for name, _ in results:
                show_text(f"{name}\n")
        case _:
            for name, result in results:
                if len(results) > 1:
                    show_heading(name)
                show_text(as_table(result))
