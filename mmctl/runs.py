"""Where the simulator's finished runs are kept, how far a sweep is, and where a report goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmctl.errors import Failed, Interrupted, Usage
from mmctl.places import place
from mmctl.progress import Progress

if TYPE_CHECKING:
    from sim.sweep import Step
    from sim.sweep_paths import Plan


def state_dir() -> Path:
    """Where finished runs are kept: ``$XDG_STATE_HOME/mmctl/runs``."""
    return place("XDG_STATE_HOME", ".local/state") / "runs"


class Sweeping:
    """Tells a person how far a sweep is; ``name`` says which run it is."""

    def __init__(self, progress: Progress, name: Callable[[Plan], str]) -> None:
        self._progress, self._name = progress, name
        self._kept = 0
        self.last: Step | None = None

    def told(self, step: Step) -> None:
        """Is called with each step."""
        from sim.report import speed_line

        self.last = step
        if step.plan is None and step.kept > self._kept:
            more, self._kept = step.kept - self._kept, step.kept
            self._progress.line(f"{more} of {step.of} runs were finished before and are not played again")
        name = self._name(step.plan) if step.plan is not None else ""
        if step.result is not None and step.result.speed is not None:
            count = f" ({step.ended} of {step.of})" if step.of > 1 else ""
            self._progress.line(f"{name}: {speed_line(step.result.speed)}{count}")
        if step.ended < step.of:
            part = f"simulating {name}: {step.part:.0%}" if step.part else "simulating"
            self._progress.waiting(f"{part}, {step.ended} of {step.of} runs finished" if step.of > 1 else part)


@contextmanager
def interruptible(sweeping: Sweeping, is_kept: bool) -> Iterator[None]:
    """What ends a sweep before its time, in a sentence."""
    from sim.problems import ScenarioError, TraceFailed
    from sim.sweep import SweepBroken
    from sim.sweep_state import NotKept

    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted{_kept(sweeping, is_kept)}") from None
    except (SweepBroken, TraceFailed) as error:
        raise Failed(f"{error}{_kept(sweeping, is_kept)}") from None
    except ScenarioError as error:
        raise Usage("\n".join(error.problems)) from None
    except NotKept as error:
        raise Failed(str(error)) from None


def _kept(sweeping: Sweeping, is_kept: bool) -> str:
    step = sweeping.last
    if step is None or not is_kept:
        return ""
    return f"; {step.ended} of {step.of} runs are finished and kept, the same command goes on from there"


def report_script(file: Path | None, scenarios: Sequence[Path]) -> str:
    """The script for a report in ``file``; before anything is played it is seen whether there can be one."""
    if file is None:
        return ""
    from sim.html import NoPlotly, plotly_js

    check_target(f"--report {file}", file, scenarios)
    try:
        return plotly_js()
    except NoPlotly as error:
        raise Failed(f"--report {file}: {error}") from None


def check_target(what: str, file: Path, sources: Sequence[Path]) -> None:
    """See to it, before any work is done for it, that a file may be put there, and not in the place of what it is made
    of; ``what`` is how it was given."""
    try:
        if not file.parent.is_dir():
            raise Usage(f"{what}: there is no directory {file.parent}")
        if file.exists() and not file.is_file():
            raise Usage(f"{what}: is {'a directory' if file.is_dir() else 'no file'}, and would be replaced")
        if os.path.realpath(file) in map(os.path.realpath, sources):
            raise Usage(f"{what}: is what is read, and would be replaced")
    except OSError as error:
        raise Usage(f"{what}: cannot be looked at: {error.strerror or error}") from None


def write_report(file: Path, text: str) -> None:
    """Write the page: whole, or not at all."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}.fresh")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise Failed(f"--report {file}: cannot be written: {error.strerror or error}") from None


def parse_sets(texts: Sequence[str]) -> dict[str, list[object]]:
    """The values for each path of ``--set path=v1,v2``."""
    from sim.sweep_paths import parse_values

    values: dict[str, list[object]] = {}
    for text in texts:
        try:
            path, found = parse_values(text)
        except ValueError as error:
            raise Usage(f"--set {error}") from None
        if path in values:
            raise Usage(f"--set {path} is given twice; give its values with commas between them")
        for other in values:
            if f"{path}.".startswith(f"{other}.") or other.startswith(f"{path}."):
                raise Usage(f"--set {path} and --set {other}: one is in the other; give the values of both together")
        values[path] = found
    return values
