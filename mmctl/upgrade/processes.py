"""Carries an upgrade out on this machine: starts instances of the new version, and lets those of the former one go."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial

from mmctl.errors import Failed, Unavailable
from mmctl.local import ports
from mmctl.local.home import Home
from mmctl.local.process import is_running, last_lines, stop
from mmctl.local.start import is_ready, launch
from mmctl.local.state import MESHD, Service, State
from mmctl.local.stop import DRAIN_MARGIN_S, stop_services, unwanted
from mmctl.progress import Progress
from mmctl.upgrade.change import PORTS, Change, new_services, next_name
from mmctl.upgrade.driver import Done
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.upgrade.rules import Do, Member, Seen, next_move
from mmctl.values import Instance

_AGAIN_S = 5.0
"""Between two attempts to start the same instance."""


class Processes:
    """The instances of the mesh in ``home``. What is going on is in its state file, so that any mmctl can go on."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._going_since_s: dict[str, float] = {}
        self._tried_s: dict[str, float] = {}

    async def look(self, upgrade: Upgrade, known: Mapping[str, Instance]) -> Seen:
        """See Driver."""
        return await asyncio.to_thread(self._look, upgrade, known)

    async def act(self, upgrade: Upgrade, seen: Seen, now: int) -> Done:
        """See Driver."""
        return await asyncio.to_thread(self._act, upgrade, seen, now)

    async def finish(self, upgrade: Upgrade) -> None:
        """See Driver: what has left is not part of the mesh any more."""
        await asyncio.to_thread(self._finish, upgrade)

    def _finish(self, upgrade: Upgrade) -> None:
        with self._locked():
            self._remove(upgrade.old if upgrade.phase is Phase.DONE else upgrade.new)
            drains = [_drain_s(service) for service in self._state().of_role(MESHD)]
            self._home.change(lambda state: replace(state, drain_s=max(drains)))

    def _look(self, upgrade: Upgrade, known: Mapping[str, Instance]) -> Seen:
        state = self._state()
        others = [name for name in state.instances if name not in upgrade.new]
        sides = upgrade.new, tuple(dict.fromkeys((*upgrade.old, *others)))
        new, old = (tuple(_member(state, name, known) for name in names) for names in sides)
        return Seen(new=new, old=old, size=upgrade.size, stuck=self._dead(state, upgrade.new))

    def _dead(self, state: State, names: tuple[str, ...]) -> str:
        for service in state.services:
            if service.instance in names and service.is_wanted and not service.is_up:
                if service.process is None:
                    return f"{service.name} was not started"
                log = self._home.log(service.name)
                said = "".join(f": {line}" for line in last_lines(log, 1, service.process.log_at))
                return f"{service.name} has ended by itself{said}; its log is {log}"
        return ""

    def _act(self, upgrade: Upgrade, seen: Seen, now: int) -> Done:
        with self._locked():
            self._keep_former(upgrade)
            self._end_drained(upgrade)
            move = next_move(upgrade, seen, now)
            match move.do:
                case Do.START:
                    if not self._is_due(move.instance):
                        return Done(f"starts {move.instance} again in a moment: {move.reason}")
                    self._tried_s[move.instance] = time.monotonic()
                    try:
                        started = self._start(upgrade, move.instance)
                    except Failed as error:
                        return Done(f"cannot start an instance: {error}", is_event=True)
                    return Done(f"starts {started}: {move.reason}", is_event=True)
                case Do.DRAIN:
                    self._drain(move.instance)
                    return Done(f"drains {move.instance}: {move.reason}", is_event=True)
        return Done(move.reason)

    def _is_due(self, instance: str) -> bool:
        """Whether it may be started (again); what ends at once is not started at once."""
        return instance not in self._tried_s or time.monotonic() - self._tried_s[instance] >= _AGAIN_S

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the mesh meanwhile; Unavailable while another mmctl does."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._home.locked())
            except Failed as error:
                raise Unavailable(str(error)) from None
            yield

    def _state(self) -> State:
        state = self._home.read()
        if state is None or state.phase != "up":
            raise Failed(f"the mesh in {self._home.path} is not up any more; the upgrade stays as it is")
        return state

    def _keep_former(self, upgrade: Upgrade) -> None:
        """Before anything goes, remember what is to be brought back if need be."""
        state = self._state()
        kept = {service.instance for service in state.former}
        if not kept or not kept <= set(upgrade.old):
            former = tuple(
                replace(service, process=None) for service in state.services if service.instance in upgrade.old
            )
            self._home.change(lambda state: replace(state, former=former))

    def _start(self, upgrade: Upgrade, instance: str) -> str:
        """Start it, or one more as before where it has no name; the name of what was started."""
        state = self._state()
        instance = instance or next_name(state, (*upgrade.old, *upgrade.new))
        self._remove((instance,))
        services = tuple(service for service in state.former if service.instance == instance)
        if not services:
            assigned = ports.assign([f"{instance} {kind}" for kind in PORTS], {}, None)
            port = {kind: assigned[f"{instance} {kind}"] for kind in PORTS}
            model = tuple(service for service in state.former if service.instance == state.former[0].instance)
            change = Change.of(upgrade.plan["change"]) if instance in upgrade.new else Change()
            if change.runtime == "onnx":
                self._home.models.mkdir(parents=True, exist_ok=True)  # as `up` does
            services = new_services(change, model, instance, port, str(self._home.models))
        self._home.change(lambda state: replace(state, services=(*state.services, *services)))
        launch(self._home, [service.name for service in services])
        return instance

    def _drain(self, instance: str) -> None:
        """Tell its meshd to go, and return; nobody starts it again."""
        services = self._state().of_instance(instance)
        names = [service.name for service in services]
        self._home.change(partial(unwanted, names=names))
        meshd = next(service for service in services if service.role == MESHD)
        if meshd.process is not None and is_running(meshd.process):
            with suppress(ProcessLookupError):
                os.kill(meshd.process.pid, signal.SIGTERM)

    def _end_drained(self, upgrade: Upgrade) -> None:
        """Of those that were told to go: kill what outlasts its time, end the model servers of what is gone."""
        state = self._state()
        for instance in (*upgrade.old, *upgrade.new):
            services = {service.role: service for service in state.of_instance(instance)}
            meshd = services.get(MESHD)
            if meshd is None or meshd.is_wanted:
                continue
            since_s = self._going_since_s.setdefault(instance, time.monotonic())
            if meshd.is_up and meshd.process is not None:
                if time.monotonic() - since_s < _drain_s(meshd) + DRAIN_MARGIN_S:
                    continue
                stop([meshd.process], 0.0, lambda process: None)
            self._remove((instance,))
            self._going_since_s.pop(instance, None)

    def _remove(self, instances: tuple[str, ...]) -> None:
        """End what may be left of them; they are not part of the mesh any more."""
        left = [service.name for service in self._state().services if service.instance in instances]
        stop_services(self._home, left, Progress(is_silent=True))
        self._home.change(
            lambda state: replace(
                state, services=tuple(service for service in state.services if service.instance not in instances)
            )
        )


def _drain_s(meshd: Service) -> float:
    """How long it may take to go, as `up` or the upgrade to it had it told."""
    return int(meshd.env["SHUTDOWN_TIMEOUT_MS"]) / 1000


def _member(state: State, name: str, known: Mapping[str, Instance]) -> Member:
    services = {service.role: service for service in state.of_instance(name)}
    if not services:
        return Member(name, is_up=False)
    meshd = services[MESHD]
    told = known.get(name, Instance(name))
    if not meshd.is_wanted:
        is_left = any(service.is_up for service in services.values())
        return Member(name, is_up=is_left, is_going=True, models=told.models, loads=told.loads_in_progress)
    is_in_use = all(service.is_up for service in services.values()) and is_ready(meshd)
    return Member(
        name, is_up=meshd.is_up, is_ready=is_in_use, models=told.models, loads=told.loads_in_progress,
        text="" if is_in_use else _said(meshd),
    )  # fmt: skip


def _said(meshd: Service) -> str:
    """What a meshd says it is waiting for."""
    return ports.probe(meshd.ports["probe"], "/ready")[1].decode("utf-8", "replace").strip()
