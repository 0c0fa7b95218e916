"""Certificate authorities for tests, and the files that they hand out."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

PKCS8 = PrivateFormat.PKCS8
PKCS1 = PrivateFormat.TraditionalOpenSSL
"""What goes by that name for RSA, and as SEC1 for elliptic curves."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with the key that belongs to it, as PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str = "tls", *, after: bytes = b"") -> tuple[Path, Path]:
        """Its files: the certificate with ``after`` behind it, and the key."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.certificate + after)
        key.write_bytes(self.key)
        return certificate, key


class Authority:
    """Signs certificates; ``above`` None: its own too."""

    def __init__(self, name: str = "test authority", above: Authority | None = None) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = (above or self)._signed(name, self._key, is_authority=True)
        self.pem = made.public_bytes(Encoding.PEM)

    def write(self, directory: Path, name: str = "ca.pem") -> Path:
        """The file of its own certificate."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / name
        path.write_bytes(self.pem)
        return path

    def issue(
        self,
        name: str = "mesh",
        names: Sequence[str] = ("mesh.local",),
        *,
        days: tuple[float, float] = (-1, 100),
        key: Key | None = None,
        form: PrivateFormat = PKCS8,
        passphrase: str = "",
        only_serves: bool = False,
    ) -> Pair:
        """A certificate for ``names``, addresses among them, valid from and to these days from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = self._signed(name, key, names=names, days=days, only_serves=only_serves)
        encryption: KeySerializationEncryption = (
            BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        )
        return Pair(made.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, form, encryption))

    def _signed(
        self,
        name: str,
        key: Key,
        *,
        names: Sequence[str] = (),
        days: tuple[float, float] = (-1, 100),
        is_authority: bool = False,
        only_serves: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        begin, end = (now + timedelta(days=day) for day in days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .issuer_name(_subject(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), False)
        if only_serves:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        return builder.sign(self._key, SHA256())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
