"""Looking after a mesh that is up: tell what ended by itself, and start it again where that was asked for."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmctl.errors import CommandError
from mmctl.local.home import Home
from mmctl.local.process import Process, describe_exit, exit_status
from mmctl.local.start import launch
from mmctl.local.state import WATCH, Service
from mmctl.progress import Progress

_POLL_S = 0.25
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Watch:
    """One look at a time; ``should_restart`` brings back what ended, after a pause that doubles with each time."""

    def __init__(self, home: Home, should_restart: bool, progress: Progress) -> None:
        self._home = home
        self._should_restart = should_restart
        self._progress = progress
        self._told: set[Process] = set()
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def look(self, now_s: float) -> bool:
        """Tell and restart what is due; False when there is nothing left to look after."""
        # Whoever ends one says so first: what is wanted is read after what runs.
        before = self._home.read()
        gone = {service.process for service in before.services if not service.is_up} if before else set()
        state = self._home.read()
        if state is None or state.phase == "down":
            return False
        for service in state.services:
            if service.role != WATCH and service.is_wanted and service.process is not None and service.process in gone:
                self._ended(service, service.process, now_s)
        for name in [name for name, due_s in self._due.items() if due_s <= now_s]:
            del self._due[name]
            self._start_again(name)
        return self._should_restart or state.is_up

    def _ended(self, service: Service, process: Process, now_s: float) -> None:
        if process in self._told:
            return
        self._told.add(process)
        sentence = f"{service.name} {describe_exit(exit_status(process.pid))}"
        if self._should_restart:
            pause_s = self._pauses.get(service.name, _FIRST_PAUSE_S)
            self._pauses[service.name] = min(pause_s * 2, _LONGEST_PAUSE_S)
            self._due[service.name] = now_s + pause_s
            self._progress.line(f"{sentence}; starting it again in {pause_s:.0f} s", style="yellow")
        else:
            remedy = (
                f"`mmctl restart {service.instance}` brings it back"
                if service.instance
                else "`mmctl down` ends the rest"
            )
            self._progress.line(f"{sentence}; its log is {self._home.log(service.name)}; {remedy}", style="yellow")

    def _start_again(self, name: str) -> None:
        try:
            with self._home.locked():
                state = self._home.read()
                if state is None or state.phase == "down":
                    return
                # An upgrade may have taken it out meanwhile.
                service = next((service for service in state.services if service.name == name), None)
                if service is not None and service.is_wanted and not service.is_up:
                    launch(self._home, [name])
        except CommandError as error:
            self._progress.line(f"{name} was not started again: {error}", style="yellow")


def look_after(home: Home, should_restart: bool, progress: Progress) -> None:
    """Watch until the mesh is taken down, or all of it has ended."""
    watch = Watch(home, should_restart, progress)
    while watch.look(time.monotonic()):
        time.sleep(_POLL_S)


def detached(home: Home) -> Service:
    """A process that does the same, with restarts, for a mesh that nobody is in front of."""
    return Service(WATCH, WATCH, "", (sys.executable, "-m", "mmctl.local.watch", str(home.path)))


def main() -> None:
    """``python -m mmctl.local.watch DATA_DIR``."""
    look_after(Home(Path(sys.argv[1])), should_restart=True, progress=Progress())


if __name__ == "__main__":
    main()
