"""Taking processes down in the order in which they can do without each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mmctl.errors import Failed
from mmctl.local.home import Home
from mmctl.local.process import Process, stop
from mmctl.local.start import await_ready, launch
from mmctl.local.state import ETCD, MESHD, RUNTIME, WATCH, Service, State
from mmctl.progress import Progress

_SERVER_STOP_S = 10.0
DRAIN_MARGIN_S = 10.0
"""What a meshd may take beyond its own budget before it is killed."""


def take_down(home: Home, progress: Progress) -> list[str]:
    """Stop all of it: every meshd first, with its drain, then the runtimes, then etcd.

    Returns the names of those that had to be killed.
    """
    state = home.read()
    if state is None:
        return []
    everything = [service.name for service in state.services]
    state = home.change(lambda state: unwanted(state, everything))
    killed: list[str] = []
    for role in (WATCH, MESHD, RUNTIME, ETCD):
        killed += stop_services(home, [service.name for service in state.of_role(role)], progress)
    home.change(lambda state: replace(state, phase="down"))
    return killed


def stop_services(home: Home, names: Sequence[str], progress: Progress) -> list[str]:
    """SIGTERM to all of ``names`` at once; those that outlast their bound are killed and their names returned."""
    state = home.change(lambda state: unwanted(state, names))
    running = {service.process: service for name in names if (service := state.get(name)).process and service.is_up}
    if not running:
        return []
    bound_s = _SERVER_STOP_S
    if any(service.role == MESHD for service in running.values()):
        bound_s = state.drain_s + DRAIN_MARGIN_S
    left = {service.name for service in running.values()}
    progress.waiting(f"stopping {', '.join(sorted(left))}")

    def tell(process: Process) -> None:
        service = running[process]
        left.discard(service.name)
        progress.line(f"{service.name} has stopped")
        if left:
            progress.waiting(f"stopping {', '.join(sorted(left))}")

    killed = [running[process].name for process in stop([process for process in running if process], bound_s, tell)]
    for name in killed:
        progress.line(f"{name} did not stop within {bound_s:.0f} s and was killed", style="yellow")
    home.change(lambda state: _forgotten(state, names))
    return killed


def restart(home: Home, instances: Sequence[str], timeout_s: float, progress: Progress) -> list[str]:
    """Stop and start the runtime and the meshd of each instance in turn, the next when the one before is ready.

    Returns the names of those that had to be killed.
    """
    killed: list[str] = []
    for instance in instances:
        state = home.read()
        if state is None:
            raise Failed(f"{home.path} holds no mesh any more")
        names = {service.role: service.name for service in state.services if service.instance == instance}
        killed += stop_services(home, [names[MESHD]], progress)
        killed += stop_services(home, [names[RUNTIME]], progress)
        launch(home, [names[RUNTIME], names[MESHD]])
        await_ready(home, [names[RUNTIME], names[MESHD]], time.monotonic() + timeout_s, progress)
    return killed


def unwanted(state: State, names: Sequence[str]) -> State:
    """The same where nobody starts ``names`` again."""
    return _each(state, names, lambda service: replace(service, is_wanted=False))


def _forgotten(state: State, names: Sequence[str]) -> State:
    return _each(state, names, lambda service: replace(service, process=None))


def _each(state: State, names: Sequence[str], change: Callable[[Service], Service]) -> State:
    return replace(
        state, services=tuple(change(service) if service.name in names else service for service in state.services)
    )
