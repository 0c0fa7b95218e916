"""The command on the simulator."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmctl.errors import Usage
from mmctl.options import Debug
from mmctl.output import Form, show_text, show_value
from mmctl.progress import Progress
from mmctl.runs import Sweeping, interruptible, parse_sets, report_script, state_dir, write_report

if TYPE_CHECKING:
    from sim import Result
    from sim.sweep_paths import Plan


class RunForm(StrEnum):
    """What ``-o`` takes of runs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


RunOutput = Annotated[
    RunForm, typer.Option("--output", "-o", help="Form of what is printed; csv has a line for each run.")
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write a report with plots, too; it needs no network.",
                 show_default=False),
]  # fmt: skip
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=V1,V2", show_default=False,
                 help="Play with each of these values instead, as instances.count=4,8; several are combined."),
]  # fmt: skip

RULES = "Rules to play by: mesh, no-second-copies, random or modelmesh, or with another eviction, as mesh+gdsf"


def simulate(
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios, in YAML.")],
    rules: Annotated[
        list[str] | None,
        typer.Option(help=f"{RULES}; several are shown beside each other.", show_default="mesh"),
    ] = None,
    set_: Set = None,
    output: RunOutput = RunForm.TABLE,
    report: Report = None,
    debug: Debug = False,
) -> None:
    """Play scenarios by the rules that a mesh goes by, or by others, and sum up what was seen: the same every time."""
    # Imported here: what it needs takes as long to import as all of mmctl.
    from sim import ScenarioError
    from sim.sweep import Sweep
    from sim.sweep_paths import labels, numbered, plans
    from sim.sweep_state import Kept

    try:
        planned = plans(file, list(dict.fromkeys(rules or ["mesh"])), parse_sets(set_ or []))
    except ScenarioError as error:
        raise Usage("\n".join(error.problems)) from None
    script = report_script(report, file)
    names = numbered(labels(planned))
    kept = Kept(state_dir()) if len(planned) > 1 else None
    with Progress() as progress:
        shown = names if len(planned) > 1 else [planned[0].source]
        by_plan = {id(plan): name for plan, name in zip(planned, shown, strict=True)}
        sweeping = Sweeping(progress, lambda plan: by_plan[id(plan)])
        with interruptible(sweeping, kept is not None), Sweep(kept, sweeping.told) as sweep:
            results = sweep.play(planned)
    _show(planned, names, results, output)
    if report is not None:
        from sim.html_report import report as page

        write_report(report, page(planned, results, script))


def _show(planned: list[Plan], names: list[str], results: list[Result], output: RunForm) -> None:
    from sim.report import as_comparison, as_csv, as_table, as_values

    match output:
        case RunForm.JSON | RunForm.YAML:
            value = results[0].data if len(results) == 1 else as_values(planned, results)
            show_value(value, Form(output.value))
        case RunForm.CSV:
            show_text(as_csv(planned, results))
        case RunForm.TABLE if len(results) == 1:
            show_text(as_table(results[0]))
        case RunForm.TABLE:
            show_text(as_comparison(dict(zip(names, results, strict=True))))
