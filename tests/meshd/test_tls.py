"""Instances with certificates: what they pass on among themselves, how they renew, and whom they do not take."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd import tls_watch
from meshd.tls import Dialer
from tests.certificates import Authority
from tests.client import Client, instance_of, refused
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.secure import as_client, settings
from tests.processes import until

CA, OTHER = Authority(), Authority("another authority")
ANYONE = as_client(CA)
PEER = as_client(CA, CA.issue("peer"))


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_watch, "LOOK_S", 0.02)


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The warnings that hold a text."""

    def holding(text: str) -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        return [message for message in found if text in message]

    return holding


@pytest.fixture
def alike(tmp_path: Path) -> Iterator[Mesh]:
    """Two instances with one certificate, which is renewed with its files in ``tmp_path``."""
    with mesh(2, secure=PEER, **settings(tmp_path, CA.issue(), CA.pem)) as made:
        yield made


def served(port: int) -> bytes:
    """The certificate that a port shows."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=30).strip().encode()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often instances have looked at their files and connections."""
    look, seen = tls_watch._look, list[None]()

    async def counted(*arguments: Any) -> None:
        await look(*arguments)
        seen.append(None)

    monkeypatch.setattr(tls_watch, "_look", counted)
    return lambda: len(seen)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of instances that connections were opened to."""
    open_, addresses = Dialer.open, list[str]()

    def noted(dialer: Dialer, address: str, options: Any) -> Any:
        addresses.append(address)
        return open_(dialer, address, options)

    monkeypatch.setattr(Dialer, "open", noted)
    return addresses


def passed_on(made: Mesh, model: str, at: int = 1, asked: int = 0) -> None:
    """A request to one instance is answered by another."""
    made.client.register(model)
    made.copy(model, at)
    until(lambda: made[asked].client.holders(model) == [f"i{at}"], "the copy is known")
    assert instance_of(made[asked].client.infer(model)) == f"i{at}"


# -- alike ------------------------------------------------------------------------------------------------------


def test_requests_are_passed_on_over_mutual_tls(alike: Mesh) -> None:
    before = alike[0].metrics()["meshd_forwarded"]
    passed_on(alike, "m")
    passed_on(alike, "n", 0, 1)
    assert alike[0].metrics()["meshd_forwarded"] == before + 1
    assert alike[0].client.ensure("m").status == alike[0].client.ensure("n").status


@pytest.mark.parametrize(
    ("names", "name"), [(["*.mesh.local"], "a.mesh.local"), (["10.1.2.3"], "10.1.2.3"), ([], "mesh")]
)
def test_whatever_the_certificate_names_instances_know_each_other_by_it(
    tmp_path: Path, names: list[str], name: str
) -> None:
    secure = as_client(CA, CA.issue("peer"), name)
    with mesh(2, secure=secure, **settings(tmp_path, CA.issue("mesh", names), CA.pem)) as made:
        passed_on(made, "m")


def test_a_renewed_certificate_is_in_force_on_both_ports_without_a_restart(tmp_path: Path, opened: list[str]) -> None:
    old, new = CA.issue(), CA.issue()
    with mesh(2, secure=PEER, **settings(tmp_path, old, CA.pem)) as made:
        passed_on(made, "m")
        ports = [port for instance in made.instances for port in (instance.port, instance.mesh_port)]
        assert {served(port) for port in ports} == {old.certificate.strip()}
        new.write(tmp_path, after=CA.pem)
        until(lambda: {served(port) for port in ports} == {new.certificate.strip()}, "the new one is shown")
        address = made.client.instances()["i1"].address
        assert opened.count(address) == 1
        until(lambda: instance_of(made.client.infer("m")) == "i1" and opened.count(address) == 2, "it connects anew")


def test_a_renewal_by_symbolic_link_is_seen_and_so_is_another_authority(tmp_path: Path) -> None:
    """As Kubernetes changes what a secret holds."""
    (tmp_path / "a").mkdir()
    (tmp_path / "tls").symlink_to("a")
    both = CA.pem + OTHER.pem
    given = settings(tmp_path / "tls", CA.issue(), both)
    with mesh(2, secure=PEER, **given) as made:
        passed_on(made, "m")
        new = OTHER.issue()
        new.write(tmp_path / "b", after=both)
        (tmp_path / "next").symlink_to("b")
        (tmp_path / "next").replace(tmp_path / "tls")
        ports = [instance.mesh_port for instance in made.instances]
        until(lambda: {served(port) for port in ports} == {new.certificate.strip()}, "the new one is shown")
        with Client(f"127.0.0.1:{made[0].port}", as_client(OTHER)) as client:
            assert instance_of(client.infer("m")) == "i1"


def test_files_that_are_wrong_are_told_once_and_leave_what_was_there_in_force(
    tmp_path: Path, warned: Callable[[str], list[str]], looks: Callable[[], int]
) -> None:
    old = CA.issue()
    with mesh(1, secure=PEER, **settings(tmp_path, old, CA.pem)) as made:
        CA.issue(days=(-9, -1)).write(tmp_path)
        until(lambda: warned("what was read before stays in force"), "it is told")
        seen = looks()
        until(lambda: looks() > seen + 3, "it was looked at again")
        assert len(warned("ended on")) == 1
        assert served(made[0].port) == old.certificate.strip()
        made.client.register("m")


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path, warned: Callable[[str], list[str]]) -> None:
    with mesh(1, secure=PEER, **settings(tmp_path, CA.issue(days=(-1, 13.5)), CA.pem)):
        until(lambda: warned("ends in 13 days"), "it is told")
    assert warned("ends in") == ["the certificate of this instance ends in 13 days: renew it"]


# -- not alike --------------------------------------------------------------------------------------------------


def strangers(tmp_path: Path) -> dict[str, tuple[dict[str, str], Any, str]]:
    """Settings of an instance that others with a certificate of CA cannot take, how to speak to it, what is told."""
    ours, theirs = CA.issue(), OTHER.issue()
    plain = settings(tmp_path / "plain", ours, CA.pem, MM_ENABLE_SSL="false")
    return {
        "another authority": (
            settings(tmp_path / "theirs", theirs, OTHER.pem), as_client(OTHER, theirs),
            "shows a certificate that is not accepted: self-signed certificate in certificate chain",
        ),
        "no TLS": (plain, ANYONE, "does not speak TLS on its mesh port"),
        "another name": (
            settings(tmp_path / "named", CA.issue("mesh", ["elsewhere.local"]), CA.pem),
            as_client(CA, ours, "elsewhere.local"),
            "shows a certificate that is not accepted: Hostname mismatch",
        ),
        "it trusts others": (
            settings(
                tmp_path / "distrustful", CA.issue(), MM_INTERNAL_TRUST_CERTS=str(tmp_path / "distrustful/tls.crt")
            ), PEER, "does not accept the certificate of this one",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", ["another authority", "no TLS", "another name", "it trusts others"])
def test_an_instance_that_cannot_be_taken_is_told_once_and_requests_go_elsewhere(
    tmp_path: Path, warned: Callable[[str], list[str]], looks: Callable[[], int], case: str
) -> None:
    given, secure, text = strangers(tmp_path)[case]
    with mesh(1, secure=PEER, **settings(tmp_path / "ours", CA.issue(), CA.pem)) as made:
        made.add(secure=secure, **given)
        made.client.register("m")
        made[1].client.ensure("m", sync=True)
        until(lambda: made.client.holders("m") == ["i1"], "its copy is known")
        assert instance_of(made.client.infer("m")) == "i0"
        address = made.client.instances()["i1"].address
        until(lambda: warned(address), "it is told")
        seen = looks()
        until(lambda: looks() > seen + 4, "it was looked at again")
        (message,) = warned(address)
        assert text in message
        assert message.endswith("; requests go elsewhere")
        assert instance_of(made[1].client.infer("m")) == "i1"


# -- limits -----------------------------------------------------------------------------------------------------


def test_headers_above_the_limit_are_refused_on_the_external_port_alone() -> None:
    with mesh(2, MM_SVC_GRPC_MAX_HEADERS_SIZE="4096") as made:
        passed_on(made, "m")
        for size, is_refused in ((3000, False), (3900, True), (5000, True), (100_000, True)):
            large = (("x", "a" * size),)
            if is_refused:
                code, text = refused(lambda large=large: made.client.infer("m", metadata=large))  # type: ignore[misc]
                assert (code, "received metadata size exceeds hard limit" in text) == ("RESOURCE_EXHAUSTED", True)
            else:
                assert instance_of(made.client.infer("m", metadata=large)) == "i1"
        assert made[1].fake.counts["m"].infers == 2


def test_a_connection_that_is_old_is_ended_and_calls_go_on_over_another() -> None:
    with mesh(1, MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS="1") as made:
        made.client.register("m")
        states = list[str]()
        made.client.channel.subscribe(lambda state: states.append(state.name))
        assert made.client.infer("m").body == b"hello"
        until(lambda: "READY" in states and "IDLE" in states[states.index("READY") :], "it is ended")
        assert made.client.infer("m").body == b"hello"
