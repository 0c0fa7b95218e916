"""How instances are reached over TLS, and why they are not."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from mmctl.errors import Usage

HTTPS = "https://"
TRY_S = 3.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM, and the name that the instances' certificate is for; what is empty is not said."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""

    @property
    def is_said(self) -> bool:
        """Whether anything is, which means that instances speak TLS."""
        return self != NO_TLS

    def is_for(self, endpoint: str) -> bool:
        """Whether this endpoint is spoken to over TLS."""
        return endpoint.startswith(HTTPS) or (self.is_said and not endpoint.startswith("unix:"))

    def context(self) -> ssl.SSLContext:
        """For the library that says what is wrong; raises Usage for files that cannot be used."""
        if bool(self.cert_file) != bool(self.key_file):
            missing = "--key-file" if self.cert_file else "--cert-file"
            raise Usage(f"{missing} is missing: a certificate and its key go together")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            what = self.ca_file
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            else:
                context.load_default_certs()
            if self.cert_file:
                what = f"{self.cert_file} with {self.key_file}"
                # With a text it asks nobody at the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="none")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise Usage(f"{what}: PEM is needed, of keys that are not encrypted: {reason}") from None
        except OSError as error:
            raise Usage(f"{what}: {error.strerror or error}") from None
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC; raises Usage."""
        self.context()
        authorities, key, certificate = (
            Path(file).read_bytes() if file else None for file in (self.ca_file, self.key_file, self.cert_file)
        )
        return grpc.ssl_channel_credentials(authorities, key, certificate)


NO_TLS = Tls()


async def why_not(address: str, tls: Tls | None) -> str:
    """Why an endpoint that is there cannot be spoken to over TLS, or without it (None); empty: that is not why."""
    if tls is None:
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        return f"it speaks TLS: write {HTTPS}{address}" if await _shaken(address, stranger, "") is not None else ""
    try:
        heard = await _shaken(address, tls.context(), tls.server_name)
    except ssl.SSLCertVerificationError as error:
        is_name = "mismatch" in error.verify_message
        hint = "--server-name says the name that is in it" if is_name else "--ca-file names its authority"
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}; {hint}"
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return NOT_TAKEN
        return f"it speaks no TLS: write {address}, without options for TLS"
    return NOT_TAKEN if heard == b"" else ""


NOT_TAKEN = "it wants another certificate of a client: --cert-file and --key-file give one"


async def _shaken(address: str, context: ssl.SSLContext, name: str) -> bytes | None:
    """What the other side says after a handshake, nothing if it leaves; None: there was no handshake.

    Raises ssl.SSLError where the context verifies.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(TRY_S):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name or host)
            try:
                return await reader.read(1)
            finally:
                writer.transport.abort()  # the other side may be slow to say goodbye
    except ssl.SSLError:
        if context.verify_mode is ssl.CERT_NONE:
            return None
        raise
    except (OSError, TimeoutError):
        return None
