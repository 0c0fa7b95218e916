"""What a mesh on this machine consists of: each process with its command, environment and ports."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmctl.errors import Usage
from mmctl.local import etcd, ports
from mmctl.local.home import Home
from mmctl.local.state import ETCD, MESHD, RUNTIME, Service, State
from mmctl.places import absolute
from mmctl.sizes import parse_size

SERVICE = "mesh"
SHUTDOWN_MS = 30_000
RUNTIMES = ("onnx", "fake")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_VARIABLES = ("MM_", "TAS_", "INTERNAL_", "WKUBE_", "ETCD_", "KV_", "LL_", "LITELINKS_", "WATSON_", "SERVICE_")
"""What configures one of the processes comes from the plan alone, not from the shell that mmctl runs in."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for."""

    instances: int = 3
    runtime: str = "onnx"
    runtime_args: tuple[str, ...] = ()
    capacity: str = "512MiB"
    model_dir: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    base_port: int | None = None


@dataclass(frozen=True, slots=True)
class RuntimeCommand:
    """What the command of a model server says, the same for all instances."""

    runtime: str
    capacity: str
    model_root: str
    args: tuple[str, ...] = ()


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` as given with --set; Usage for anything else, and for what the plan itself sets."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Usage(f"--set {pair!r}: write NAME=VALUE, as MM_MIN_CHURN_AGE_MS=0")
        if name in wiring("", {}, "", 0):
            raise Usage(f"--set {name}: `up` chooses this itself, the processes find each other by it")
        settings[name] = value
    return settings


def check(wish: Wish) -> None:
    """Usage for a wish that cannot be."""
    if not 1 <= wish.instances <= 100:
        raise Usage(f"--instances {wish.instances}: 1 to 100")
    if wish.runtime not in RUNTIMES:
        raise Usage(f"--runtime {wish.runtime!r}: one of {', '.join(RUNTIMES)}")
    if parse_size(wish.capacity) <= 0:
        raise Usage("--capacity: more than nothing")
    if wish.model_dir is not None and not wish.model_dir.is_dir():
        raise Usage(f"--model-dir {wish.model_dir}: no such directory")
    drain = wish.settings.get("SHUTDOWN_TIMEOUT_MS", "0")
    if not drain.isdigit():
        raise Usage(f"--set SHUTDOWN_TIMEOUT_MS={drain}: a number of milliseconds")


def make(wish: Wish, home: Home, binary: etcd.Binary, before: State | None, version: str) -> State:
    """The mesh that ``wish`` describes, nothing of it started; ports are those of ``before`` where still free."""
    instances = [f"{SERVICE}-{number}" for number in range(wish.instances)]
    names = ["etcd client", "etcd peer"]
    names += [
        f"{instance} {kind}" for instance in instances for kind in ("grpc", "mesh", "probe", "metrics", "runtime")
    ]
    names += [f"{instance} prestop" for instance in instances]
    port = ports.assign(names, _ports_of(before), wish.base_port)
    kv_store = f"etcd:http://{ports.HOST}:{port['etcd client']}"
    etcd_ports = {"client": port["etcd client"], "peer": port["etcd peer"]}
    services = [
        Service(
            ETCD,
            ETCD,
            "",
            etcd.arguments(binary.path, home.etcd, etcd_ports["client"], etcd_ports["peer"]),
            {},
            etcd_ports,
        )
    ]
    for instance in instances:
        spi = port[f"{instance} runtime"]
        wanted = RuntimeCommand(wish.runtime, wish.capacity, _model_root(wish, home), wish.runtime_args)
        command = runtime_command(wanted, instance, spi, port[f"{instance} prestop"])
        services.append(Service(f"{instance}-runtime", RUNTIME, instance, command, {}, {"spi": spi}))
    for instance in instances:
        own = {kind: port[f"{instance} {kind}"] for kind in ("grpc", "mesh", "probe", "metrics", "prestop")}
        settings = {"SHUTDOWN_TIMEOUT_MS": str(SHUTDOWN_MS), **wish.settings}
        env = settings | wiring(instance, own, kv_store, port[f"{instance} runtime"])
        services.append(Service(instance, MESHD, instance, (sys.executable, "-m", "meshd"), env, own))
    drain_s = int(wish.settings.get("SHUTDOWN_TIMEOUT_MS", SHUTDOWN_MS)) / 1000
    return State(version, SERVICE, kv_store, drain_s, tuple(services), etcd=binary.version)


def wiring(instance: str, own: Mapping[str, int], kv_store: str, spi: int) -> dict[str, str]:
    """What tells a meshd where everybody is: ``own`` are its ports by kind, ``spi`` is that of its model server."""
    return {
        "MM_SERVICE_NAME": SERVICE,
        "KV_STORE": kv_store,
        "MM_INSTANCE_ID": instance,
        "MM_SVC_GRPC_PORT": str(own.get("grpc", 0)),
        "MM_MESH_PORT": str(own.get("mesh", 0)),
        "MM_PROBE_PORT": str(own.get("probe", 0)),
        "MM_PRESTOP_WAIT_PORT": str(own.get("prestop", 0)),
        "MM_METRICS": f"prometheus:port={own.get('metrics', 0)};scheme=http",
        "MM_BIND": ports.HOST,
        "WATSON_SERVICE_ADDRESS": ports.HOST,
        "INTERNAL_GRPC_PORT": str(spi),
    }


def runtime_command(wanted: RuntimeCommand, instance: str, port: int, prestop: int) -> tuple[str, ...]:
    """How the model server of ``instance`` is started on ``port``; ``prestop`` is a port of its meshd."""
    command = [sys.executable, "-m", f"runtimes.{wanted.runtime}", "--port", str(port), "--capacity", wanted.capacity]
    command += ["--prestop", f"http://{ports.HOST}:{prestop}/prestop"]
    if wanted.runtime == "fake":
        command += ["--instance", instance]
    if wanted.runtime == "onnx":
        command += ["--model-root", wanted.model_root]
    return (*command, *wanted.args)


def parse_runtime_command(command: Sequence[str]) -> RuntimeCommand:
    """What ``runtime_command`` was given; ValueError for a command that is not of it."""
    match command:
        case [_, "-m", module, "--port", _, "--capacity", capacity, "--prestop", _, flag, value, *args] if module in {
            f"runtimes.{name}" for name in RUNTIMES
        } and flag in ("--instance", "--model-root"):
            root = value if flag == "--model-root" else ""
            return RuntimeCommand(module.removeprefix("runtimes."), capacity, root, tuple(args))
    raise ValueError(f"not a model server as `up` starts it: {' '.join(command)}")


def _model_root(wish: Wish, home: Home) -> str:
    return str(absolute(wish.model_dir or home.models))


def _ports_of(before: State | None) -> dict[str, int]:
    if before is None:
        return {}
    known = {}
    for service in before.services:
        for kind, port in service.ports.items():
            known[f"{service.instance or ETCD} {'runtime' if service.role == RUNTIME else kind}"] = port
    return known


def environment(service: Service) -> dict[str, str]:
    """What ``service`` runs with: this shell's environment without what would configure it, and its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    direct = ",".join(filter(None, (inherited.get("no_proxy"), inherited.get("NO_PROXY"), "localhost,127.0.0.1")))
    return {**inherited, "no_proxy": direct, "PYTHONUNBUFFERED": "1", **service.env}
