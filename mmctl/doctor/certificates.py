"""What is wrong with a certificate, its key and its authorities, by their PEM and the time."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from mmctl.doctor.finding import Finding, ok, problem, warning

SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate as somebody shows it: ``chain`` PEM with the own one first; what is empty is not known.

    ``trust``: PEM of the authorities that others check it by; ``names``: what they call it, all of which it has to
    cover; ``key`` PEM, ``passphrase`` of it.
    """

    where: str
    chain: bytes
    key: bytes = b""
    passphrase: str = ""
    trust: bytes = b""
    names: tuple[str, ...] = ()


def of_identity(identity: Identity, now: datetime) -> list[Finding]:
    """Dates, key, chain and names."""
    chain, wrong = _read(identity.chain, identity.where)
    if wrong:
        return [wrong]
    own = chain[0]
    found = [finding for each in chain for finding in _dates(each, identity.where, now)]
    if identity.key:
        found += _key(identity, own)
    if identity.trust:
        trust, wrong = _read(identity.trust, f"the authorities for {identity.where}")
        found += [wrong] if wrong else _chain(identity.where, chain, trust)
    missed = [name for name in identity.names if not covers(own, name)]
    if missed:
        found.append(
            problem(
                f"it is not for {', '.join(missed)} but for {', '.join(names_of(own)) or 'nobody'}",
                identity.where,
                "have it made with these names, or call it by a name that is in it",
            )
        )
    return found or [ok(f"{_subject(own)}, until {own.not_valid_after_utc:%Y-%m-%d}", identity.where)]


def of_authorities(where: str, pem: bytes, now: datetime) -> list[Finding]:
    """Certificates that others are checked by: each can be read and is valid."""
    found, wrong = _read(pem, where)
    if wrong:
        return [wrong]
    said = [finding for each in found for finding in _dates(each, where, now)]
    return said or [ok(f"{len(found)} to check others by", where)]


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Whether a client that calls ``name`` takes it; an address has to be named as one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    wanted = name.lower().rstrip(".")
    return any(
        each.lower() == wanted or (each.startswith("*.") and each[2:].lower() == wanted.partition(".")[2])
        for each in names.get_values_for_type(x509.DNSName)
    )


def names_of(certificate: x509.Certificate) -> list[str]:
    """What it is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def to_pem(der: bytes) -> bytes:
    """A certificate as it came over the wire, as text."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def now_utc(now_ms: int) -> datetime:
    """An instant as certificates have it."""
    return datetime.fromtimestamp(now_ms / 1000, UTC)


def _read(pem: bytes, where: str) -> tuple[list[x509.Certificate], Finding | None]:
    try:
        return x509.load_pem_x509_certificates(pem), None
    except ValueError as error:
        text = str(error).partition(". See ")[0]
        return [], problem(f"no certificate in PEM can be read in it: {text}", where, "give a file of certificates")


def _dates(certificate: x509.Certificate, where: str, now: datetime) -> list[Finding]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    subject = _subject(certificate)
    if now > ends:
        return [problem(f"{subject} has expired on {ends:%Y-%m-%d %H:%M} UTC", where, "renew it now")]
    if now < begins:
        return [
            problem(f"{subject} is not valid before {begins:%Y-%m-%d %H:%M} UTC", where, "wait, or set the clock right")
        ]
    if ends - now < SOON:
        left = (ends - now).days
        return [
            warning(
                f"{subject} expires in {left} day{'' if left == 1 else 's'}, on {ends:%Y-%m-%d %H:%M} UTC",
                where,
                "renew it",
            )
        ]
    return []


def _key(identity: Identity, own: x509.Certificate) -> list[Finding]:
    where = identity.where
    try:
        key = load_pem_private_key(identity.key, identity.passphrase.encode() or None)
    except TypeError:
        if not identity.passphrase:
            return [problem("its key is encrypted, and no passphrase is given", where, "give the passphrase")]
        key = load_pem_private_key(identity.key, None)
    except (ValueError, UnsupportedAlgorithm) as error:
        text = str(error).partition(". ")[0]
        return [problem(f"its key cannot be read: {text}", where, "give a key in PEM, with its own passphrase")]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != own.public_key().public_bytes(*form):
        return [problem("the key does not belong to the first certificate", where, "give those made together")]
    return []


def _chain(where: str, chain: Sequence[x509.Certificate], trust: Sequence[x509.Certificate]) -> list[Finding]:
    """Up from the own certificate, by issuers that are shown, until one that is trusted."""
    at, left = chain[0], list(chain[1:])
    while True:
        if at in trust or any(_issued(at, each) for each in trust):
            return []
        above = next((each for each in left if _issued(at, each)), None)
        if above is None:
            issuer = _name(at.issuer)
            return [
                problem(
                    f"the chain is not complete: {issuer}, which signed {_subject(at)}, is neither shown nor trusted",
                    where,
                    f"put the certificate of {issuer} after it in its file, or trust it",
                )
            ]
        left.remove(above)
        at = above


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _subject(certificate: x509.Certificate) -> str:
    return _name(certificate.subject) or ", ".join(names_of(certificate)[:1]) or "a certificate without a name"


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
