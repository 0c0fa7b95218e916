"""An etcd that speaks TLS and lets in only who shows a certificate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from meshcore.kv import ANY, Committed, Write
from meshd.store.base import StoreUnavailable
from meshd.store.connect import open_store, parse_kv_store
from tests.etcd import EtcdServer
from tests.store.places import run

pytestmark = pytest.mark.etcd

NAME = "etcd.local"


def write_certificates(directory: Path) -> None:
    """ca.pem, and mesh.pem with mesh.key signed by it for NAME alone."""
    now = datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(name: str, public: ec.EllipticCurvePublicKey, is_ca: bool) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
            .sign(ca_key, SHA256())
            .public_bytes(Encoding.PEM)
        )

    (directory / "ca.pem").write_bytes(certificate("test authority", ca_key.public_key(), True))
    (directory / "mesh.pem").write_bytes(certificate(NAME, key.public_key(), False))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "mesh.key").write_bytes(text)


def test_etcd_is_spoken_to_over_mutual_tls_under_another_name(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    options = [
        f"--cert-file={tmp_path / 'mesh.pem'}",
        f"--key-file={tmp_path / 'mesh.key'}",
        f"--trusted-ca-file={tmp_path / 'ca.pem'}",
        "--client-cert-auth",
    ]
    server = EtcdServer(tmp_path, options, scheme="https")
    known = {
        "endpoints": server.address,
        "certificate_file": "ca.pem",
        "client_key_file": "mesh.key",
        "client_certificate_file": "mesh.pem",
        "override_authority": NAME,
    }
    stranger = {name: value for name, value in known.items() if not name.startswith("client_")}
    misled = {name: value for name, value in known.items() if name != "override_authority"}

    async def test() -> None:
        for attributes, is_let_in in ((known, True), (stranger, False), (misled, False)):
            (tmp_path / "kv.json").write_text(json.dumps(attributes))
            store = open_store(parse_kv_store(f"etcd:{tmp_path / 'kv.json'}"), Random(1))
            if is_let_in:
                assert isinstance(await store.commit(Write("a", ANY, b"1")), Committed)
            else:
                with pytest.raises(StoreUnavailable, match=server.address):
                    await store.check(0.5)
            await store.close()

    server.start()
    try:
        run(test())
    finally:
        server.kill()
