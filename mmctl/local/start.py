"""Bringing processes up in the order they need each other, and waiting until each is ready."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mmctl.errors import Failed
from mmctl.local import etcd, ports
from mmctl.local.home import Home
from mmctl.local.plan import environment
from mmctl.local.process import describe_exit, exit_status, last_lines, spawn
from mmctl.local.state import ETCD, MESHD, RUNTIME, Service, State
from mmctl.progress import Progress
from mmctl.sizes import count

_POLL_S = 0.1


def bring_up(home: Home, timeout_s: float, progress: Progress) -> State:
    """Start everything that is planned in ``home`` and return when all of it is ready; Failed says what is not."""
    state = _planned(home)
    until = time.monotonic() + timeout_s
    launch(home, [service.name for service in state.services if service.role != MESHD])
    await_ready(home, [ETCD], until, progress)
    meshes = [service.name for service in state.of_role(MESHD)]
    launch(home, meshes)
    await_ready(home, [service.name for service in state.of_role(RUNTIME)] + meshes, until, progress)
    return home.change(lambda state: replace(state, phase="up"))


def launch(home: Home, names: Sequence[str]) -> None:
    """Start the services called ``names`` and remember each at once."""
    for name in names:
        service = _planned(home).get(name)
        try:
            process = spawn(service.command, environment(service), home.log(name))
        except OSError as error:
            raise Failed(f"{name}: {service.command[0]} cannot be started: {error.strerror}") from None
        home.change(partial(State.with_service, changed=replace(service, process=process, is_wanted=True)))


def await_ready(home: Home, names: Sequence[str], until: float, progress: Progress) -> None:
    """Return when all of ``names`` are ready; Failed with the end of its log for one that ends, or takes too long."""
    state = _planned(home)
    waiting = [state.get(name) for name in names]
    while waiting:
        progress.waiting(f"waiting for {', '.join(service.name for service in waiting)}")
        for service in list(waiting):
            # Asked before the readiness: another process on its port must not pass for it.
            is_up = service.is_up
            if is_up and is_ready(service):
                waiting.remove(service)
                progress.line(f"{service.name} is ready on {ports.HOST}:{main_port(service)}")
            elif not is_up:
                assert service.process is not None
                status = describe_exit(exit_status(service.process.pid))
                raise Failed(_with_log(home, service, f"{service.name} {status} before it was ready"))
        if waiting and time.monotonic() >= until:
            service = waiting[0]
            raise Failed(_with_log(home, service, f"{service.name} was not ready in time{_own_word(service)}"))
        if waiting:
            time.sleep(_POLL_S)


def is_ready(service: Service) -> bool:
    """Whether it does its work, by its own word where it has one."""
    match service.role:
        case "etcd":
            return etcd.is_healthy(service.ports["client"])
        case "runtime":
            return ports.accepts(service.ports["spi"])
        case _:
            return ports.probe(service.ports["probe"], "/ready")[0] == 200


def _own_word(service: Service) -> str:
    """What a meshd says it is waiting for."""
    if service.role != MESHD:
        return ""
    body = ports.probe(service.ports["probe"], "/ready")[1].decode("utf-8", "replace").strip()
    return f" ({body})" if body else ""


def main_port(service: Service) -> int:
    """The port that others know it by."""
    return service.ports[{ETCD: "client", RUNTIME: "spi", MESHD: "grpc"}[service.role]]


def _planned(home: Home) -> State:
    state = home.read()
    if state is None:
        raise Failed(f"{home.path} holds no mesh any more")
    return state


def _with_log(home: Home, service: Service, sentence: str) -> str:
    log = home.log(service.name)
    lines = last_lines(log, log_at=service.process.log_at if service.process else 0)
    if not lines:
        return f"{sentence}, without a word in {log}"
    return "\n".join([f"{sentence}; the last {count(len(lines), 'line')} of {log}:", *(f"  {line}" for line in lines)])
