"""An etcd that speaks TLS and lets in only who shows a certificate, and what is said where that comes to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from meshcore.kv import ANY, Committed, Write
from meshd.store.base import StoreRefused, StoreUnavailable
from meshd.store.connect import open_store, parse_kv_store
from protos import etcd_pb2, etcd_pb2_grpc
from tests.certificates import Authority
from tests.etcd import EtcdServer
from tests.processes import free_port, until
from tests.store.places import run

pytestmark = pytest.mark.etcd

NAME = "etcd.local"
GUARD_S = 60


def write_certificates(directory: Path, valid_until_day: int = 1) -> None:
    """ca.pem, and mesh.pem with mesh.key signed by it for NAME alone; good until so many days from now."""
    authority = Authority()
    authority.write(directory)
    certificate, _ = authority.issue(NAME, [NAME], days=(-9, valid_until_day)).write(directory, "mesh")
    certificate.rename(directory / "mesh.pem")


class Secure:
    """An etcd with certificates in ``directory``; ``kv_store`` names a file beside them with these attributes."""

    def __init__(self, directory: Path, valid_until_day: int = 1) -> None:
        write_certificates(directory, valid_until_day)
        write_certificates(directory / "other")
        self.directory = directory
        options = [
            f"--cert-file={directory / 'mesh.pem'}",
            f"--key-file={directory / 'mesh.key'}",
            f"--trusted-ca-file={directory / 'ca.pem'}",
            "--client-cert-auth",
        ]
        self.server = EtcdServer(directory, options, scheme="https")

    def kv_store(self, **changes: Any) -> str:
        """All as it should be but for ``changes``; None leaves an attribute out."""
        attributes = {
            "endpoints": self.server.address,
            "certificate_file": "ca.pem",
            "client_key_file": "mesh.key",
            "client_certificate_file": "mesh.pem",
            "override_authority": NAME,
            **changes,
        }
        file = self.directory / "kv.json"
        file.write_text(json.dumps({name: value for name, value in attributes.items() if value is not None}))
        return f"etcd:{file}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    made = Secure(tmp_path_factory.mktemp("secure"))
    made.server.start()
    yield made
    made.server.kill()


def checked(kv_store: str, timeout_s: float = 1.0) -> str:
    """What a check of the connection comes to: empty, or the sentence."""

    async def test() -> str:
        store = open_store(parse_kv_store(kv_store), Random(1))
        try:
            await store.check(timeout_s)
            assert isinstance(await store.commit(Write("a", ANY, b"1")), Committed)
        except StoreUnavailable as error:
            return str(error)
        finally:
            await store.close()
        return ""

    return run(test())


def told(kv_store: str, cause: str) -> str:
    """The sentence of a check that had time enough to find the cause."""

    def look() -> str:
        sentence = checked(kv_store)
        return sentence if cause in sentence else ""

    return until(look, f"{cause!r} is told")


def test_etcd_is_spoken_to_over_mutual_tls_under_another_name(secure: Secure) -> None:
    assert checked(secure.kv_store(), 10) == ""
    texts = {name: (secure.directory / name).read_text() for name in ("ca.pem", "mesh.key", "mesh.pem")}
    inline = secure.kv_store(
        certificate=texts["ca.pem"], client_key=texts["mesh.key"], client_certificate=texts["mesh.pem"],
        certificate_file=None, client_key_file=None, client_certificate_file=None, tls_mode="TLS",
    )  # fmt: skip
    assert checked(inline, 10) == ""


NO_CLIENT = {"client_key_file": None, "client_certificate_file": None}
OTHERS = {"client_key_file": "other/mesh.key", "client_certificate_file": "other/mesh.pem"}
NOT_ACCEPTED = "it does not accept this client's certificate, or wants one: see client_certificate"

WRONG = [
    ({"certificate_file": "other/ca.pem"}, "its certificate is of another authority: see certificate"),
    ({"override_authority": None}, "its certificate is for another name: see override_authority"),
    (NO_CLIENT, NOT_ACCEPTED),
    (OTHERS, NOT_ACCEPTED),
    ({"client_key_file": "other/mesh.key"}, "client_key and client_certificate are not a pair"),
    ({"tls_mode": "PLAINTEXT"}, "it hangs up, as an etcd that speaks TLS only: see tls_mode"),
]


@pytest.mark.parametrize(("changes", "cause"), WRONG)
def test_handshake_that_fails_is_told_with_its_endpoint_and_cause(
    secure: Secure, changes: dict[str, Any], cause: str
) -> None:
    sentence = told(secure.kv_store(**changes), cause)
    begin = f"Problem connecting to etcd: no answer from etcd at {secure.server.address} within 1 s: "
    assert sentence.startswith(begin)


def test_certificate_that_has_expired_is_told_as_that(tmp_path: Path) -> None:
    expired = Secure(tmp_path, valid_until_day=-1)
    expired.server.start()
    try:
        told(expired.kv_store(), ": its certificate has expired (")
    finally:
        expired.server.kill()


def test_plain_etcd_that_is_asked_for_tls_is_told_as_that(secure: Secure, own_server: EtcdServer) -> None:
    told(secure.kv_store(endpoints=f"https://{own_server.address}"), ": it does not speak TLS: see tls_mode (")


@pytest.mark.e2e
@pytest.mark.parametrize(("changes", "cause"), WRONG[:3])
def test_start_ends_in_one_line_that_says_so(secure: Secure, changes: dict[str, Any], cause: str) -> None:
    reason = secure.directory / "reason"
    names = ("MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT", "MM_PRESTOP_WAIT_PORT")
    env = {
        "PATH": os.environ["PATH"], "MM_SERVICE_NAME": "svc", "MM_BIND": "127.0.0.1", "MM_METRICS": "disabled",
        "KV_STORE": secure.kv_store(**changes), "LL_TERMINATION_MSG_PATH": str(reason),
        **{name: str(free_port()) for name in names},
    }  # fmt: skip
    command = [sys.executable, "-m", "meshd"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f" {secure.server.address} " in line
    assert cause in line
    assert reason.read_text().startswith("Service startup failed: Problem connecting to etcd")


def test_user_with_a_password_is_let_in_over_mutual_tls_and_another_is_not(tmp_path: Path) -> None:
    both = Secure(tmp_path)
    credentials = grpc.ssl_channel_credentials(
        *((tmp_path / name).read_bytes() for name in ("ca.pem", "mesh.key", "mesh.pem"))
    )

    async def enable_users() -> None:
        named = (("grpc.ssl_target_name_override", NAME),)
        async with grpc.aio.secure_channel(both.server.address, credentials, named) as channel:
            auth = etcd_pb2_grpc.AuthStub(channel)
            await auth.UserAdd(etcd_pb2.AuthUserAddRequest(name="root", password="root's"))
            await auth.RoleAdd(etcd_pb2.AuthRoleAddRequest(name="root"))
            await auth.UserGrantRole(etcd_pb2.AuthUserGrantRoleRequest(user="root", role="root"))
            await auth.AuthEnable(etcd_pb2.AuthEnableRequest())

    async def refused() -> None:
        store = open_store(parse_kv_store(both.kv_store(userid="root", password="wrong")), Random(1))
        with pytest.raises(StoreRefused, match=r"Problem connecting to etcd: etcd refused: .*authentication failed"):
            await store.check(5)
        await store.close()

    both.server.start()
    try:
        run(enable_users())
        assert checked(both.kv_store(userid="root", password="root's"), 10) == ""
        run(refused())
    finally:
        both.server.kill()
