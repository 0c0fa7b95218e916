"""What TLS needs is read and checked before anything starts; what is wrong is told with its setting and file."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from meshd import certificates, tls
from meshd import config as configuration
from meshd.certificates import TlsError
from meshd.config import Config, Host
from tests.certificates import PKCS1, PKCS8, Authority, Pair
from tests.meshd.test_app import app, ended
from tests.processes import free_port

HOST = Host("box", "10.0.0.9", "beef")
CA = Authority()


def config(directory: Path, **env: str) -> Config:
    """The configuration of an instance whose certificate is in ``tls.crt`` and ``tls.key``."""
    least = {"MM_SERVICE_NAME": "mesh", "KV_STORE": "memory"}
    names = {
        "MM_TLS_KEY_CERT_PATH": str(directory / "tls.crt"),
        "MM_TLS_PRIVATE_KEY_PATH": str(directory / "tls.key"),
    }
    return configuration.read({**least, **names, **env}, HOST)


def read(directory: Path, pair: Pair, after: bytes = b"", **env: str) -> tls.Material:
    """What comes of this certificate and these settings."""
    pair.write(directory, after=after)
    material = tls.read(config(directory, **env), datetime.now(UTC))
    assert material is not None
    return material


def problem(directory: Path, pair: Pair, after: bytes = b"", **env: str) -> str:
    """Why nothing comes of it, with the directory left out."""
    with pytest.raises(TlsError) as caught:
        read(directory, pair, after, **env)
    return str(caught.value).replace(f"{directory}/", "")


# -- the certificate and its key --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PKCS8, PKCS1])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_keys_of_every_form_are_read(tmp_path: Path, form: object, passphrase: str, key: object) -> None:
    pair = CA.issue(key=key, form=form, passphrase=passphrase)  # type: ignore[arg-type]
    made = read(tmp_path, pair, MM_TLS_PRIVATE_KEY_PASSPHRASE=passphrase)
    assert made.identity.key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert made.identity.chain == pair.certificate


def test_a_passphrase_for_a_key_without_one_does_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, CA.issue(), MM_TLS_PRIVATE_KEY_PASSPHRASE="unused").identity.name == "mesh.local"


@pytest.mark.parametrize(
    ("common", "names", "known_as"),
    [
        ("mesh", ["a.local", "b.local"], "a.local"),
        ("mesh", ["*.mesh.local"], "instance.mesh.local"),
        ("mesh", ["10.0.0.1", "a.local"], "a.local"),
        ("mesh", ["10.0.0.1"], "10.0.0.1"),
        ("mesh", [], "mesh"),
        ("mesh", ["spiffe://a/b"], "mesh"),
    ],
)
def test_an_instance_is_known_by_the_first_name_in_its_certificate(
    tmp_path: Path, common: str, names: list[str], known_as: str
) -> None:
    assert read(tmp_path, CA.issue(common, names)).identity.name == known_as


def test_no_key_is_no_tls() -> None:
    made = configuration.read({"MM_SERVICE_NAME": "mesh", "KV_STORE": "memory"}, HOST)
    assert tls.read(made, datetime.now(UTC)) is None


# -- settings ---------------------------------------------------------------------------------------------------


def test_old_names_and_any_case_are_understood(tmp_path: Path) -> None:
    certificate, key = map(str, CA.issue().write(tmp_path))
    ours, theirs = (str(CA.write(tmp_path, name)) for name in ("a.pem", "b.pem"))
    made = config(
        tmp_path, MM_TLS_PRIVATE_KEY_PATH="", MM_SVC_GRPC_PRIVATE_KEY_PATH=key, MM_TLS_KEY_CERT_PATH="",
        MM_SVC_GRPC_CA_CERT_PATH=certificate, MM_TLS_CLIENT_AUTH="Require", MM_TLS_TRUST_CERT_PATH=f"{ours}, {theirs},",
        MM_TRUST_CERTS=theirs,
    )  # fmt: skip
    assert (made.tls_key_path, made.tls_certificate_path, made.tls_client_auth) == (key, certificate, "require")
    assert (made.tls_trust_paths, made.internal_trust_paths) == ((ours, theirs), (theirs,))
    assert (made.is_mesh_tls_enabled, made.has_mesh_client_auth, made.warnings) == (True, True, ())


# -- files ------------------------------------------------------------------------------------------------------


def overwritten(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


def made_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


SETTING_OF = {"tls.crt": "MM_TLS_KEY_CERT_PATH", "tls.key": "MM_TLS_PRIVATE_KEY_PATH"}
BAD_FILES = {
    "no certificate": ("tls.crt", Path.unlink, "cannot be read: No such file or directory"),
    "a directory": ("tls.key", made_a_directory, "cannot be read: Is a directory"),
    "an empty certificate": ("tls.crt", overwritten(b" \n"), "is empty; a certificate in PEM is needed"),
    "no PEM": (
        "tls.crt", overwritten(b"0\x82"),
        "is not PEM: it has no line -----BEGIN CERTIFICATE-----; a certificate in PEM is needed",
    ),
    "broken PEM": (
        "tls.crt", overwritten(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "has a certificate that cannot be read: ",
    ),
    "a key that is no PEM": (
        "tls.key", overwritten(b"secret"),
        "is not PEM: it has no line -----BEGIN …-----; a private key in PEM is needed",
    ),
    "a certificate for a key": ("tls.key", overwritten(CA.pem), "is no private key: "),
    "another's key": (
        "tls.key", overwritten(CA.issue().key),
        "does not belong to the first certificate in tls.crt: give those made together",
    ),
}  # fmt: skip
"""The file, what happens to it, and what is said of it then."""


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, case: str) -> None:
    name, spoil, text = BAD_FILES[case]
    CA.issue().write(tmp_path)
    made = config(tmp_path)
    spoil(tmp_path / name)
    with pytest.raises(TlsError) as caught:
        tls.read(made, datetime.now(UTC))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(f"{SETTING_OF[name]}: {name} {text}")


def test_the_setting_is_called_as_the_user_calls_it(tmp_path: Path) -> None:
    (tmp_path / "old.crt").touch()
    old = {"MM_TLS_KEY_CERT_PATH": "", "TAS_SVC_GRPC_CA_CERT_PATH": str(tmp_path / "old.crt")}
    text = problem(tmp_path, CA.issue(), **old)
    assert text == "TAS_SVC_GRPC_CA_CERT_PATH: old.crt is empty; a certificate in PEM is needed"


def test_a_certificate_out_of_its_time_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path, CA.issue(days=(-9, -1))).startswith("MM_TLS_KEY_CERT_PATH: tls.crt ended on 20")
    early = problem(tmp_path, CA.issue(days=(1, 9)))
    assert early.startswith("MM_TLS_KEY_CERT_PATH: tls.crt is not valid before 20")
    assert early.endswith("UTC: wait, or set this host's clock")


def test_a_passphrase_that_is_wrong_or_missing_is_told(tmp_path: Path) -> None:
    pair = CA.issue(passphrase="open sesame")
    assert problem(tmp_path, pair) == (
        "MM_TLS_PRIVATE_KEY_PATH: tls.key is encrypted: set MM_TLS_PRIVATE_KEY_PASSPHRASE"
    )
    wrong = problem(tmp_path, pair, MM_TLS_PRIVATE_KEY_PASSPHRASE="hunter2")
    assert wrong == (
        "MM_TLS_PRIVATE_KEY_PATH: tls.key cannot be decrypted: MM_TLS_PRIVATE_KEY_PASSPHRASE is another one's"
    )


def test_a_key_that_grpc_does_not_take_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path, CA.issue(key=ed25519.Ed25519PrivateKey.generate())) == (
        "MM_TLS_PRIVATE_KEY_PATH: tls.key is neither an RSA nor an elliptic curve key: gRPC takes no other"
    )


def test_a_certificate_that_names_nobody_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path, CA.issue("", [])) == (
        "MM_TLS_KEY_CERT_PATH: tls.crt names nobody: it needs a DNS name, an address or a common name"
    )


# -- authorities ------------------------------------------------------------------------------------------------


def test_instances_are_checked_by_the_own_certificate_where_nothing_else_is_named(tmp_path: Path) -> None:
    pair, middle = CA.issue(), Authority("between", CA)
    assert read(tmp_path, pair).peer_authorities == pair.certificate
    assert read(tmp_path, pair, after=CA.pem).peer_authorities == CA.pem
    chained = read(tmp_path, middle.issue(), after=middle.pem)
    assert chained.peer_authorities == middle.pem
    assert chained.identity.chain.endswith(middle.pem)


def test_instances_are_checked_by_what_is_named_and_by_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, cluster = (Authority(name) for name in ("more", "cluster"))
    CA.write(tmp_path / "trust", "a.pem")
    more.write(tmp_path / "trust", "b.crt")
    more.write(tmp_path / "trust", "c.txt")
    named = f"{tmp_path / 'trust'},{more.write(tmp_path, 'more.pem')}"
    pair = CA.issue()
    assert read(tmp_path, pair, MM_INTERNAL_TRUST_CERTS=named).peer_authorities == CA.pem + more.pem
    monkeypatch.setattr(tls, "SERVICE_ACCOUNT_CA", cluster.write(tmp_path, "cluster.crt"))
    assert read(tmp_path, pair, MM_INTERNAL_TRUST_CERTS=named).peer_authorities == CA.pem + more.pem + cluster.pem
    assert read(tmp_path, pair, MM_ENABLE_SSL="false").peer_authorities is None


def test_a_certificate_that_other_instances_would_not_take_is_told(tmp_path: Path) -> None:
    named = {"MM_INTERNAL_TRUST_CERTS": str(Authority("another").write(tmp_path, "another.pem"))}
    text = problem(tmp_path, CA.issue(), **named)
    assert text == (
        "MM_TLS_KEY_CERT_PATH: tls.crt would not be accepted by other instances with these settings: "
        "unable to get local issuer certificate; "
        "put its authority into MM_INTERNAL_TRUST_CERTS, or after it into the file"
    )
    assert read(tmp_path, CA.issue(), MM_ENABLE_SSL="false", **named).peer_authorities is None


def test_a_certificate_for_servers_only_does_for_instances_that_need_show_none(tmp_path: Path) -> None:
    pair = CA.issue(only_serves=True)
    assert "would not be accepted by other instances with these settings: unsuitable certificate purpose" in (
        problem(tmp_path, pair, after=CA.pem)
    )
    assert not read(tmp_path, pair, after=CA.pem, MM_INTRACLUSTER_CLIENTAUTH="false").has_peer_auth


def test_authorities_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "empty.pem").touch()
    internal = {"MM_INTERNAL_TRUST_CERTS": str(tmp_path / "none")}
    assert problem(tmp_path, CA.issue(), **internal) == (
        "MM_INTERNAL_TRUST_CERTS: none is a directory without *.pem and *.crt; put the authorities there"
    )
    clients = {"MM_TLS_CLIENT_AUTH": "require", "MM_TLS_TRUST_CERT_PATH": str(tmp_path / "empty.pem")}
    assert problem(tmp_path, CA.issue(), **clients) == (
        "MM_TLS_TRUST_CERT_PATH: empty.pem is empty; a certificate in PEM is needed"
    )


def test_clients_are_checked_by_the_system_where_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = CA.issue()
    assert read(tmp_path, pair).client_authorities is None
    monkeypatch.setenv("SSL_CERT_FILE", str(CA.write(tmp_path)))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))
    assert certificates.system_authorities() == CA.pem
    assert read(tmp_path, pair, MM_TLS_CLIENT_AUTH="require").client_authorities == CA.pem
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere"))
    assert problem(tmp_path, pair, MM_TLS_CLIENT_AUTH="require") == (
        "MM_TLS_CLIENT_AUTH: there are no authorities on this host; name some in MM_TLS_TRUST_CERT_PATH"
    )


# -- at the start -----------------------------------------------------------------------------------------------


def test_nothing_is_opened_with_a_certificate_that_is_wrong(tmp_path: Path) -> None:
    certificate, key = CA.issue(days=(-9, -1)).write(tmp_path)
    probe = free_port()
    given = {"MM_TLS_KEY_CERT_PATH": str(certificate), "MM_TLS_PRIVATE_KEY_PATH": str(key)}
    with socket.create_server(("127.0.0.1", probe)), pytest.raises(TlsError, match="ended on"):
        asyncio.run(ended(app(MM_PROBE_PORT=str(probe), **given)))
