"""What a new version of a mesh on this machine consists of: each process as the former one with what is to change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mmctl.errors import Failed, Usage
from mmctl.local import plan
from mmctl.local.state import MESHD, RUNTIME, Service, State
from mmctl.sizes import parse_size

VERSION = "SERVICE_VERSION"
PORTS = ("grpc", "mesh", "probe", "metrics", "prestop", "runtime")
_NUMBERED = re.compile(r"(.*-)(\d+)")


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another; empty or None: as it is."""

    version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""
    runtime_args: tuple[str, ...] | None = None
    capacity: str = ""
    python: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """As it is written down."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Change:
        """What was written down."""
        known = {name: plain[name] for name in cls.__slots__ if name in plain}
        args = known.get("runtime_args")
        return cls(**{**known, "runtime_args": None if args is None else tuple(args)})


def check(change: Change) -> None:
    """Usage for a change that cannot be, or that changes nothing."""
    if change == Change():
        raise Usage("say what is new: --set, --version, --runtime, --runtime-arg, --capacity or --python")
    if change.runtime and change.runtime not in plan.RUNTIMES:
        raise Usage(f"--runtime {change.runtime!r}: one of {', '.join(plan.RUNTIMES)}")
    if change.capacity and parse_size(change.capacity) <= 0:
        raise Usage("--capacity: more than nothing")
    drain = change.settings.get("SHUTDOWN_TIMEOUT_MS", "0")
    if not drain.isdigit():
        raise Usage(f"--set SHUTDOWN_TIMEOUT_MS={drain}: a number of milliseconds")


def next_name(state: State, taken: Sequence[str] = ()) -> str:
    """A name for another instance, unlike all that are there or ``taken``."""
    highest, stem = -1, f"{state.service}-"
    for name in (*state.instances, *taken):
        if found := _NUMBERED.fullmatch(name):
            stem, highest = found[1], max(highest, int(found[2]))
    return f"{stem}{highest + 1}"


def new_names(state: State) -> tuple[str, ...]:
    """Names for as many instances as there are."""
    names: list[str] = []
    for _ in state.instances:
        names.append(next_name(state, names))
    return tuple(names)


def version_of(service: Service) -> str:
    """What a meshd says that it is; empty: nothing in particular."""
    return service.env.get(VERSION, "")


def runtime_of(service: Service) -> plan.RuntimeCommand:
    """How a model server is started; Failed for a command that `up` did not make."""
    try:
        return plan.parse_runtime_command(service.command)
    except ValueError as error:
        raise Failed(f"{service.name}: {error}") from None


def differences(change: Change, state: State) -> list[tuple[str, str, str]]:
    """What will be another: what it is, as it was, as it will be."""
    meshd = next(state.of_role(MESHD))
    runtime = runtime_of(next(state.of_role(RUNTIME)))
    wanted = changed_runtime(runtime, change)
    rows = [("version", version_of(meshd), change.version or version_of(meshd))]
    rows += [(name, meshd.env.get(name, ""), value) for name, value in change.settings.items()]
    rows += [
        ("runtime", runtime.runtime, wanted.runtime),
        ("capacity", runtime.capacity, wanted.capacity),
        ("runtime arguments", " ".join(runtime.args), " ".join(wanted.args)),
        ("python", meshd.command[0], change.python or meshd.command[0]),
    ]
    return [row for row in rows if row[1] != row[2]]


def changed_runtime(runtime: plan.RuntimeCommand, change: Change) -> plan.RuntimeCommand:
    """How the model servers of the new version are started."""
    is_other = bool(change.runtime) and change.runtime != runtime.runtime
    kept = () if is_other else runtime.args  # the arguments of one are not those of another
    return replace(
        runtime,
        runtime=change.runtime or runtime.runtime,
        capacity=change.capacity or runtime.capacity,
        args=kept if change.runtime_args is None else change.runtime_args,
    )


def new_services(
    change: Change, model: Sequence[Service], instance: str, port: Mapping[str, int], models: str
) -> tuple[Service, Service]:
    """The model server and the meshd of a new ``instance`` made after those of ``model``; ``port`` has one for each of
    PORTS. ``models`` is where a model server looks for files whose former one had no use for any."""
    runtime, meshd = (next(service for service in model if service.role == role) for role in (RUNTIME, MESHD))
    wanted = changed_runtime(runtime_of(runtime), change)
    wanted = replace(wanted, model_root=wanted.model_root or models)
    command = (
        runtime.command[0], *plan.runtime_command(wanted, instance, port["runtime"], port["prestop"])[1:]
    )  # fmt: skip
    own = {kind: port[kind] for kind in PORTS[:-1]}
    wiring = plan.wiring(instance, own, meshd.env["KV_STORE"], port["runtime"])
    label = {VERSION: change.version} if change.version else {}
    env = {**meshd.env, **change.settings, **label, **wiring}
    program = (change.python or meshd.command[0], *meshd.command[1:])
    return (
        Service(f"{instance}-runtime", RUNTIME, instance, command, {}, {"spi": port["runtime"]}),
        Service(instance, MESHD, instance, program, env, own),
    )
