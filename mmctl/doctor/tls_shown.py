"""What somebody shows in a TLS handshake, whoever they are."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from mmctl.doctor.certificates import to_pem
from mmctl.doctor.web import without_proof

TRY_S = 3.0


async def shown_certificate(address: str) -> bytes:
    """The own certificate of whoever listens at host:port, as PEM; empty: no TLS there, or nobody."""
    context = without_proof()
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with suppress(OSError, TimeoutError, ssl.SSLError):
        async with asyncio.timeout(TRY_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context, server_hostname=host)
            try:
                der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                writer.transport.abort()  # the other side may be slow to say goodbye
            return to_pem(der) if der else b""
    return b""
