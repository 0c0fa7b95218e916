"""A TLS certificate that the instance signs itself, for ports whose clients do not check whom they talk to."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

VALID = timedelta(days=3650)


def server_context(name: str) -> ssl.SSLContext:
    """What a TLS server needs to be ``name``, with a new key at every call."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + VALID)
        .sign(key, SHA256())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with NamedTemporaryFile(prefix="meshd-", suffix=".pem") as chain:
        chain.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        chain.write(certificate.public_bytes(Encoding.PEM))
        chain.flush()
        context.load_cert_chain(chain.name)
    return context
