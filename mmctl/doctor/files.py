"""The certificate files that an instance's environment names, as far as they are on this host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmctl.doctor.certificates import Identity, now_utc, of_authorities, of_identity
from mmctl.doctor.finding import Finding, note

KEY = ("MM_TLS_PRIVATE_KEY_PATH", "MM_SVC_GRPC_PRIVATE_KEY_PATH", "TAS_SVC_GRPC_PRIVATE_KEY_PATH")
CERTIFICATE = ("MM_TLS_KEY_CERT_PATH", "MM_SVC_GRPC_CA_CERT_PATH", "TAS_SVC_GRPC_CA_CERT_PATH")
PASSPHRASE = ("MM_TLS_PRIVATE_KEY_PASSPHRASE", "MM_SVC_GRPC_PRIVATE_KEY_PASSPHRASE")
INTERNAL = ("MM_INTERNAL_TRUST_CERTS", "MM_TRUST_CERTS")
CLIENTS = ("MM_TLS_TRUST_CERT_PATH",)


def of_files(env: Mapping[str, str], now_ms: int) -> list[Finding]:
    """The own certificate with its key, and the authorities for clients and for other instances."""
    when, found = now_utc(now_ms), list[Finding]()
    certificate, key = _first(env, CERTIFICATE).strip(), _first(env, KEY).strip()
    internal = {path: text for path in _paths(env, INTERNAL) for path, text in _texts(path, found).items()}
    clients = {path: text for path in _paths(env, CLIENTS) for path, text in _texts(path, found).items()}
    if certificate and key:
        shown, secret = _text(Path(certificate), found), _text(Path(key), found)
        if shown is not None and secret is not None:
            identity = Identity(certificate, shown, secret, _first(env, PASSPHRASE), b"".join(internal.values()))
            found += of_identity(identity, when)
    for path, text in {**internal, **clients}.items():
        found += of_authorities(path, text, when)
    return found


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next(filter(None, (env.get(name, "") for name in names)), "")


def _paths(env: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    return [part.strip() for part in _first(env, names).split(",") if part.strip()]


def _texts(path: str, found: list[Finding]) -> dict[str, bytes]:
    """What is in a file, or in the certificates of a directory, by path; what cannot be read is a finding."""
    place = Path(path)
    files = sorted((*place.glob("*.pem"), *place.glob("*.crt"))) if place.is_dir() else [place]
    return {str(file): text for file in files if (text := _text(file, found)) is not None}


def _text(file: Path, found: list[Finding]) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        found.append(note(f"cannot be read here: {error.strerror}", str(file), "look on the host of the instance"))
        return None
