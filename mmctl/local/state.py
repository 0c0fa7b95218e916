"""What a data directory remembers of its mesh: the plan it runs by and the processes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmctl.local.process import Process, is_running

WHAT = "mmctl data"
"""What marks a directory as ours."""

FORMAT = 1
"""Of state.json. A directory written with a greater one belongs to a newer mmctl."""

ETCD = "etcd"
RUNTIME = "runtime"
MESHD = "meshd"
WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Service:
    """A process that belongs to the mesh: how it is started, and its present run, if any.

    ``name`` is unique, ``instance`` empty for what serves all of them. ``is_wanted`` is False from the moment a
    command takes it down.
    """

    name: str
    role: str
    instance: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    process: Process | None = None
    is_wanted: bool = True

    @property
    def is_up(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and is_running(self.process)


@dataclass(frozen=True, slots=True)
class State:
    """The whole of state.json. ``phase``: starting, up, down; ``etcd``: the version of the one that it runs with;
    ``former``: what an upgrade replaces or replaced last, so that it can be brought back."""

    version: str
    service: str
    kv_store: str
    drain_s: float
    services: tuple[Service, ...] = ()
    phase: str = "starting"
    etcd: tuple[int, int, int] = (0, 0, 0)
    former: tuple[Service, ...] = ()

    @property
    def instances(self) -> tuple[str, ...]:
        """Their names, in the order they were planned in."""
        return tuple(service.instance for service in self.services if service.role == MESHD)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where clients reach the instances that run."""
        return tuple(
            f"127.0.0.1:{service.ports['grpc']}" for service in self.services if service.role == MESHD and service.is_up
        )

    @property
    def down(self) -> tuple[Service, ...]:
        """Services that should run and do not: an upgrade that is under way has others take the place of some."""
        replaced = {service.instance for service in self.former}
        return tuple(
            service
            for service in self.services
            if not service.is_up and (service.is_wanted or service.instance not in replaced)
        )

    @property
    def is_up(self) -> bool:
        """Whether anything of it runs."""
        return any(service.is_up for service in self.services)

    def get(self, name: str) -> Service:
        """The service called ``name``; KeyError."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def of_instance(self, instance: str) -> tuple[Service, ...]:
        """The services of one instance, in order."""
        return tuple(service for service in self.services if service.instance == instance)

    def of_role(self, role: str) -> Iterator[Service]:
        """Services of one role, in order."""
        return (service for service in self.services if service.role == role)

    def with_service(self, changed: Service) -> State:
        """The same with one service replaced."""
        return replace(
            self,
            services=tuple(changed if service.name == changed.name else service for service in self.services),
        )


def load(path: Path) -> State | None:
    """The state in ``path``; None when there is none. ValueError says why it cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict) or values.get("what") != WHAT:
        raise ValueError(f"{path} is not mmctl's; choose another --data-dir")
    number, version = values.get("format"), values.get("version", "unknown")
    if not isinstance(number, int) or number > FORMAT:
        raise ValueError(f"{path.parent} was written by a newer mmctl ({version}); use that, or another --data-dir")
    try:
        return State(
            version=values["version"],
            service=values["service"],
            kv_store=values["kv_store"],
            drain_s=values["drain_s"],
            services=tuple(_service(service) for service in values["services"]),
            phase=values["phase"],
            etcd=tuple(values.get("etcd", (0, 0, 0))),
            former=tuple(_service(service) for service in values.get("former", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from None


def store(path: Path, state: State) -> None:
    """Write ``state`` so that a reader sees the old one or the new one; only its owner can read it."""
    values: dict[str, Any] = {"what": WHAT, "format": FORMAT, **asdict(state)}
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=1)
        file.write("\n")
    beside.replace(path)


def _service(values: dict[str, Any]) -> Service:
    return Service(
        name=values["name"],
        role=values["role"],
        instance=values["instance"],
        command=tuple(values["command"]),
        env=values["env"],
        ports=values["ports"],
        process=_process(values["process"]),
        is_wanted=values["is_wanted"],
    )


def _process(values: dict[str, Any] | None) -> Process | None:
    return Process(values["pid"], values["started"], values.get("log_at", 0)) if values else None
