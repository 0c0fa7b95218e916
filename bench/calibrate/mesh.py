"""A live mesh as a scenario describes it, by way of `mmctl`: up, a file of registrations, down."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.plane import cpu_s
from meshcore.settings import Settings
from meshd.config import Host, read
from meshd.settings.table import SETTINGS
from mmctl.local.plan import SERVICE
from sim.scenario import Scenario
from sim.world import build

OTHER_NAMES = {"failfast_ms": "bootstrap_ms"}
"""Settings of the rules that `meshd` knows by another name."""


PLAYED: Mapping[str, Any] = {
    **dict.fromkeys(
        ("seed", "start", "duration_s", "warmup_s", "models", "network", "store", "traffic", "eviction", "settings")
    ),
    "instances": dict.fromkeys(
        ("count", "capacity", "default_model_size", "loading_concurrency", "loading_timeout_ms")
    ),
    "runtime": {
        "load": dict.fromkeys(("base_ms", "bandwidth")),
        "service": dict.fromkeys(("mean_ms", "cv")),
        **dict.fromkeys(("concurrency", "model_concurrency", "unload_ms", "size_ms")),
    },
}
"""The parts of a scenario that a live mesh can have too, or that are measured; anything else makes it another one."""


class CannotPlay(Exception):
    """The scenario has something that no mesh on this machine can be given; says what."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One meshd and the runtime beside it: where they are, ``host:port`` and URL."""

    name: str
    grpc: str
    runtime: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh that is up."""

    instances: list[Instance]
    kv_store: str
    pids: list[int]
    """Of all its processes."""
    started_s: float
    """When the last instance began, by the clock of this machine."""

    def cpu_s(self) -> float:
        """CPU time of all its processes so far."""
        return sum(cpu_s(pid) for pid in self.pids)


def environment(scenario: Scenario) -> dict[str, str]:
    """What `meshd` is started with so that it goes by the numbers of the scenario. Raises CannotPlay.

    It is read back as `meshd` reads it, so that both sides go by the same numbers or nothing is played.
    """
    wanted, defaults = scenario.core_settings(), Settings()
    by_field = {setting.field: setting.name for setting in SETTINGS}
    env = {}
    for knob in (each.name for each in fields(Settings)):
        value, name = getattr(wanted, knob), OTHER_NAMES.get(knob, knob)
        if value == getattr(defaults, knob):
            continue
        if name in by_field:
            env[by_field[name]] = str(value)
        elif (in_seconds := f"{name.removesuffix('_ms')}_s") in by_field and value % 1000 == 0:
            env[by_field[in_seconds]] = str(value // 1000)
        else:
            raise CannotPlay(f"settings.{knob}: meshd cannot be set to {value}")
    if scenario.eviction != "lru":
        env["MM_EVICTION_POLICY"] = scenario.eviction
    _check(env, wanted)
    return env


def _check(env: dict[str, str], wanted: Settings) -> None:
    given = read({"MM_SERVICE_NAME": "x", "KV_STORE": "memory:", **env}, Host("x", "127.0.0.1", "x")).settings()
    for knob in (each.name for each in fields(Settings)):
        if getattr(given, knob) != getattr(wanted, knob):
            raise CannotPlay(
                f"settings.{knob}: meshd would go by {getattr(given, knob)}, the simulator by {getattr(wanted, knob)}"
            )


def check(scenario: Scenario) -> list[str]:
    """How the live mesh differs from the scenario, in sentences. Raises CannotPlay where it would be another."""
    for name in _unplayed(scenario.model_dump(exclude_defaults=True), PLAYED):
        raise CannotPlay(f"{name}: is not played live")
    environment(scenario)
    differences = []
    if scenario.runtime.service.cv:
        differences.append(f"each request takes service.mean_ms, {scenario.runtime.service.mean_ms:g}, as if cv were 0")
    if scenario.runtime.model_concurrency is None:
        differences.append("the runtimes work on any number of requests at once")
    return differences


def _unplayed(tree: dict[str, Any], played: Mapping[str, Any]) -> Iterator[str]:
    for name, part in tree.items():
        if name not in played:
            yield name
        elif played[name] is not None:
            yield from (f"{name}.{inner}" for inner in _unplayed(part, played[name]))


def registrations(scenario: Scenario) -> list[dict[str, str]]:
    """A file for `mmctl register`: each model of the fake runtime as large and as slow as the simulated one."""
    ways, runtime, types = build(scenario).ways, scenario.runtime, scenario.model_types()
    first = scenario.instance_ids()[0]
    entries = []
    for number, model in enumerate(scenario.model_ids()):
        load_ms, _, _ = ways.load(first, model, 0, 0)
        said = {
            "size": ways.size_bytes(model),
            "load_ms": load_ms,
            "unload_ms": ways.unload_ms(first, model, 0),
            "infer_ms": runtime.service.mean_ms,
            "concurrency": runtime.model_concurrency or 0,
        }
        path = "fake:?" + "&".join(f"{name}={value}" for name, value in said.items())
        entries.append({"name": model, "type": types[number % len(types)], "path": path})
    return entries


@contextmanager
def up(scenario: Scenario, folder: Path) -> Iterator[Mesh]:
    """A mesh with the models registered, taken down in the end. Raises CannotPlay where mmctl could not do it."""
    fleet = scenario.instances
    arguments = [
        f"--default-size={fleet.default_model_size}", f"--loading-concurrency={fleet.loading_concurrency}",
        f"--load-timeout-ms={fleet.loading_timeout_ms}",
    ]  # fmt: skip
    if scenario.runtime.model_concurrency is not None:
        arguments.append("--limit-concurrency")
    settings = {**environment(scenario), "MM_LOG_LEVEL": "warning"}
    _down(folder)  # one that was left by who was killed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        plan = _mmctl(
            folder, "up", "--detach", "--instances", str(fleet.count), "--runtime", "fake",
            "--capacity", str(fleet.capacity), *(f"--runtime-arg={argument}" for argument in arguments),
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
        )  # fmt: skip
        file = folder / "registrations.json"
        file.write_text(json.dumps(registrations(scenario)), encoding="utf-8")
        _mmctl(folder, "register", "-f", str(file))
        yield _mesh(plan, _mmctl(folder, "instances"))
    finally:
        _down(folder)


def _down(folder: Path) -> None:
    if (folder / "data" / "state.json").exists():
        _mmctl(folder, "down")


def _mmctl(folder: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "mmctl", *arguments, "--data-dir", str(folder / "data"), "-o", "json"]
    # In a session of its own, so that Ctrl-C does not end it half way.
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True
    )
    if ended.returncode:
        raise CannotPlay(f"`mmctl {arguments[0]}` ended with exit code {ended.returncode}: {ended.stderr.strip()}")
    return json.loads(ended.stdout)


def _mesh(plan: Any, records: Any) -> Mesh:
    processes = plan["processes"]
    runtimes = {each["instance"]: each["ports"]["spi"] for each in processes if each["role"] == "runtime"}
    instances = [
        Instance(
            each["instance"],
            f"127.0.0.1:{each['ports']['grpc']}",
            f"127.0.0.1:{runtimes[each['instance']]}",
            f"http://127.0.0.1:{each['ports']['metrics']}/metrics",
        )
        for each in processes
        if each["role"] == "meshd"
    ]
    instances.sort(key=lambda instance: int(instance.name.removeprefix(f"{SERVICE}-")))
    return Mesh(instances, plan["kv_store"], [each["pid"] for each in processes], _started_s(records))


def _started_s(records: Any) -> float:
    return float(max(record["start_ms"] for record in records)) / 1000
