"""What settings say together: which cannot be both, which will not do what they ask for, which are none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from meshd.settings.kinds import nearest
from meshd.settings.table import NAMES, SETTINGS, WITHOUT_EFFECT, WITHOUT_EFFECT_PREFIX

LISTENERS = ("external_port", "mesh_port", "probe_port", "prestop_port")
ONE_OF = (
    ("runtime_port", "runtime_socket"),
    ("serving_port", "serving_socket"),
    ("data_plane_config", "data_plane_config_path"),
    ("type_constraints", "type_constraints_path"),
)
UNSET = (None, "")
OURS = ("MM_", "TAS_")
"""What variables of a mesh begin with, and nobody else's."""
NOT_ONLY_OURS = "INTERNAL_"
"""What others' variables may begin with too: only what is all but a setting counts as one misspelt."""
NEAR, ALL_BUT = 0.6, 0.8
"""How alike two names are, of 1, to be taken for each other."""

_NAME_OF = {setting.field: setting.name for setting in SETTINGS}


def conflicts(values: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """What cannot be together; a setting that is wrong by itself is not among ``values``. ``given``: all that is set,
    by name."""
    problems = [
        f"{_NAME_OF[one]} and {_NAME_OF[other]} are both set; set one"
        for one, other in ONE_OF
        if values.get(one) not in UNSET and values.get(other) not in UNSET
    ]
    least, most = values.get("second_copy_min_s", 0), values.get("second_copy_max_s", 10**9)
    if least >= most:
        problems.append(
            f"MM_MIN_SECOND_COPY_AGE_SECS={least} is not below MM_MAX_SECOND_COPY_AGE_SECS={most}; it has to be"
        )
    return [*problems, *_of_tls(values), *_of_zookeeper(given), *_of_ports(values)]


def faults(values: Mapping[str, Any]) -> tuple[str, ...]:
    """What was asked for and will not be there, though it is no reason not to start."""
    problem = values["metrics"].problem
    return (f"{problem}; there are no metrics",) if problem else ()


def ineffective(values: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each setting that somebody set and that does not do what they may expect of it."""
    warnings = [
        f"{setting.name} is accepted and not acted on yet"
        for setting in SETTINGS
        if not setting.is_acted_on and origins[setting.name] not in ("default", "derived")
    ]
    if values["tls_client_auth"] == "optional":  # what gRPC cannot do: ask and take a client that shows none
        warnings.append("MM_TLS_CLIENT_AUTH=optional: clients are not asked for a certificate; require asks them all")
    return tuple(warnings)


def stray(names: Collection[str]) -> tuple[str, ...]:
    """A sentence for each of ``names`` that looks like a setting and is none."""
    warnings = []
    for name in sorted(names):
        if is_known(name) and name not in NAMES:
            warnings.append(f"{name} is a setting of ModelMesh that has no effect here")
        elif name not in NAMES and (name.startswith(OURS) or (name.startswith(NOT_ONLY_OURS) and hint(name, ALL_BUT))):
            warnings.append(f"{name} is not a setting{hint(name)}")
    return tuple(warnings)


def is_known(name: str) -> bool:
    """Whether this is a setting, be it one that has no effect."""
    return name in NAMES or name in WITHOUT_EFFECT or name.startswith(WITHOUT_EFFECT_PREFIX)


def hint(name: str, least: float = NEAR) -> str:
    """The known setting nearest to ``name``, as the end of a sentence; empty where none is near."""
    return nearest(name.upper(), NAMES, least)


def _of_tls(values: Mapping[str, Any]) -> list[str]:
    """A key, or what makes no sense without one, by itself."""
    key, certificate = values.get("tls_key_path"), values.get("tls_certificate_path")
    if key and certificate == "":
        return ["MM_TLS_PRIVATE_KEY_PATH is set and MM_TLS_KEY_CERT_PATH is not; a key needs its certificate"]
    if key != "":
        return []
    given = ["MM_TLS_KEY_CERT_PATH"] if certificate else []
    if values.get("tls_client_auth", "none") != "none":
        given.append("MM_TLS_CLIENT_AUTH")
    return [f"{name} is set and MM_TLS_PRIVATE_KEY_PATH is not; there is no TLS without a key" for name in given]


def _of_zookeeper(given: Mapping[str, str]) -> list[str]:
    """ZOOKEEPER is what counts for ModelMesh where KV_STORE is not set."""
    if given.get("ZOOKEEPER") and not given.get("KV_STORE"):
        return ["ZOOKEEPER names a store that is not supported; set KV_STORE, as in etcd:localhost:2379"]
    return []


def _of_ports(values: Mapping[str, Any]) -> list[str]:
    metrics = values.get("metrics")
    ports = [("MM_METRICS", metrics.port)] if metrics and metrics.is_on else []
    ports += [(_NAME_OF[field], values.get(field) or 0) for field in LISTENERS]
    problems = []
    taken: dict[int, str] = {}
    for name, port in ports:
        if port and taken.setdefault(port, name) != name:
            problems.append(f"{taken[port]} and {name} are both {port}; every port needs its own number")
    return problems
