"""A mesh with certificates: the files and settings that its instances have, and how others come to its ports."""

from __future__ import annotations

from pathlib import Path

import grpc

from tests.certificates import Authority, Pair
from tests.client import Secure


def settings(directory: Path, pair: Pair, after: bytes = b"", **more: str) -> dict[str, str]:
    """Settings of an instance with this certificate, whose files are in ``directory``."""
    certificate, key = pair.write(directory, after=after)
    return {"MM_TLS_KEY_CERT_PATH": str(certificate), "MM_TLS_PRIVATE_KEY_PATH": str(key), **more}


def as_client(trusted: Authority, pair: Pair | None = None, name: str = "mesh.local") -> Secure:
    """As a client that trusts this authority and shows this certificate; None: it has none."""
    if pair is None:
        return Secure(grpc.ssl_channel_credentials(trusted.pem), name)
    return Secure(grpc.ssl_channel_credentials(trusted.pem, pair.key, pair.certificate), name)
