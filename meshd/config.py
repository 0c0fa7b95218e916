"""The settings of the process as one checked value; nothing else in meshd reads the environment."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshcore.constraints import TypeConstraint
from meshcore.settings import Settings
from meshd.build import FILE as BUILD_FILE
from meshd.build import installed_build, version_number
from meshd.config_checks import conflicts, faults, ineffective, stray
from meshd.config_file import NO_FILE, FileSettings, read_file
from meshd.settings.forms import DataPlaneConfig, RetryBuffer, StaticModel
from meshd.settings.kinds import Unfit
from meshd.settings.metrics import InfoMetric, MetricsConfig
from meshd.settings.setting import Setting
from meshd.settings.table import SETTINGS

POD_ID_CHARACTERS = 12
MOST_SHOWN = 200
TERMINATION_LOG = "/dev/termination-log"
RUNTIME_SOCKET = "unix:/tmp/mmesh/grpc.sock"
RUNTIME_ADDRESS = "localhost:8085"
INSTALLED = "MM_INSTALL_PATH"
FILE, DEFAULT, DERIVED = "file", "default", "derived"


class ConfigError(Exception):
    """Settings that cannot be: ``problems`` has a sentence for each, ``termination_path`` where they are to be left."""

    def __init__(self, problems: list[str], termination_path: str = "") -> None:
        super().__init__("\n".join(problems))
        self.problems, self.termination_path = problems, termination_path


@dataclass(frozen=True, slots=True)
class Host:
    """What the machine says of itself, for the defaults: its name, its address and a few random characters.

    ``build`` is what is installed on it; empty: nothing says.
    """

    name: str
    address: str
    nonce: str
    build: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting for ``--print-config``; what is secret in ``value`` is masked."""

    name: str
    value: str
    origin: str
    unit: str
    meaning: str
    is_acted_on: bool


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of this process; docs/configuration.md says what each means."""

    service_name: str
    instance_id: str
    external_port: int
    mesh_port: int
    probe_port: int | None
    prestop_port: int | None
    bind: str
    """Empty: all addresses."""
    pod_name: str
    pod_address: str
    address: str
    location: str
    zone: str
    labels: tuple[str, ...]
    service_version: str
    install_path: str
    bootstrap_ms: int
    fails_fast: bool
    shutdown_timeout_ms: int
    termination_path: str
    """Empty: none."""
    anchor_path: str
    """Empty: none."""

    kv_store: str
    kv_prefix: str
    lease_ttl_s: int
    is_read_only: bool
    discovery_store: str
    default_vmodel_owner: str

    tls_key_path: str
    """Empty: no TLS."""
    tls_certificate_path: str
    tls_key_passphrase: str
    tls_client_auth: str
    tls_trust_paths: tuple[str, ...]
    is_mesh_tls_enabled: bool
    has_mesh_client_auth: bool
    internal_trust_paths: tuple[str, ...]

    max_message_bytes: int
    max_headers_bytes: int
    max_connection_age_s: int | None
    """None: for ever."""
    max_connection_grace_s: int | None
    """None: for ever."""
    runtime_port: int | None
    runtime_socket: str
    serving_port: int | None
    serving_socket: str
    max_inflight_per_copy: int
    multi_parallelism: int
    data_plane_config: DataPlaneConfig | None
    data_plane_config_path: str
    data_plane: str
    retry_buffer: RetryBuffer

    static_models: tuple[StaticModel, ...]
    static_models_path: str
    type_constraints: Mapping[str, TypeConstraint] | None
    type_constraints_path: str
    min_churn_age_ms: int
    failure_expiry_ms: int
    eviction_policy: str
    load_threads: int
    scale_up_rpm: int
    scale_up_percent: int
    second_copy_min_s: int
    second_copy_max_s: int
    rate_period_ms: int
    janitor_period_s: int
    scale_down_settled_ms: int
    scale_down_heavy_ms: int
    scale_down_heavy_base_ms: int
    scale_down_heavy_max_ms: int
    scale_down_unused_ms: int
    second_copy_lru_ms: int
    missing_grace_ms: int
    fill_period_ms: int
    fill_gap_ms: int

    metrics: MetricsConfig
    info_metric: InfoMetric | None
    logs_scrapes: bool
    logs_each_request: bool
    log_headers: tuple[tuple[str, str], ...]
    """Pairs of a header and the key that its value is logged under."""
    log_level: str
    log_format: str
    journal_path: str
    """Empty: none."""
    trace_path: str
    """Empty: none."""
    trace_sample: float
    trace_max_bytes: int
    payload_processors: tuple[str, ...]
    payload_threads: int
    payload_capacity: int

    origins: Mapping[str, str]
    """Where each setting's value comes from, by its name: a variable, ``file``, ``build-version``, ``default`` or
    ``derived``."""
    texts: Mapping[str, str]
    """Each setting's value as a user would write it, by its name."""
    warnings: tuple[str, ...]
    """What is odd but no reason not to start."""
    faults: tuple[str, ...]
    """What was asked for and will not be there."""

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
            rate_period_ms=self.rate_period_ms,
            scale_up_rpm=self.scale_up_rpm,
            scale_up_percent=self.scale_up_percent,
            second_copy_min_ms=self.second_copy_min_s * 1000,
            second_copy_max_ms=self.second_copy_max_s * 1000,
            second_copy_lru_ms=self.second_copy_lru_ms,
            janitor_period_ms=self.janitor_period_s * 1000,
            scale_down_settled_ms=self.scale_down_settled_ms,
            scale_down_heavy_ms=self.scale_down_heavy_ms,
            scale_down_heavy_base_ms=self.scale_down_heavy_base_ms,
            scale_down_heavy_max_ms=self.scale_down_heavy_max_ms,
            scale_down_unused_ms=self.scale_down_unused_ms,
            failfast_ms=self.bootstrap_ms if self.fails_fast else 0,
            lease_ttl_ms=self.lease_ttl_s * 1000,
            missing_grace_ms=self.missing_grace_ms,
            fill_period_ms=self.fill_period_ms,
            fill_gap_ms=self.fill_gap_ms,
        )


def load(path: str = "") -> Config:
    """The configuration of this process, from its environment and from a file if one is named. Raises ConfigError."""
    try:
        file = read_file(path) if path else NO_FILE
    except Unfit as error:
        raise ConfigError([str(error)], _termination_path(os.environ)) from error
    build = installed_build(os.environ.get(INSTALLED, "").strip() or file.texts.get(INSTALLED, ""))
    return read(os.environ, Host(socket.gethostname(), _own_address(), secrets.token_hex(2), build), file)


def read(env: Mapping[str, str], host: Host, file: FileSettings = NO_FILE) -> Config:
    """``env`` as configuration, and where it says nothing what ``file`` says; what is blank counts as unset.

    Raises ConfigError with all that is wrong.
    """
    given = {name: text.strip() for name, text in (*file.texts.items(), *env.items()) if text.strip()}
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    problems = [*file.problems]
    for setting in SETTINGS:
        origin, name = _origin(setting, env, file)
        text = given.get(name, setting.default)
        if text is None:
            problems.append(f"{setting.name} is not set, and there is no default; allowed: {setting.kind.allowed}")
            continue
        texts[setting.name], origins[setting.name] = text, origin
        where = f"{file.path}: {name}" if origin == FILE else name
        try:
            values[setting.field] = _parsed(setting, text, {**file.texts, **env})
        except Unfit as error:
            problems.append(f"{where}: {error}; allowed: {setting.kind.allowed}")
        except ValueError:
            problems.append(f"{where}={_shown(setting, text)} is not allowed; allowed: {setting.kind.allowed}")
    problems += conflicts(values, given)
    if problems:
        raise ConfigError(problems, _termination_path(given))
    values["metrics"] = values["metrics"].beside(values["info_metric"])
    for setting in SETTINGS:
        derived = _derived(setting.field, values, host)
        if origins[setting.name] == DEFAULT and derived:
            values[setting.field] = texts[setting.name] = derived
            origins[setting.name] = DERIVED
    if host.build:  # an image knows better than its manifest what it is
        values["service_version"] = texts["SERVICE_VERSION"] = host.build
        origins["SERVICE_VERSION"] = BUILD_FILE
    warnings = (*stray({*env, *file.texts}), *ineffective(values, origins))
    return Config(
        **values, origins=MappingProxyType(origins), texts=MappingProxyType(texts), warnings=warnings,
        faults=faults(values),
    )  # fmt: skip


def describe(config: Config) -> tuple[Row, ...]:
    """All settings as they are in force, for people."""
    return tuple(
        Row(setting.name, setting.masked(config.texts[setting.name]), config.origins[setting.name], setting.unit,
            setting.meaning, setting.is_acted_on)
        for setting in SETTINGS
    )  # fmt: skip


def _own_address() -> str:
    """The address that this host would speak to others from; a name may well lead to loopback only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # picks a route and sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _origin(setting: Setting, env: Mapping[str, str], file: FileSettings) -> tuple[str, str]:
    """Where a setting's value comes from, and under which of its names it stands there."""
    for name in setting.names:
        if env.get(name, "").strip():
            return name, name
    for name in setting.names:
        if file.texts.get(name, "").strip():
            return FILE, name
    return DEFAULT, setting.name


def _parsed(setting: Setting, text: str, env: Mapping[str, str]) -> object:
    """The value of a setting. Raises ValueError."""
    if not text:
        return setting.unset
    value = setting.kind.parse(text)
    return value.resolved(env) if isinstance(value, InfoMetric) else value


def _shown(setting: Setting, text: str) -> str:
    """A wrong value as it may stand in a line: without secrets, on one line, and not all of it where it is long."""
    shown = setting.masked(text).replace("\n", "\\n")
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


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


def _termination_path(given: Mapping[str, str]) -> str:
    """Where the reason of a failed start goes when there is no configuration to say so."""
    return given.get("LL_TERMINATION_MSG_PATH", "").strip() or (TERMINATION_LOG if given.get("WKUBE_POD_NAME") else "")
