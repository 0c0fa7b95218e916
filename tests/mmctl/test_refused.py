"""A registry that may only be read, one that answers slowly, and names of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from meshcore.kv import ANY, Write
from meshcore.records import ModelRecord
from mmctl import registry
from mmctl.__main__ import run
from protos import etcd_pb2, etcd_pb2_grpc
from tests.client import GUARD_S
from tests.etcd import EtcdServer
from tests.store.places import etcd_client

pytestmark = pytest.mark.etcd

ROOT = "/tas-runtime/mesh/"
NAMES = ["with blank", "a/b//c", "ünï/名前/🧪", "line\nbreak", "[bold]x[/bold]", "'\"$`", "x" * 4096, "é" * 2048]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EtcdServer]:
    monkeypatch.setattr(registry, "CHECK_S", GUARD_S)
    server = EtcdServer(tmp_path).start()
    yield server
    server.kill()


async def _only_readers(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        auth = etcd_pb2_grpc.AuthStub(channel)
        for name in ("root", "reader"):
            await auth.UserAdd(etcd_pb2.AuthUserAddRequest(name=name, password="secret"))
            await auth.RoleAdd(etcd_pb2.AuthRoleAddRequest(name=name))
            await auth.UserGrantRole(etcd_pb2.AuthUserGrantRoleRequest(user=name, role=name))
        permission = etcd_pb2.Permission(permType=etcd_pb2.Permission.READ, key=b"/", range_end=b"0")
        await auth.RoleGrantPermission(etcd_pb2.AuthRoleGrantPermissionRequest(name="reader", perm=permission))
        await auth.AuthEnable(etcd_pb2.AuthEnableRequest())


def test_who_may_only_read_is_told_so_once_and_nothing_is_done(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        store = etcd_client(server.address)
        await store.commit(Write(f"{ROOT}registry/there", ANY, ModelRecord("t").encode()))
        await store.close()
        await _only_readers(server.address)

    asyncio.run(prepare())
    secret = tmp_path / "etcd.json"
    secret.write_text(json.dumps({"endpoints": f"http://{server.address}", "userid": "reader", "password": "secret"}))
    way = ["--kv-store", f"etcd:{secret}", "--service", "mesh"]
    models = tmp_path / "models.jsonl"
    models.write_text("\n".join(json.dumps({"name": f"m{at}", "type": "t"}) for at in range(500)))
    assert run(["list", "-o", "name", *way]) == 0
    assert capsys.readouterr().out == "there\n"
    for command in (
        ["register", "-f", str(models)],
        ["apply", "-f", str(models), "--yes"],
        ["unregister", "there"],
        ["set", "there", "--pin"],
    ):
        assert run([*command, *way]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        error = shown.err.splitlines()[-1]
        assert error.startswith("error: etcd refused: etcdserver: permission denied: its user may not: grant its role")
    assert run(["list", "-o", "name", *way]) == 0
    assert capsys.readouterr().out == "there\n"


def test_registry_that_does_not_answer_in_time_is_unavailable(
    server: EtcdServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ["--kv-store", f"etcd:{server.address}", "--service", "mesh"]
    monkeypatch.setattr(registry, "CHECK_S", 0.2)
    server.freeze()
    for command in (["list"], ["register", "a", "--type", "t"], ["export"], ["wait", "a"]):
        assert run([*command, *way]) == 4
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("error: Problem connecting to etcd: ")
    server.thaw()


def test_names_of_every_kind_are_registered_shown_exported_and_applied_again(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ["--kv-store", f"etcd:{server.address}", "--service", "mesh"]
    file = tmp_path / "names.jsonl"
    file.write_text("\n".join(json.dumps({"name": name, "type": "t", "path": name}) for name in NAMES))
    assert run(["register", "-f", str(file), *way]) == 0
    for name in NAMES:
        capsys.readouterr()
        assert run(["get", "-o", "json", *way, "--", name]) == 0
        assert json.loads(capsys.readouterr().out)["path"] == name
    for language in ("yaml", "jsonl"):
        assert run(["export", "-o", language, *way]) == 0
        exported = tmp_path / f"export.{language}"
        exported.write_text(capsys.readouterr().out, encoding="utf-8")
        assert run(["diff", "-f", str(exported), *way]) == 0
    assert run(["unregister", "--yes", "-f", str(exported), *way]) == 0
    capsys.readouterr()
    assert run(["export", *way]) == 0
    assert capsys.readouterr().out == ""
    assert run(["apply", "--yes", "-f", str(tmp_path / "export.yaml"), *way]) == 0
    capsys.readouterr()
    assert run(["list", "-o", "json", *way]) == 0
    assert sorted(one["id"] for one in json.loads(capsys.readouterr().out)) == sorted(NAMES)


def test_many_models_of_long_names_fit_in_their_transactions(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ["--kv-store", f"etcd:{server.address}", "--service", "mesh"]
    file = tmp_path / "long.jsonl"
    file.write_text("\n".join(json.dumps({"name": f"{at:04}{'n' * 4_092}", "type": "t"}) for at in range(300)))
    assert run(["register", "-f", str(file), "-o", "json", *way]) == 0
    assert {one["result"] for one in json.loads(capsys.readouterr().out)} == {"created"}
