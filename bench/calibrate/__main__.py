"""How far is the simulator from the live mesh? `python -m bench.calibrate`.

Three fleets of fake runtimes, each played live several times and simulated with the delays that were measured in the
same runs. With `--scenario FILE --instances N` a scenario of one's own is played instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from bench.calibrate import fleets
from bench.calibrate.figures import Figures, Row, compare, live_figures, quantile, simulated_figures
from bench.calibrate.fleets import Fleet
from bench.calibrate.mesh import CannotPlay, check, up
from bench.calibrate.play import Played, play
from sim import ScenarioError, read_scenario, run
from sim.scenario import Scenario

FOLDER = Path(__file__).resolve().parents[2] / "build" / "calibrate"
MOST_CPU = 0.5
"""Of all CPUs, for the mesh and its client: a busier machine measures itself and not the mesh."""
MOST_OTHERS_CPU = 0.25
"""The same for everybody else: whoever waits for a CPU waits longer than the simulator knows of."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the runs of one fleet came to."""

    fleet: Fleet
    runs: list[Played]
    live: list[Figures]
    simulated: list[Figures]

    @property
    def rows(self) -> list[Row]:
        return compare(self.live, self.simulated)

    @property
    def problems(self) -> list[str]:
        """Why the figures say less than they should."""
        cpu, cold = median(each.cpu for each in self.runs), median(each.cold_starts for each in self.live)
        found = [f"{row.name} is off by more than allowed" for row in self.rows if not row.is_met]
        if cpu > MOST_CPU:
            found.append(f"the mesh took {cpu:.0%} of the machine, {MOST_CPU:.0%} at most are fine")
        if (others := median(each.machine_cpu - each.cpu for each in self.runs)) > MOST_OTHERS_CPU:
            found.append(f"other processes took {others:.0%} of the machine, {MOST_OTHERS_CPU:.0%} at most are fine")
        if cold < self.fleet.least_cold:
            found.append(f"{cold:.0f} cold starts, at least {self.fleet.least_cold} are needed")
        return found


def measured(fleet: Fleet, runs: int) -> Outcome:
    """Play a fleet so often, each time with a new mesh, and simulate it as often. Raises CannotPlay."""
    scenario = fleets.recorded(fleet.scenario)
    service_ms, warmup_ms = scenario.runtime.service.mean_ms, scenario.warmup_s * 1000
    outcome = Outcome(fleet, [], [], [])
    for number in range(runs):
        say(f"{fleet.name}, run {number + 1} of {runs}: {scenario.duration_s:g} s live")
        with up(scenario, FOLDER / fleet.name) as mesh:
            played = asyncio.run(play(mesh, scenario))
        told = fleets.changed(scenario, {"seed": scenario.seed + number, **played.constants.parts(scenario)})
        outcome.runs.append(played)
        outcome.live.append(live_figures(played.answers, played.cold, warmup_ms, service_ms))
        outcome.simulated.append(simulated_figures(run(told).data, service_ms))
        say(f"  live      {shown(outcome.live[-1])}")
        say(f"  simulated {shown(outcome.simulated[-1])}")
        say(f"  {shown_run(played)}")
    return outcome


def shown(figures: Figures) -> str:
    """One line for one run."""
    return (
        f"hit rate {figures.hit_rate:.2%}, {figures.cold_starts:,} cold starts, waits p50 {figures.wait_p50_ms:.1f} ms "
        f"p99 {figures.wait_p99_ms:.1f} ms, {figures.failed} failed"
    )


def shown_run(played: Played) -> str:
    """One line for how it went."""
    late_ms = quantile((answer.late_ms for answer in played.answers), 0.99)
    told = ", ".join(f"{name} {value:.1f}" for name, value in asdict(played.constants).items())
    return f"CPU {played.cpu:.0%}, whole machine {played.machine_cpu:.0%}, sent late p99 {late_ms:.1f} ms; {told}"


def say(text: str) -> None:
    """What goes on."""
    print(text, file=sys.stderr, flush=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """All figures, as they stand in docs/simulator.md."""
    lines = [
        "| fleet | figure | live (least..most) | simulated | off by | allowed | |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        for row in outcome.rows:
            verdict = "met" if row.is_met else "not met"
            lines.append(
                f"| {outcome.fleet.name} | {row.name} | {row.live:.4g} ({row.least:.4g}..{row.most:.4g}) |"
                f" {row.simulated:.4g} | {row.off:+.2g} {row.unit} | {row.limit:g} | {verdict} |"
            )
    return "\n".join(lines)


def plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "fleet": outcome.fleet.name,
            "runs": len(outcome.runs),
            "requests": len(outcome.runs[0].answers),
            "figures": [asdict(row) | {"met": row.is_met} for row in outcome.rows],
            "cpu": [round(each.cpu, 4) for each in outcome.runs],
            "machine_cpu": [round(each.machine_cpu, 4) for each in outcome.runs],
            "constants": [asdict(each.constants) for each in outcome.runs],
            "live": [asdict(each) for each in outcome.live],
            "simulated": [asdict(each) for each in outcome.simulated],
            "problems": outcome.problems,
        }
        for outcome in outcomes
    ]


def _finite(value: Any) -> Any:
    """The same with null for a number that there is none of."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def own(scenario: Scenario) -> dict[str, Any]:
    """Play a scenario once: what its clients see. Raises CannotPlay."""
    differences = check(scenario)
    recorded = fleets.recorded(scenario)
    with up(recorded, FOLDER / "own") as mesh:
        played = asyncio.run(play(mesh, recorded))
    warmup_ms = recorded.warmup_s * 1000
    figures = live_figures(played.answers, played.cold, warmup_ms, recorded.runtime.service.mean_ms)
    told = simulated_figures(
        run(fleets.changed(recorded, played.constants.parts(recorded))).data, recorded.runtime.service.mean_ms
    )
    took = [each.took_ms for each in played.answers if each.planned_ms >= warmup_ms and not each.failure]
    return {
        "instances": scenario.instances.count,
        "differences": differences,
        "cpu": round(played.cpu, 4),
        "answered": figures.answered,
        "failed": figures.failed,
        "cold_start_rate": round(1 - figures.hit_rate, 6),
        "latency_p99_ms": round(quantile(took, 0.99), 2),
        "simulated_cold_start_rate": round(1 - told.hit_rate, 6),
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.calibrate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fleet", action="append", choices=[fleet.name for fleet in fleets.fleets()], help="only this")
    parser.add_argument("--runs", type=int, default=5, help="how often each is played (5)")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="shorter runs, to try it out")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="play this once instead")
    parser.add_argument("--instances", type=int, metavar="N", help="with --scenario: on so many instances")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args()
    if given.instances is not None and given.scenario is None:
        parser.error("--instances goes with --scenario")
    if given.runs < 1:
        parser.error(f"--runs {given.runs}: must be 1 or more")
    if given.duration is not None and given.duration <= 0:
        parser.error(f"--duration {given.duration:g}: must be more than 0")
    return given


def main() -> int:
    """Exit code 0: all figures are met; 1: some are not; 2: it could not be played."""
    given = options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # so that the mesh is taken down
    try:
        if given.scenario is not None:
            scenario = read_scenario(given.scenario)
            check(scenario)
            if given.instances is not None:
                scenario = fleets.changed(scenario, {"instances": {"count": given.instances}})
            if given.duration is not None:
                scenario = fleets.shortened(scenario, given.duration)
            found: Any = own(scenario)
            print("\n".join(f"{name}: {value}" for name, value in found.items()))
            problems = []
        else:
            chosen = [fleet for fleet in fleets.fleets() if given.fleet is None or fleet.name in given.fleet]
            if given.duration is not None:
                chosen = [
                    Fleet(fleet.name, fleets.shortened(fleet.scenario, given.duration), fleet.least_cold)
                    for fleet in chosen
                ]
            outcomes = [measured(fleet, given.runs) for fleet in chosen]
            found = plain(outcomes)
            print(table(outcomes))
            problems = [f"{outcome.fleet.name}: {problem}" for outcome in outcomes for problem in outcome.problems]
    except (CannotPlay, ScenarioError, ValueError) as error:
        say(f"bench.calibrate: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    if given.json is not None:
        given.json.write_text(json.dumps(_finite(found), indent=1) + "\n", encoding="utf-8")
    for problem in problems:
        say(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
