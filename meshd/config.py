"""The environment of the process as one checked value; nothing else in meshd reads it."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from meshcore.settings import Settings
from meshd.settings_kinds import MetricsConfig
from meshd.settings_table import REFUSED, SETTINGS, WITHOUT_EFFECT

POD_ID_CHARACTERS = 12
TERMINATION_LOG = "/dev/termination-log"
RUNTIME_SOCKET = "unix:/tmp/mmesh/grpc.sock"
RUNTIME_ADDRESS = "localhost:8085"
LISTENERS = ("external_port", "mesh_port", "probe_port", "prestop_port")


class ConfigError(Exception):
    """Settings that cannot be: ``problems`` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Host:
    """What the machine says of itself, for the defaults: its name, its address and a few random characters."""

    name: str
    address: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Row:
    """One setting for ``--print-config``; what is secret in ``value`` is masked."""

    name: str
    value: str
    origin: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of this process; docs/configuration.md says what each means."""

    service_name: str
    instance_id: str
    external_port: int
    max_message_bytes: int
    mesh_port: int
    probe_port: int | None
    prestop_port: int | None
    metrics: MetricsConfig
    bind: str
    """Empty: all addresses."""
    kv_store: str
    kv_prefix: str
    pod_name: str
    pod_address: str
    address: str
    location: str
    zone: str
    labels: tuple[str, ...]
    service_version: str
    shutdown_timeout_ms: int
    runtime_port: int | None
    runtime_socket: str
    serving_port: int | None
    serving_socket: str
    logs_each_request: bool
    min_churn_age_ms: int
    failure_expiry_ms: int
    max_inflight_per_copy: int
    data_plane: str
    log_level: str
    log_format: str
    termination_path: str
    """Empty: none."""
    origins: Mapping[str, str]
    """Where each setting's value comes from, by its name: a variable, ``default`` or ``derived``."""
    texts: Mapping[str, str]
    """Each setting's value as a user would write it, by its name."""
    warnings: tuple[str, ...]
    """What is odd but no reason not to start."""

    @property
    def version(self) -> int:
        """The number that instances of different builds are ordered by."""
        return version_number(self.service_version)

    @property
    def runtime_targets(self) -> tuple[str, ...]:
        """Where the runtime may be managed: the first of these gRPC targets that says it is ready."""
        given = _target(self.runtime_port, self.runtime_socket)
        return (given,) if given else (RUNTIME_SOCKET, RUNTIME_ADDRESS)

    @property
    def serving_target(self) -> str:
        """Where the runtime serves inference; empty: where it is managed."""
        return _target(self.serving_port, self.serving_socket)

    def settings(self) -> Settings:
        """What the environment says about the rules."""
        return Settings(
            min_churn_age_ms=self.min_churn_age_ms,
            failure_expiry_ms=self.failure_expiry_ms,
            max_inflight_per_copy=self.max_inflight_per_copy,
        )


def load() -> Config:
    """The configuration of this process. Raises ConfigError."""
    return read(os.environ, Host(socket.gethostname(), _own_address(), secrets.token_hex(2)))


def read(env: Mapping[str, str], host: Host) -> Config:
    """``env`` as configuration: a variable that is blank counts as unset. Raises ConfigError with all that is wrong."""
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    for setting in SETTINGS:
        origin = next((name for name in (setting.name, *setting.aliases) if env.get(name, "").strip()), "default")
        text = env[origin].strip() if origin != "default" else setting.default
        if text is None:
            problems.append(f"{setting.name} is not set, and there is no default; allowed: {setting.kind.allowed}")
            continue
        texts[setting.name], origins[setting.name] = text, origin
        try:
            values[setting.field] = setting.kind.parse(text) if text else setting.unset
        except ValueError:
            problems.append(f"{origin}={setting.masked(text)} is not allowed; allowed: {setting.kind.allowed}")
    problems += _conflicts(values)
    problems += [
        f"{name} asks for protection that is not offered; unset it and protect the mesh by other means"
        for name in REFUSED
        if env.get(name, "").strip().lower() not in ("", "none", "false")
    ]
    if problems:
        raise ConfigError(problems)
    for setting in SETTINGS:
        derived = _derived(setting.field, values, host)
        if origins[setting.name] == "default" and derived:
            values[setting.field] = texts[setting.name] = derived
            origins[setting.name] = "derived"
    warnings = [*_unknown(env), *_metrics_problem(values["metrics"])]
    return Config(**values, origins=MappingProxyType(origins), texts=MappingProxyType(texts), warnings=tuple(warnings))


def describe(config: Config) -> tuple[Row, ...]:
    """All settings as they are in force, for people."""
    return tuple(
        Row(setting.name, setting.masked(config.texts[setting.name]), config.origins[setting.name], setting.unit,
            setting.meaning)
        for setting in SETTINGS
    )  # fmt: skip


def version_number(text: str) -> int:
    """The number of a build, greater is newer; 0: unknown (docs/design.md, versions).

    ``<anything>-<yyyymmdd>-<n>`` and ``<yyyymmdd>-<hhmm>[-<n>]`` are the epoch milliseconds of that moment (UTC) plus
    ``n``. A prefix up to ``=`` and all from the first blank on are ignored.
    """
    build = (text.split() or [""])[0].rpartition("=")[2]
    named = re.fullmatch(r".+-(\d{8})-(\d+)", build, re.ASCII)
    dated = re.fullmatch(r"(\d{8})-(\d{4})(?:-(\d+))?", build, re.ASCII)
    try:
        if named:
            return _epoch_ms(named[1], "0000") + int(named[2])
        if dated:
            return _epoch_ms(dated[1], dated[2]) + int(dated[3] or 0)
    except ValueError:
        pass
    return 0


def _own_address() -> str:
    """The address that this host would speak to others from; a name may well lead to loopback only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # picks a route and sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _epoch_ms(day: str, minute: str) -> int:
    return int(datetime.strptime(day + minute, "%Y%m%d%H%M").replace(tzinfo=UTC).timestamp()) * 1000


def _target(port: int | None, path: str) -> str:
    if path:
        return f"unix:{path.removeprefix('unix:')}"
    return f"localhost:{port}" if port else ""


def _derived(field: str, values: Mapping[str, Any], host: Host) -> str:
    """The value of a setting that follows from others where it is not set itself; empty: none does."""
    match field:
        case "instance_id":
            # Upstream's manifests count on this form: its first 6 characters tell replica sets apart.
            if pod := values["pod_name"]:
                return str(pod)[-POD_ID_CHARACTERS:]
            return f"meshd-{re.sub(r'[^A-Za-z0-9.-]', '-', host.name)}-{host.nonce}"
        case "address":
            bound = values["bind"] if values["bind"] not in ("0.0.0.0", "::") else ""
            return str(values["pod_address"] or bound or host.address)
        case "termination_path":
            return TERMINATION_LOG if values["pod_name"] else ""
        case _:
            return ""


def _conflicts(values: Mapping[str, Any]) -> list[str]:
    """What cannot be together; a setting that is wrong by itself is not among ``values``."""
    problems = [
        f"{prefix}_PORT and {prefix}_SOCKET_PATH are both set; set one"
        for prefix, field in (("INTERNAL_GRPC", "runtime"), ("INTERNAL_SERVING_GRPC", "serving"))
        if values.get(f"{field}_port") and values.get(f"{field}_socket")
    ]
    metrics = values.get("metrics")
    ports = [("MM_METRICS", metrics.port)] if metrics and metrics.is_on else []
    ports += [(setting.name, values.get(setting.field) or 0) for setting in SETTINGS if setting.field in LISTENERS]
    taken: dict[int, str] = {}
    for name, port in ports:
        if port and taken.setdefault(port, name) != name:
            problems.append(f"{taken[port]} and {name} are both {port}; every port needs its own number")
    return problems


def _metrics_problem(metrics: MetricsConfig) -> list[str]:
    return [f"MM_METRICS: {metrics.problem}; there are no metrics"] if metrics.problem else []


def _unknown(env: Mapping[str, str]) -> list[str]:
    known = {name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
    warnings = []
    for name in sorted(env):
        if name in WITHOUT_EFFECT:
            warnings.append(f"{name} is a setting of ModelMesh that has no effect here")
        elif name.startswith("MM_") and name not in known and name not in REFUSED:
            nearest = get_close_matches(name, sorted(known), 1)
            warnings.append(f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    return warnings
