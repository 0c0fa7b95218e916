"""PEM files of certificates and keys: read, checked against each other, and told what is wrong with them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

PEM_BEGIN = b"-----BEGIN "


class TlsError(Exception):
    """What about a certificate, a key or an authority does not work; the text names the setting and the file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and the setting that names it."""

    setting: str
    path: Path

    def wrong(self, why: str) -> TlsError:
        """The error that says so."""
        return TlsError(f"{self.setting}: {self.path} {why}")

    def read(self) -> bytes:
        """What is in it; raises TlsError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self.wrong(f"cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this instance is: ``key`` is PEM that is not encrypted, ``chain`` PEM with the own certificate first."""

    key: bytes
    chain: bytes
    name: str
    """A name that the certificate is good for."""
    ends: datetime


def read_identity(certificate: Source, key: Source, passphrase: str, now: datetime) -> Identity:
    """The certificate and its key, which go together and are valid at ``now``. Raises TlsError."""
    chain = certificates(certificate)
    own = chain[0]
    begins, ends = own.not_valid_before_utc, own.not_valid_after_utc
    if now > ends:
        raise certificate.wrong(f"ended on {ends:%Y-%m-%d %H:%M} UTC: renew it")
    if now < begins:
        raise certificate.wrong(f"is not valid before {begins:%Y-%m-%d %H:%M} UTC: wait, or set this host's clock")
    private = _private_key(key, passphrase)
    if not _belongs(private, own):
        raise key.wrong(f"does not belong to the first certificate in {certificate.path}: give those made together")
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Identity(text, to_pem(chain), _name(certificate, own), ends)


def certificates(source: Source) -> list[x509.Certificate]:
    """All certificates in a file, one at least. Raises TlsError."""
    text = source.read()
    if PEM_BEGIN + b"CERTIFICATE-----" not in text:
        what = "is empty" if not text.strip() else "is not PEM: it has no line -----BEGIN CERTIFICATE-----"
        raise source.wrong(f"{what}; a certificate in PEM is needed")
    try:
        found = x509.load_pem_x509_certificates(text)
        for certificate in found:
            certificate.extensions  # noqa: B018  # they are read when they are first looked at
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise source.wrong(f"has a certificate that cannot be read: {error}") from error
    return found


def system_authorities() -> bytes:
    """The authorities that this host trusts, as PEM; empty: none."""
    context = ssl.create_default_context()
    return b"".join(ssl.DER_cert_to_PEM_cert(der).encode() for der in context.get_ca_certs(binary_form=True))


def to_pem(chain: list[x509.Certificate]) -> bytes:
    """Certificates as one text."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _private_key(source: Source, passphrase: str) -> RSAPrivateKey | EllipticCurvePrivateKey:
    text = source.read()
    if PEM_BEGIN not in text:
        raise source.wrong("is not PEM: it has no line -----BEGIN …-----; a private key in PEM is needed")
    try:
        key = load_pem_private_key(text, passphrase.encode() or None)
    except TypeError as error:
        if not passphrase:
            raise source.wrong("is encrypted: set MM_TLS_PRIVATE_KEY_PASSPHRASE") from error
        key = load_pem_private_key(text, None)  # what is not encrypted needs no passphrase
    except (ValueError, UnsupportedAlgorithm) as error:
        is_encrypted = passphrase and b"ENCRYPTED" in text
        raise source.wrong(
            "cannot be decrypted: MM_TLS_PRIVATE_KEY_PASSPHRASE is another one's"
            if is_encrypted
            else f"is no private key: {str(error).partition('. ')[0]}"
        ) from error
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise source.wrong("is neither an RSA nor an elliptic curve key: gRPC takes no other")
    return key


def _belongs(key: RSAPrivateKey | EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # of a kind that such a key cannot be of
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == public.public_bytes(*form)


def _name(source: Source, certificate: x509.Certificate) -> str:
    """The first name in a certificate that a client can ask for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for name in names.get_values_for_type(x509.DNSName):
        return f"instance{name[1:]}" if name.startswith("*.") else name
    for address in names.get_values_for_type(x509.IPAddress):
        return str(address)
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        return str(attribute.value)
    raise source.wrong("names nobody: it needs a DNS name, an address or a common name")
