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
    (certificate,), (key,) = _paths(env, CERTIFICATE) or [""], _paths(env, KEY) or [""]
    internal = {path: text for path in _paths(env, INTERNAL) for path, text in _texts(path, found).items()}
    clients = {path: text for path in _paths(env, CLIENTS) for path, text in _texts(path, found).items()}
    if certificate and key:
        texts, keys = _texts(certificate, found), _texts(key, found)
        if texts and keys:
            passphrase = next(filter(None, (env.get(name, "") for name in PASSPHRASE)), "")
            identity = Identity(certificate, texts[certificate], keys[key], passphrase, b"".join(internal.values()))
            found += of_identity(identity, when)
    for path, text in {**internal, **clients}.items():
        found += of_authorities(path, text, when)
    return found


def _paths(env: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    text = next(filter(None, (env.get(name, "").strip() for name in names)), "")
    return [part.strip() for part in text.split(",") if part.strip()]


def _texts(path: str, found: list[Finding]) -> dict[str, bytes]:
    """What is in a file, or in the certificates of a directory, by path; what cannot be read is a finding."""
    place = Path(path)
    files = sorted((*place.glob("*.pem"), *place.glob("*.crt"))) if place.is_dir() else [place]
    texts = {}
    for file in files:
        try:
            texts[str(file)] = file.read_bytes()
        except OSError as error:
            found.append(note(f"cannot be read here: {error.strerror}", str(file), "look on the host of the instance"))
    return texts
