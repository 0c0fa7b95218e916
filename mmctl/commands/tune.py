"""The command that finds the smallest fleet that is enough."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmctl.commands.simulate import RULES, Report
from mmctl.errors import Failed, Usage
from mmctl.options import Debug
from mmctl.output import Form, show_text, show_value
from mmctl.progress import Progress
from mmctl.runs import Sweeping, interruptible, report_script, state_dir, write_report


class Varied(StrEnum):
    """What ``--vary`` takes."""

    COUNT = "instances.count"
    CAPACITY = "instances.capacity"


class TuneForm(StrEnum):
    """What ``-o`` takes of the answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def tune(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario, in YAML.")],
    slo: Annotated[
        list[str],
        typer.Option(help="What has to hold, as 'cold_start_rate<0.1%' or 'latency_p99<200ms'; several: all of them."),
    ],
    vary: Annotated[Varied, typer.Option(help="What is to be as small as can be.")] = Varied.COUNT,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds that all have to meet what has to hold.")] = 3,
    most: Annotated[
        str | None,
        typer.Option(help="The largest value to try, as 40 or '16 GiB'.", show_default="16 times the scenario's"),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(help="How fine to look.", show_default="1 instance, 1/20 of the scenario's capacity"),
    ] = None,
    rules: Annotated[str, typer.Option(help=f"{RULES}.")] = "mesh",
    output: Annotated[TuneForm, typer.Option("--output", "-o", help="Form of what is printed.")] = TuneForm.TABLE,
    report: Report = None,
    debug: Debug = False,
) -> None:
    """Find the fewest instances, or the least memory, with which a scenario keeps to its limits; 1: there is none."""
    from sim import ScenarioError
    from sim.policies import rules_named
    from sim.sweep import Sweep
    from sim.sweep_paths import read_source
    from sim.sweep_state import Kept
    from sim.tune import as_values, ask
    from sim.tune import tune as find
    from sim.tune_report import as_table, verdict
    from sim.tune_report import report as page
    from sim.tune_slo import parse_slos

    try:
        rules_named(rules)
    except ValueError as error:
        raise Usage(f"--rules: {error}") from None
    try:
        slos = parse_slos(slo)
    except ValueError as error:
        raise Usage(f"--slo {error}") from None
    try:
        source = read_source(file)
        question = ask(source, rules, vary.value, slos, seeds, _amount("--most", most), _amount("--step", step))
    except ScenarioError as error:
        raise Usage("\n".join(error.problems)) from None
    script = report_script(report, [file])
    with Progress() as progress:
        sweeping = Sweeping(progress, lambda plan: f"{vary.value}={plan.changes[vary]}, seed {plan.scenario.seed}")
        with interruptible(sweeping, True), Sweep(Kept(state_dir()), sweeping.told) as sweep:
            answer = find(question, sweep.play)
    if output is TuneForm.TABLE:
        show_text(as_table(answer))
    else:
        show_value(as_values(answer), Form(output.value))
    if report is not None:
        write_report(report, page(answer, script))
    if answer.found is None:
        raise Failed(verdict(answer)[0])


def _amount(option: str, text: str | None) -> int | None:
    from sim.amounts import parse_bytes

    if text is None:
        return None
    try:
        amount = parse_bytes(text)
    except ValueError as error:
        raise Usage(f"{option} {text}: {error}") from None
    if not isinstance(amount, int) or amount < 1:
        raise Usage(f"{option} {text}: must be at least 1")
    return amount
