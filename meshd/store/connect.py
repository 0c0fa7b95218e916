"""Reads ``KV_STORE`` and opens the store that it names (docs/design.md, store)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from os.path import isfile
from pathlib import Path
from random import Random
from typing import Final

from meshd.store.base import Store
from meshd.store.etcd import EtcdStore
from meshd.store.etcd_channel import Endpoint, EtcdConfig, Tls
from meshd.store.memory import MemoryHub, MemoryStore

FORMS: Final = "etcd:<path of a JSON file>, etcd:<host:port,…>[;rootPrefix=<text>] or memory:"

ATTRIBUTES: Final = (
    "endpoints",
    "userid",
    "password",
    "root_prefix",
    "tls_mode",
    "certificate",
    "certificate_file",
    "client_key",
    "client_key_file",
    "client_certificate",
    "client_certificate_file",
    "override_authority",
)

TLS_MODES: Final = ("AUTO", "TLS", "PLAINTEXT")

DEFAULT_PORT: Final = "2379"


class StoreConfigError(ValueError):
    """``KV_STORE``, or the file it names, says something that cannot be; no secret is in the text."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The store to open: ``etcd`` None is the memory of this process.

    ``root_prefix`` comes before every key, as it is; ``warnings`` are sentences about what was ignored.
    """

    etcd: EtcdConfig | None
    root_prefix: str = ""
    warnings: tuple[str, ...] = ()


def parse_kv_store(value: str) -> StoreConfig:
    """The store that a value of ``KV_STORE`` names. Reads the JSON file and the PEM files that it names.

    Raises:
        StoreConfigError: what is wrong, where, and what is allowed.
    """
    kind, _, rest = value.strip().partition(":")
    match kind.lower():
        case "etcd" if rest:
            return _of_file(Path(rest)) if _is_path(rest) else _of_text(rest)
        case "memory" if not rest:
            return StoreConfig(None)
        case "zookeeper":
            raise StoreConfigError("KV_STORE: ZooKeeper is not supported: use etcd, as in etcd:localhost:2379")
    raise StoreConfigError(f"KV_STORE is {value!r}: it can be {FORMS}")


def open_store(config: StoreConfig, rng: Random, hub: MemoryHub | None = None) -> Store:
    """The configured store, not yet connected (see ``Store.check``); call it in the event loop that will use it.

    ``hub`` is what several memory stores of one process share; without it the store is alone.
    """
    if config.etcd is None:
        return MemoryStore(hub or MemoryHub(), rng)
    return EtcdStore(config.etcd, config.root_prefix, rng)


def _is_path(rest: str) -> bool:
    return rest.startswith(("/", ".")) or rest.endswith(".json") or isfile(rest)


def _of_text(rest: str) -> StoreConfig:
    endpoints, *options = rest.split(";")
    root_prefix = ""
    for option in options:
        name, _, text = option.partition("=")
        if name.strip() != "rootPrefix":
            raise StoreConfigError(
                f"KV_STORE: unknown option {name.strip()!r} after the endpoints: only rootPrefix is known"
            )
        root_prefix = text
    return StoreConfig(EtcdConfig(_endpoints("KV_STORE", endpoints, tls=None)), root_prefix)


def _of_file(path: Path) -> StoreConfig:
    where = f"KV_STORE, etcd configuration {path}"
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StoreConfigError(f"{where}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StoreConfigError(f"{where}: a JSON object is expected, with {', '.join(ATTRIBUTES)}")
    return _Attributes(where, path.parent, found).config()


class _Attributes:
    def __init__(self, where: str, directory: Path, found: dict[str, object]) -> None:
        self._where, self._directory, self._found = where, directory, found

    def config(self) -> StoreConfig:
        mode = (self._text("tls_mode") or "AUTO").upper()
        if mode not in TLS_MODES:
            raise self._error("tls_mode", f"is {mode!r}: it can be {', '.join(TLS_MODES)}")
        trust = self._pem("certificate")
        tls = Tls(trust, self._pem("client_key"), self._pem("client_certificate"), self._text("override_authority"))
        if (tls.key is None) != (tls.certificate is None):
            missing = "client_key" if tls.key is None else "client_certificate"
            raise self._error(missing, "is missing: client_key and client_certificate go together")
        user, password = self._text("userid"), self._text("password")
        if bool(user) != bool(password):
            raise self._error("password" if user else "userid", "is missing: userid and password go together")
        is_tls = {"TLS": True, "PLAINTEXT": False}.get(mode)
        endpoints = _endpoints(self._where, self._text("endpoints"), is_tls, is_tls_likely=trust is not None)
        return StoreConfig(EtcdConfig(endpoints, user, password, tls), self._text("root_prefix"), self._warnings())

    def _text(self, name: str) -> str:
        value = self._found.get(name)
        if value is not None and not isinstance(value, str):
            raise self._error(name, f"is {type(value).__name__}: a text is expected")
        return value or ""

    def _pem(self, name: str) -> bytes | None:
        """A PEM text, from its file if one is named."""
        file = self._text(f"{name}_file")
        if file:
            try:
                text = (self._directory / file).read_bytes()
            except OSError as error:
                raise self._error(f"{name}_file", f"{file!r} cannot be read: {error.strerror}") from error
            name = f"{name}_file"
        else:
            text = self._text(name).encode()
        if text and b"-----BEGIN " not in text:
            raise self._error(name, "is not PEM: it has no line -----BEGIN …-----")
        return text or None

    def _warnings(self) -> tuple[str, ...]:
        unknown = [name for name in self._found if name not in ATTRIBUTES]
        return tuple(f"{self._where}: {name} is ignored{_hint(name)}" for name in unknown)

    def _error(self, name: str, text: str) -> StoreConfigError:
        return StoreConfigError(f"{self._where}: {name} {text}")


def _hint(name: str) -> str:
    if name == "compose_deployment":
        return ": that service is no more; give its trust as certificate"
    near = get_close_matches(name, ATTRIBUTES, n=1)
    return f": did you mean {near[0]}?" if near else ""


def _endpoints(where: str, text: str, tls: bool | None, is_tls_likely: bool = False) -> tuple[Endpoint, ...]:
    """``tls`` None: by the scheme, and without one ``is_tls_likely``."""
    if "@" in text:  # nothing of the text may be told
        raise StoreConfigError(
            f"{where}: endpoints has a user and a password before @: userid and password of the JSON file are for that"
        )
    endpoints = []
    for part in filter(None, map(str.strip, text.split(","))):
        scheme, has_scheme, address = part.rpartition("://")
        address = address.rstrip("/")
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, DEFAULT_PORT
        is_bare_v6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
        is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
        if scheme.lower() not in ("", "http", "https") or not host or is_bare_v6 or not is_port or "/" in host:
            raise StoreConfigError(f"{where}: endpoints has {part!r}: [http:// or https://]host[:port] is expected")
        by_scheme = scheme.lower() == "https" if has_scheme else is_tls_likely
        endpoints.append(Endpoint(f"{host}:{port}", by_scheme if tls is None else tls))
    if not endpoints:
        raise StoreConfigError(f"{where}: endpoints is empty: host:port of at least one etcd is needed")
    return tuple(endpoints)
