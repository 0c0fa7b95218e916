"""The command line to a mesh with TLS: how it gets in, and what it says when it does not."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mmctl import tls
from mmctl.connect import Target, resolve
from mmctl.doctor.tls_shown import shown_certificate
from mmctl.errors import Usage
from mmctl.tls import Tls, why_not
from tests.certificates import Authority
from tests.client import GUARD_S
from tests.etcd import EtcdServer
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.secure import as_client, settings
from tests.mmctl.meshes import Ended, mmctl, mmctl_here

CA, OTHER = Authority(), Authority("another authority")


@dataclass(frozen=True, slots=True)
class Way:
    """A mesh, and files to reach it with."""

    mesh: Mesh
    directory: Path

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def listing(self, *options: str, scheme: str = "https://") -> tuple[str, ...]:
        """What is typed after ``mmctl``."""
        return "list", "-o", "name", "--endpoint", f"{scheme}127.0.0.1:{self.mesh[0].port}", *options

    def list(self, *options: str, scheme: str = "https://") -> Ended:
        return mmctl(*self.listing(*options, scheme=scheme))


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """A mesh whose clients show certificates."""
    directory = tmp_path_factory.mktemp("tls")
    CA.write(directory)
    OTHER.write(directory, "other.pem")
    ours = CA.issue("client")
    ours.write(directory, "ours")
    OTHER.issue("client").write(directory, "theirs")
    CA.issue(passphrase="open sesame").write(directory, "locked")
    trust = {"MM_TLS_CLIENT_AUTH": "require", "MM_TLS_TRUST_CERT_PATH": str(directory / "ca.pem")}
    given = settings(directory, CA.issue("mesh", ["mesh.local"]), CA.pem, **trust)
    with mesh(1, secure=as_client(CA, ours), **given) as made:
        made.client.register("there")
        yield Way(made, directory)


@pytest.fixture
def full(way: Way) -> tuple[str, ...]:
    """All that is needed."""
    pair = ("--cert-file", way.file("ours.crt"), "--key-file", way.file("ours.key"))
    return ("--ca-file", way.file("ca.pem"), "--server-name", "mesh.local", *pair)


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_a_mesh_with_tls_is_reached_with_the_right_files(way: Way, full: tuple[str, ...], scheme: str) -> None:
    found = way.list(*full, scheme=scheme)
    assert (found.code, found.out) == (0, "there\n"), found.err


def test_a_context_has_the_files(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {
        "endpoint": f"https://127.0.0.1:{way.mesh[0].port}", "ca_file": way.file("ca.pem"),
        "cert_file": way.file("ours.crt"), "key_file": way.file("ours.key"), "server_name": "mesh.local",
    }  # fmt: skip
    (tmp_path / "mmctl").mkdir()
    (tmp_path / "mmctl" / "config.yaml").write_text(yaml.safe_dump({"contexts": {"secure": context}}))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert mmctl("list", "-o", "name", "--context", "secure").out == "there\n"
    said = Tls(ca_file=way.file("other.pem"), server_name="mesh.local")
    assert resolve(Target(context="secure")).tls.cert_file == way.file("ours.crt")
    assert resolve(Target(context="secure", tls=said)).tls == said


def wrong(way: Way) -> dict[str, tuple[tuple[str, ...], str, str]]:
    """Options, the scheme, and what is said after "no connection"."""
    ca, name = ("--ca-file", way.file("ca.pem")), ("--server-name", "mesh.local")
    theirs = ("--cert-file", way.file("theirs.crt"), "--key-file", way.file("theirs.key"))
    not_taken = "it wants another certificate of a client: --cert-file and --key-file give one"
    refused = "its certificate is not accepted: "
    return {
        "no TLS": ((), "", f"it speaks TLS: write https://127.0.0.1:{way.mesh[0].port}"),
        "no certificate": ((*ca, *name), "https://", not_taken),
        "another authority's certificate": ((*ca, *name, *theirs), "https://", not_taken),
        "another authority": (
            ("--ca-file", way.file("other.pem"), *name), "https://",
            f"{refused}self-signed certificate in certificate chain; --ca-file names its authority",
        ),
        "another name": (
            (*ca, "--server-name", "elsewhere.local"), "https://",
            f"{refused}Hostname mismatch, certificate is not valid for 'elsewhere.local'; "
            "--server-name says the name that is in it",
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    "case", ["no TLS", "no certificate", "another authority's certificate", "another authority", "another name"]
)
@pytest.mark.usefixtures("patient")
def test_who_does_not_get_in_is_told_why(
    way: Way, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tls, "TRY_S", GUARD_S)
    options, scheme, text = wrong(way)[case]
    ended = mmctl_here(capsys, *way.listing(*options, scheme=scheme))
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == f"error: {scheme}127.0.0.1:{way.mesh[0].port}: no connection: {text}\n"


@pytest.mark.usefixtures("patient")
def test_tls_to_a_mesh_without_it_is_told(
    full: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tls, "TRY_S", GUARD_S)
    with mesh(1) as made:
        ended = mmctl_here(capsys, *Way(made, tmp_path).listing(*full))
    address = f"127.0.0.1:{made[0].port}"
    assert ended.code == 4
    assert f"no connection: it speaks no TLS: write {address}, without options for TLS" in ended.err


@pytest.mark.parametrize(
    ("tls", "text"),
    [
        (Tls(cert_file="ours.crt"), "--key-file is missing: a certificate and its key go together"),
        (Tls(key_file="ours.key"), "--cert-file is missing: a certificate and its key go together"),
        (Tls(ca_file="nowhere.pem"), "nowhere.pem: No such file or directory"),
        (Tls(ca_file="ours.key"), "ours.key: PEM is needed, of keys that are not encrypted: no certificate"),
        (Tls(cert_file="ours.crt", key_file="theirs.key"), "ours.crt with theirs.key: PEM is needed"),
        (Tls(cert_file="locked.crt", key_file="locked.key"), "locked.crt with locked.key: PEM is needed"),
    ],
)
def test_files_that_cannot_be_used_are_told(way: Way, monkeypatch: pytest.MonkeyPatch, tls: Tls, text: str) -> None:
    monkeypatch.chdir(way.directory)
    with pytest.raises(Usage, match=text):
        tls.credentials()


def test_a_file_that_is_not_there_is_usage(way: Way) -> None:
    assert way.list("--ca-file", way.file("nowhere.pem")).code == 2


@pytest.mark.etcd
def test_instances_that_the_registry_names_are_reached_over_tls(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path)
    server.start()
    try:
        pair = CA.issue()
        given = settings(tmp_path / "files", pair, CA.pem, KV_STORE=f"etcd:http://{server.address}")
        ca_file = str(CA.write(tmp_path))
        with mesh(1, secure=as_client(CA, pair), **given) as made:
            made.client.register("m")
            kept = ("--kv-store", f"etcd:{server.address}", "--service", "test", "--prefix", "mm")
            loaded = mmctl("load", "m", "--wait", *kept, "--ca-file", ca_file, "--server-name", "mesh.local")
            assert loaded.code == 0, loaded.err
            assert made[0].fake.counts["m"].loads == 1
            refused = mmctl("load", "m", *kept)
            assert (refused.code, "it speaks TLS" in refused.err) == (4, True)
    finally:
        server.kill()


@pytest.mark.parametrize("look", [shown_certificate, lambda address: why_not(address, None)], ids=["shown", "why not"])
def test_who_says_nothing_after_the_handshake_is_left_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[str], Awaitable[bytes | str]]
) -> None:
    """A connection that is closed in good order waits for the other side, and is lost where nobody waits for that.

    Who looks may have left before the other side was done with the handshake: that is an error there alone."""
    monkeypatch.setattr(tls, "TRY_S", 0.5)
    certificate, key = CA.issue().write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        silent = pool.submit(lambda: context.wrap_socket(listening.accept()[0], server_side=True))

        async def looked() -> bytes | str:
            return await look(f"127.0.0.1:{listening.getsockname()[1]}")

        asyncio.run(looked())
        gc.collect()  # what was left open is complained of, which fails the test
        with suppress(OSError):
            silent.result().close()
