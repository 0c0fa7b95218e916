"""What the gRPC ports are opened with and other instances are called over: TLS where there is a private key."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import grpc
import grpc.aio
from cryptography import x509

from meshd.certificates import Identity, Source, TlsError, certificates, read_identity, system_authorities, to_pem
from meshd.config import Config

SERVICE_ACCOUNT_CA = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
FLIGHTS = 8
"""More than any handshake has."""


@dataclass(frozen=True, slots=True)
class Material:
    """All that TLS needs, read and checked; authorities are PEM."""

    identity: Identity
    client_authorities: bytes | None
    """None: clients are not asked for a certificate."""
    peer_authorities: bytes | None
    """None: no TLS between instances."""
    has_peer_auth: bool
    """Instances that call have to show a certificate."""


def read(config: Config, now: datetime) -> Material | None:
    """What the settings name; None: there is no private key, so no TLS. Raises TlsError."""
    if not config.tls_key_path:
        return None
    certificate = _source(config, "MM_TLS_KEY_CERT_PATH", config.tls_certificate_path)
    key = _source(config, "MM_TLS_PRIVATE_KEY_PATH", config.tls_key_path)
    identity = read_identity(certificate, key, config.tls_key_passphrase, now)
    clients = _of_clients(config) if config.tls_client_auth == "require" else None
    peers = _of_peers(config, certificate) if config.is_mesh_tls_enabled else None
    material = Material(identity, clients, peers, config.has_mesh_client_auth)
    if peers is not None:
        try:
            _shake(*(peer_context(config, material, is_server=is_server) for is_server in (True, False)))
        except OSError as error:  # SSLError is one; another one is a file that is being replaced
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error.strerror
            raise certificate.wrong(
                f"would not be accepted by other instances with these settings: {why}; "
                "put its authority into MM_INTERNAL_TRUST_CERTS, or after it into the file"
            ) from error
    return material


def peer_context(config: Config, material: Material, *, is_server: bool) -> ssl.SSLContext:
    """The same as gRPC goes by between instances, for the library that says why a handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = not is_server
    context.verify_mode = ssl.CERT_NONE if is_server and not material.has_peer_auth else ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    # With a text it asks nobody at the terminal.
    context.load_cert_chain(config.tls_certificate_path, config.tls_key_path, config.tls_key_passphrase or "none")
    context.load_verify_locations(cadata=(material.peer_authorities or b"").decode())
    return context


class Dialer:
    """Opens connections to other instances. None: they speak no TLS."""

    def __init__(self, material: Material | None = None) -> None:
        self._channels: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._given_up: set[str] = set()
        self.use(material)

    def use(self, material: Material | None) -> None:
        """Open those to come with this."""
        self._name, self._credentials = "", None
        if material is not None and material.peer_authorities is not None:
            own = material.identity
            self._name = own.name
            self._credentials = grpc.ssl_channel_credentials(material.peer_authorities, own.key, own.chain)

    def open(self, address: str, options: Sequence[tuple[str, Any]]) -> Any:
        """A connection to the mesh port of the instance at ``address``."""
        if self._credentials is None:
            return grpc.aio.insecure_channel(address, options=options)
        # Addresses of instances are in no certificate; what all of them can show is the name in their own.
        named = (*options, ("grpc.ssl_target_name_override", self._name))
        channel = grpc.aio.secure_channel(address, self._credentials, options=named)
        self._channels[channel] = address
        return channel

    def give_up(self, channel: Any) -> None:
        """A connection that failed is about to be closed."""
        if channel in self._channels:
            self._given_up.add(self._channels.pop(channel))

    def take_failing(self) -> frozenset[str]:
        """The addresses that connections over TLS are wanted to and not had, and once each one given up meanwhile."""
        bad = grpc.ChannelConnectivity.TRANSIENT_FAILURE
        at_present = {address for channel, address in self._channels.items() if channel.get_state() is bad}
        found = frozenset(at_present | self._given_up)
        self._given_up.clear()
        return found


class Tls:
    """The material in force. Servers ask for it at each connection, so that it can be renewed while they run."""

    def __init__(self, config: Config) -> None:
        """Raises TlsError."""
        self.config = config
        self.material = read(config, datetime.now(UTC))
        self.dialer = Dialer(self.material)

    def renew(self, material: Material) -> None:
        """Have this in force for connections to come."""
        self.material = material
        self.dialer.use(material)

    def for_clients(self) -> Any | None:
        """Credentials of the external port; None: no TLS."""
        material = self.material
        if material is None:
            return None
        return self._credentials(lambda found: found.client_authorities, material.client_authorities is not None)

    def for_peers(self) -> Any | None:
        """Credentials of the mesh port; None: no TLS."""
        material = self.material
        if material is None or material.peer_authorities is None:
            return None
        return self._credentials(lambda found: found.peer_authorities, material.has_peer_auth)

    def _credentials(self, authorities: Callable[[Material], bytes | None], requires_certificate: bool) -> Any:
        assert self.material is not None
        served = self.material

        def configuration() -> Any:
            pair = (served.identity.key, served.identity.chain)
            return grpc.ssl_server_certificate_configuration([pair], authorities(served))

        def renewed() -> Any | None:
            nonlocal served
            if self.material is served or self.material is None:
                return None
            served = self.material
            return configuration()

        return grpc.dynamic_ssl_server_credentials(configuration(), renewed, requires_certificate)


def _source(config: Config, setting: str, path: str) -> Source:
    return Source(config.origins[setting], Path(path))


def _of_clients(config: Config) -> bytes:
    if config.tls_trust_paths:
        sources = (_source(config, "MM_TLS_TRUST_CERT_PATH", path) for path in config.tls_trust_paths)
        return b"".join(to_pem(certificates(source)) for source in sources)
    if authorities := system_authorities():
        return authorities
    raise TlsError("MM_TLS_CLIENT_AUTH: there are no authorities on this host; name some in MM_TLS_TRUST_CERT_PATH")


def _of_peers(config: Config, own: Source) -> bytes:
    """The authorities in the own file and those named; of neither any: the own certificate."""
    chain = certificates(own)
    trusted = [certificate for certificate in chain if _is_authority(certificate)]
    for path in config.internal_trust_paths:
        for source in _files(_source(config, "MM_INTERNAL_TRUST_CERTS", path)):
            trusted += certificates(source)
    trusted = trusted or chain[:1]
    if SERVICE_ACCOUNT_CA.exists():
        trusted += certificates(Source("the service account", SERVICE_ACCOUNT_CA))
    return to_pem(list(dict.fromkeys(trusted)))


def _files(source: Source) -> Iterator[Source]:
    if not source.path.is_dir():
        yield source
        return
    found = sorted(path for pattern in ("*.pem", "*.crt") for path in source.path.glob(pattern))
    if not found:
        raise source.wrong("is a directory without *.pem and *.crt; put the authorities there")
    for path in found:
        yield Source(source.setting, path)


def _is_authority(certificate: x509.Certificate) -> bool:
    with suppress(x509.ExtensionNotFound):
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    return False


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A handshake between the two in memory; raises SSLError."""
    client.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True))
    for _ in range(FLIGHTS):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
