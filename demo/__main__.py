"""`python -m demo`: trains, starts a mesh, sends real requests, compares with scikit-learn and with the simulator."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from demo import report
from demo.fleet import DEFAULT_BYTES, INSTANCES, SETTINGS, Fleet, FleetError
from demo.live import play
from demo.simulated import Measured, scenario, simulated
from demo.traffic import ALPHA, traffic
from demo.training import TrainingError, models
from demo.zoo import recipes
from runtimes.session import memory_bytes

BUILD = Path(__file__).resolve().parents[1] / "build"
FOLDER = BUILD / "demo"
PART = 3
"""The runtimes together hold one in so many of the models' bytes."""


class Voice:
    """Says on standard error what goes on."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """A new part begins."""
        self._console.print(Text(f"{time.monotonic() - self._began:5.1f} s  {text}", "bold"))

    def line(self, text: str) -> None:
        """What happens in it."""
        self._console.print(Text(f"         {text}", "dim"), soft_wrap=True)

    def problem(self, text: str) -> None:
        """What is not as it should be."""
        self._console.print(Text(text, "red"), soft_wrap=True)


async def run(voice: Voice) -> int:
    """All of it; the exit code."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, me.cancel)

    zoo = recipes()
    voice.step(f"{len(zoo)} models on data that comes with scikit-learn")
    trained = models(zoo, FOLDER / "models", voice.line)
    sizes = [memory_bytes(FOLDER / "models" / model.file) for model in trained]
    # What is kept free for models on their way out holds none.
    capacity = sum(sizes) // PART // INSTANCES + DEFAULT_BYTES
    share = INSTANCES * (capacity - DEFAULT_BYTES) / sum(sizes)
    voice.line(
        f"{sum(sizes) / 2**20:.1f} MiB in memory, {min(sizes) / 2**20:.1f} to {max(sizes) / 2**20:.1f} each; "
        f"{INSTANCES} runtimes of {capacity / 2**20:.1f} MiB hold {share:.0%} of that"
    )

    fleet = Fleet(FOLDER / "mesh", voice.line, INSTANCES)
    try:
        voice.step(f"a mesh of {INSTANCES} instances")
        voice.line(
            ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
            + ": by default a mesh refuses to evict what was used in the last minutes, and here all is over in one"
        )
        processes = await fleet.up(trained, FOLDER / "models", capacity)
        asks = traffic(trained)
        voice.step(f"{len(asks):,} requests in {asks[-1].at_s:.0f} s")
        live = await play(fleet, processes, trained, asks, voice.line)
    finally:
        voice.step("taking the mesh down")
        fleet.down()

    voice.step("what the instances decided, decided again")
    replayed = report.replayed_figures(await fleet.replay())

    voice.step("the same requests in the simulator")
    found = report.live_figures(live)
    measured = Measured(sizes, capacity, found["load_ms"], found["service_ms"])
    simulation = report.simulated_figures(simulated(scenario(live, measured), FOLDER / "scenario.yaml"))
    voice.step("done")

    report.show(found, simulation, replayed, Console())
    problems = report.problems(found, simulation, replayed)
    _write(
        {
            "ok": not problems,
            "problems": problems,
            "models": {
                "count": len(trained),
                "bytes": sum(sizes),
                "capacity_bytes": capacity,
                "share": round(share, 4),
            },
            "traffic": {"requests": len(asks), "seconds": asks[-1].at_s, "zipf_alpha": ALPHA},
            "settings": SETTINGS,
            "live": found,
            "simulated": simulation,
            "replayed": replayed,
        }
    )
    for problem in problems:
        voice.problem(problem)
    return 1 if problems else 0


def _write(figures: dict[str, Any]) -> None:
    (BUILD / "demo.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    voice = Voice()
    try:
        return asyncio.run(run(voice))
    except (TrainingError, FleetError) as error:
        voice.problem(str(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        voice.problem("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
