"""What the doctor says of an etcd: of a real one that is well, full, closed to its user, or away; and by tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshd.store.etcd_text import range_of
from mmctl.connect import Target
from mmctl.doctor import etcd_look, etcd_rules
from mmctl.doctor.check import examine
from mmctl.doctor.etcd_look import Endpoint, Etcd
from mmctl.doctor.finding import Finding, Level
from mmctl.doctor.store_checks import store_checks
from mmctl.doctor.subject import examined
from protos import etcd_pb2, etcd_pb2_grpc
from tests.certificates import Authority
from tests.etcd import EtcdServer
from tests.mmctl.meshes import mmctl_here
from tests.mmctl.ways import NOBODY

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("patient_doctor")]

ROOT = "/tas-runtime/mesh/"
QUOTA = 64 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that is soon full."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"), [f"--quota-backend-bytes={QUOTA}"]).start()
    yield server
    server.kill()


def found_of(kv_store: str) -> list[Finding]:
    """What the checks on the store find, with no instance up."""

    async def scene() -> list[Finding]:
        target = Target(kv_store=kv_store, service="mesh")
        async with examined(target, {}) as subject:
            return await examine(store_checks(subject), lambda name, left: None)

    return asyncio.run(scene())


def levels(found: list[Finding]) -> dict[str, Level]:
    """The worst of each check."""
    order = list(Level)
    worst: dict[str, Level] = {}
    for finding in found:
        worst[finding.check] = max(worst.get(finding.check, Level.OK), finding.level, key=order.index)
    return worst


def said(found: list[Finding], check: str) -> str:
    return " | ".join(f"{finding.where}: {finding.what}: {finding.do}" for finding in found if finding.check == check)


def asked(address: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    async def scene() -> Any:
        async with grpc.aio.insecure_channel(address) as channel:
            return await ask(channel)

    return asyncio.run(scene())


async def until_refused(kv: Any) -> None:
    while True:
        await kv.Put(etcd_pb2.PutRequest(key=b"a", value=b"x" * 8_000))


def test_an_etcd_that_is_well_is_changed_by_nothing_and_then_named_when_it_is_full(small: EtcdServer) -> None:
    async def revision(channel: Any) -> int:
        reply = await etcd_pb2_grpc.KVStub(channel).Range(etcd_pb2.RangeRequest(key=b"a"))
        return int(reply.header.revision)

    before = asked(small.address, revision)
    found = found_of(f"etcd:{small.address}")
    busy_here = ("etcd-latency",)
    assert [name for name, level in levels(found).items() if level is Level.PROBLEM and name not in busy_here] == []
    assert levels(found)["etcd-permission"] is Level.OK
    assert asked(small.address, revision) == before

    async def fill_and_compact(channel: Any) -> None:
        kv = etcd_pb2_grpc.KVStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="space exceeded"):
            await until_refused(kv)
        reply = await kv.Range(etcd_pb2.RangeRequest(key=b"a"))
        await kv.Compact(etcd_pb2.CompactionRequest(revision=reply.header.revision, physical=True))

    asked(small.address, fill_and_compact)
    full = found_of(f"etcd:{small.address}")
    assert levels(full)["etcd-alarms"] is Level.PROBLEM
    assert "alarm NOSPACE: it takes no writes" in said(full, "etcd-alarms")
    assert "etcdctl alarm disarm" in said(full, "etcd-alarms")
    assert levels(full)["etcd-space"] is Level.PROBLEM
    assert "of 64 KiB used" in said(full, "etcd-space")
    assert "nothing can be written" in said(full, "etcd-permission")
    assert levels(full)["etcd-reachable"] is Level.OK

    async def do_what_it_says(channel: Any) -> None:
        await channel.unary_unary("/etcdserverpb.Maintenance/Defragment")(b"")
        maintenance = etcd_pb2_grpc.MaintenanceStub(channel)
        for raised in (await maintenance.Alarm(etcd_pb2.AlarmRequest(action=etcd_pb2.AlarmRequest.GET))).alarms:
            disarm = etcd_pb2.AlarmRequest.DEACTIVATE
            request = etcd_pb2.AlarmRequest(action=disarm, memberID=raised.memberID, alarm=raised.alarm)
            await maintenance.Alarm(request)

    asked(small.address, do_what_it_says)
    again = levels(found_of(f"etcd:{small.address}"))
    assert again["etcd-alarms"] is Level.OK
    assert again["etcd-permission"] is Level.OK


def test_a_user_without_permission_is_told_which_part_is_closed(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, ["--bcrypt-cost=4"]).start()

    async def enable(channel: Any) -> None:
        auth = etcd_pb2_grpc.AuthStub(channel)
        for name in ("root", "reader", "half", "nobody"):
            await auth.UserAdd(etcd_pb2.AuthUserAddRequest(name=name, password=f"{name}'s"))
            await auth.RoleAdd(etcd_pb2.AuthRoleAddRequest(name=name))
            await auth.UserGrantRole(etcd_pb2.AuthUserGrantRoleRequest(user=name, role=name))

        async def grant(role: str, kind: int, prefix: str) -> None:
            key, end = range_of(prefix)
            permission = etcd_pb2.Permission(permType=kind, key=key, range_end=end)
            await auth.RoleGrantPermission(etcd_pb2.AuthRoleGrantPermissionRequest(name=role, perm=permission))

        kinds = etcd_pb2.Permission
        await grant("reader", kinds.READ, ROOT)
        await grant("half", kinds.READ, ROOT)
        await grant("half", kinds.WRITE, f"{ROOT}instances/")
        await grant("half", kinds.WRITE, f"{ROOT}leaderLatch/")
        await auth.AuthEnable(etcd_pb2.AuthEnableRequest())

    try:
        asked(server.address, enable)

        def as_user(name: str, password: str = "") -> list[Finding]:
            file = tmp_path / f"{name}.json"
            secret = {"endpoints": server.address, "userid": name, "password": password or f"{name}'s"}
            file.write_text(json.dumps(secret))
            return found_of(f"etcd:{file}")

        reader, half, nobody = as_user("reader"), as_user("half"), as_user("nobody")
        assert "may not write registry/, vmodels/, instances/, leaderLatch/" in said(reader, "etcd-permission")
        assert "may not write registry/, vmodels/, config/, meshd/:" in said(half, "etcd-permission")
        assert f"{ROOT}: cannot be read" in said(nobody, "etcd-permission")
        assert "grant its role readwrite on /tas-runtime/mesh/" in said(nobody, "etcd-permission")
        assert "the password goes to etcd in the clear" in said(half, "kv-store")
        wrong = as_user("half", "another")
        assert "authentication failed" in said(wrong, "etcd-permission")
        assert not [finding for finding in half if "half's" in f"{finding.what}{finding.do}"], "no password is told"
    finally:
        server.kill()


def test_an_endpoint_that_is_away_is_named_beside_one_that_answers(small: EtcdServer) -> None:
    found = found_of(f"etcd:{NOBODY},{small.address}")
    assert levels(found)["etcd-reachable"] is Level.WARNING
    assert f"{NOBODY}: nobody listens there" in said(found, "etcd-reachable")
    alone = found_of(f"etcd:{NOBODY}")
    assert levels(alone)["etcd-reachable"] is Level.PROBLEM
    assert "not looked at: no endpoint of etcd answers" in said(alone, "etcd-alarms")


def test_an_endpoint_that_says_nothing_is_told_in_words(small: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_look, "CALL_S", 0.2)
    small.freeze()
    try:
        found = found_of(f"etcd:{small.address}")
    finally:
        small.thaw()
    assert f"{small.address}: no answer within 0.2 s" in said(found, "etcd-reachable")


def test_etcd_with_tls_has_its_certificate_looked_at(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("etcd", ("localhost", "127.0.0.1"), days=(-1, 12)).write(tmp_path)
    options = [f"--cert-file={certificate}", f"--key-file={key}"]
    server = EtcdServer(tmp_path, options, scheme="https").start()
    try:
        secret = {"endpoints": f"https://{server.address}", "certificate": authority.pem.decode(), "certificte": "x"}
        (tmp_path / "etcd.json").write_text(json.dumps(secret))
        found = found_of(f"etcd:{tmp_path / 'etcd.json'}")
        assert "etcd expires in 11 days" in said(found, "etcd-certificates")
        assert "certificte is ignored: did you mean certificate?" in said(found, "kv-store")
        assert levels(found)["etcd-reachable"] is Level.OK
        stranger = {**secret, "certificate": Authority("another").pem.decode()}
        (tmp_path / "etcd.json").write_text(json.dumps(stranger))
        found = found_of(f"etcd:{tmp_path / 'etcd.json'}")
        assert "test authority, which signed etcd, is neither shown nor trusted" in said(found, "etcd-certificates")
        assert "its certificate is of another authority" in said(found, "etcd-reachable")
    finally:
        server.kill()


def test_a_secret_that_cannot_be_read_is_a_problem_and_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etcd.json").write_text('{"endpoints": "etcd:1", "userid": "u"}')
    way = ("--kv-store", f"etcd:{tmp_path / 'etcd.json'}", "--service", "m")
    ended = mmctl_here(capsys, "doctor", *way, "--only", "kv-store", "-o", "json")
    assert ended.code == 1
    (finding,) = ended.json
    assert (finding["check"], finding["level"]) == ("kv-store", "problem")
    assert "password is missing" in finding["what"]


@pytest.mark.parametrize("text", [None, "", "[" * 100_000, "\xff"], ids=["directory", "empty", "deep", "bytes"])
def test_a_secret_that_cannot_be_read_is_told_once_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    file = tmp_path / "etcd.json"
    file.mkdir() if text is None else file.write_bytes(text.encode("latin-1"))
    ended = mmctl_here(capsys, "doctor", "--kv-store", f"etcd:{file}", "--service", "m", "-o", "json")
    assert ended.code == 1
    (wrong,) = (finding for finding in ended.json if finding["level"] == "problem")
    assert wrong["check"] == "kv-store"
    assert str(file) in wrong["what"]
    assert wrong["do"]


def test_a_large_secret_is_read_and_a_long_list_of_endpoints_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etcd.json").write_text(json.dumps({"endpoints": "etcd:1", "x": "x" * 10_000_000}))
    many = ",".join(f"etcd-{at}:2379" for at in range(1_000))
    for kv_store in (f"etcd:{tmp_path / 'etcd.json'}", f"etcd:{many}"):
        ended = mmctl_here(capsys, "doctor", "--kv-store", kv_store, "--service", "m", "--only", "kv-store")
        assert ended.code == 0, ended.out[-500:]


A = Endpoint("a:1", version="3.5.9", cluster=1, member=1, leader=1, size_bytes=10 << 20, used_bytes=9 << 20,
             quota_bytes=100 << 20)  # fmt: skip


def with_(**fields: Any) -> Etcd:
    return Etcd((replace(A, **fields),), read_ms=1.0, commit_ms=2.0)


@pytest.mark.parametrize(
    ("rule", "etcd", "level", "words"),
    [
        (etcd_rules.version, with_(), Level.OK, "etcd 3.5.9"),
        (etcd_rules.version, with_(version="3.5.0"), Level.PROBLEM, "known to lose consistency"),
        (etcd_rules.version, with_(version="3.5.2"), Level.PROBLEM, "known to lose consistency"),
        (etcd_rules.version, with_(version="3.5.3"), Level.OK, "etcd 3.5.3"),
        (etcd_rules.version, with_(version="3.3.27"), Level.PROBLEM, "too old"),
        (etcd_rules.version, with_(version="3.4.23"), Level.NOTE, "old line"),
        (etcd_rules.version, with_(version="3.6.0-rc.1"), Level.OK, "3.6.0-rc.1"),
        (etcd_rules.version, with_(version="next"), Level.NOTE, "its version is 'next'"),
        (etcd_rules.version, Etcd((A, Endpoint("b:1", version="3.5.8"))), Level.WARNING, "different versions"),
        (etcd_rules.latency, with_(), Level.OK, "read 1.0 ms, commit 2.0 ms"),
        (etcd_rules.latency, Etcd((A,), read_ms=51.0, commit_ms=2.0), Level.WARNING, "slowly"),
        (etcd_rules.latency, Etcd((A,), read_ms=1.0, commit_ms=101.0), Level.WARNING, "slowly"),
        (etcd_rules.latency, Etcd((A,), read_ms=1.0, commit_ms=1_001.0), Level.PROBLEM, "slowly"),
        (etcd_rules.latency, Etcd((A,), read_ms=1.0), Level.OK, "no commit"),
        (etcd_rules.latency, Etcd((A,)), Level.PROBLEM, "neither"),
        (etcd_rules.alarms, Etcd((A,), (("CORRUPT", "m1"),)), Level.PROBLEM, "its data differs"),
        (etcd_rules.alarms, Etcd((A,), alarms_failure="no"), Level.NOTE, "cannot be read"),
        (etcd_rules.alarms, with_(errors=("memberID:1 alarm:NOSPACE",)), Level.PROBLEM, "alarm:NOSPACE"),
        (etcd_rules.space, with_(size_bytes=81 << 20), Level.WARNING, "81% of 100 MiB"),
        (etcd_rules.space, with_(size_bytes=96 << 20), Level.PROBLEM, "96% of 100 MiB"),
        (etcd_rules.space, with_(quota_bytes=0), Level.NOTE, "quota cannot be read"),
        (etcd_rules.space, with_(size_bytes=2 << 30, quota_bytes=8 << 30), Level.NOTE, "empty"),
        (etcd_rules.members, with_(leader=0), Level.PROBLEM, "knows no leader"),
        (etcd_rules.members, with_(is_learner=True), Level.WARNING, "learner"),
        (etcd_rules.members, Etcd((A, Endpoint("b:1", cluster=2, leader=1))), Level.PROBLEM, "different clusters"),
        (etcd_rules.members, Etcd((A, Endpoint("b:1", cluster=1, leader=2))), Level.WARNING, "different leaders"),
        (etcd_rules.members, Etcd((A,), voters=("x", "y")), Level.NOTE, "bear no more failures than 1"),
        (etcd_rules.members, Etcd((A,), voters=("x", "y", "z")), Level.OK, "3 members"),
    ],
)  # fmt: skip
def test_rules_on_what_was_seen(rule: Any, etcd: Etcd, level: Level, words: str) -> None:
    found = rule(etcd)
    assert any(finding.level is level and words in finding.what for finding in found), found
    assert all(finding.do for finding in found if finding.level in (Level.WARNING, Level.PROBLEM))


def test_without_a_leader_no_permission_is_missing() -> None:
    (finding,) = etcd_rules.permission(Etcd((replace(A, leader=0),), read="etcdserver: no leader"), ROOT)
    assert finding.level is Level.PROBLEM
    assert "etcd-members" in finding.do
    (denied,) = etcd_rules.permission(Etcd((A,), read="permission denied"), ROOT)
    assert "grant its role" in denied.do
