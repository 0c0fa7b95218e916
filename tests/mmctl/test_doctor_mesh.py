"""`mmctl doctor` and `mmctl debug bundle` on a mesh that is up, as processes, with secrets planted everywhere."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.freezing import freeze, thaw
from tests.mmctl.meshes import mesh, mmctl, mmctl_here, process
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.usefixtures("patient_doctor")]

LOADED = '{"secret_access_key": "planted-in-a-key"}'
STATUS, CLOCKS = "2 instances, 0 models", "3 clocks within 2 s of this machine's"
PLANTED = ("planted-in-a-key", "planted-in-a-path", "planted-in-settings", "planted-in-a-log")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with mesh(
        tmp_path_factory.mktemp("mesh") / "data", "--instances", "2", "--runtime", "fake", "--capacity", "64MiB",
        "--set", "MM_TLS_PRIVATE_KEY_PASSPHRASE=planted-in-settings",
        "--set", "MM_LEASE_TTL_SECS=600",  # who stands still is still known
    ) as plan:  # fmt: skip
        yield plan


def where(up: dict[str, Any]) -> tuple[str, str]:
    return "--data-dir", up["data_dir"]


def test_a_mesh_that_is_well_has_no_problem_and_progress_stays_out_of_a_pipe(up: dict[str, Any]) -> None:
    def look() -> Any:
        """None: an instance was behind, or did not answer in time, as on a busy host."""
        ended = mmctl("doctor", *where(up), "--skip", "etcd-latency", "-o", "json")
        assert ended.err == ""
        is_well = ended.code == 0 and STATUS in ended.out and CLOCKS in ended.out
        return ended if is_well and "cannot be reached" not in ended.out else None

    ended = until(look, "the mesh is well")
    checks = {finding["check"]: finding for finding in ended.json}
    assert [*checks["kv-store"]] == ["check", "level", "where", "what", "do"]
    assert checks["status"]["what"] == STATUS
    ports = [(each["where"], each["level"]) for each in ended.json if each["check"] in ("ports", "mesh-port")]
    assert [level for _, level in ports] == ["ok"] * 4
    assert checks["clocks"]["what"] == CLOCKS


def test_the_registry_alone_tells_as_much_of_etcd_and_less_of_ports(
    up: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    way = ("--kv-store", up["kv_store"], "--service", "mesh")
    only = ("--only", "etcd-permission", "--only", "ports", "--only", "status")

    def look(*words: str) -> Any:
        """None: an instance was behind, or did not answer in time, as on a busy host."""
        ended = mmctl_here(capsys, "doctor", *way, *words)
        return ended if ended.code == 0 else None

    ended = until(lambda: look(*only, "-o", "json"), "the mesh is well")
    assert {finding["check"] for finding in ended.json} == {"etcd-permission", "ports", "status"}
    assert "where its probes are is not known" in ended.out
    table = until(lambda: look("--only", "status"), "the mesh is well")
    assert table.out.splitlines()[0].split() == ["LEVEL", "CHECK", "WHERE", "WHAT"]
    assert table.err == "1 ok\n"
    wrong = mmctl_here(capsys, "doctor", *way, "--only", "port")
    assert wrong.code == 2
    assert "did you mean 'ports'?" in wrong.err


def test_the_runtime_of_an_instance_is_left_alone_without_force(
    up: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = process(up, "mesh-0-runtime")["ports"].values()
    ended = mmctl_here(capsys, "doctor", "--runtime", f"localhost:{port}", "--model-type", "fake", "--model-path", "x")
    assert ended.code == 1
    assert "somebody uses it, and the run would make it drop all its models" in ended.err
    assert ended.out == ""
    assert mmctl_here(capsys, "doctor", "--runtime", "192.0.2.1:1").code == 1
    assert mmctl_here(capsys, "doctor", "--runtime", "nowhere").code == 2


def test_a_bundle_has_all_there_is_and_no_secret_and_notes_who_is_silent(
    up: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = [
        {"name": "m/1", "type": "fake", "path": "s3://u:planted-in-a-path@b/x", "key": LOADED},
        {"name": "m/2", "type": "fake", "path": "fake:?fail=INTERNAL&fail_text=planted-in-a-key", "load": True},
    ]
    assert mmctl("register", "-f", "-", *where(up), stdin=json.dumps(spec)).code == 0
    log = Path(up["data_dir"]) / "logs" / "mesh-1.log"
    with log.open("a") as file:
        file.write("connecting with password=planted-in-a-log\n")
    silent = process(up, "mesh-1")["pid"]
    freeze(silent)
    try:
        out = tmp_path / "b.tar.gz"
        ended = mmctl("debug", "bundle", *where(up), "--out", str(out), "-o", "json")
    finally:
        thaw(silent)
    assert ended.code == 0, ended.err
    assert ended.json["path"] == str(out)
    missing = {each["part"]: each["why"] for each in ended.json["missing"]}
    assert missing["metrics/mesh-1.txt"].startswith("mesh-1 does not answer: ")
    with tarfile.open(out) as tar:
        files = {member.name.removeprefix("b/"): tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]
    assert set(files) == set(ended.json["parts"])
    told = ("about", "instances", "settings", "etcd", "doctor", "local/state", "missing")
    logs = {"logs/mesh-0.log", "logs/mesh-1.log", "logs/etcd.log", "metrics/mesh-0.txt"}
    assert {*(f"{name}.json" for name in told), *logs} <= set(files)
    assert json.loads(files["missing.json"]) == missing
    for secret in PLANTED:
        assert [name for name, text in files.items() if secret in text] == [], secret
    models = [json.loads(line) for line in files["models.jsonl"].splitlines()]
    assert [(model["id"], model["key"]) for model in models] == [("m/1", "***"), ("m/2", "")]
    assert "password=***" in files["logs/mesh-1.log"]
    assert mmctl_here(capsys, "debug", "bundle", *where(up), "--out", str(out)).code == 1, "nothing is written over"


def test_a_bundle_by_the_registry_tells_nothing_of_its_secret(
    up: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Authority().issue().key.decode()
    secret = {"endpoints": up["kv_store"].removeprefix("etcd:"), "userid": "mesh", "password": "planted-in-kv-store",
              "tls_mode": "PLAINTEXT", "client_key": key, "client_certificate": Authority().pem.decode()}  # fmt: skip
    (tmp_path / "etcd.json").write_text(json.dumps(secret))
    model = {"name": "m/3", "type": "planted-in-kv-store", "path": key.splitlines()[1], "key": "short but a key"}
    assert mmctl("register", "-f", "-", *where(up), stdin=json.dumps(model)).code == 0
    way = ("--kv-store", f"etcd:{tmp_path / 'etcd.json'}", "--service", "mesh")
    for options, shown in (((), "***"), (("--with-keys", "--all"), "short but a key")):
        out = tmp_path / f"{len(options)}.tar.gz"
        assert mmctl_here(capsys, "debug", "bundle", *way, "--out", str(out), *options).code == 0
        with tarfile.open(out) as tar:
            files = {member.name.partition("/")[2]: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]
        assert not [
            name for name, text in files.items() if "planted-in-kv-store" in text or key.splitlines()[1] in text
        ]
        models = {each["id"]: each for each in map(json.loads, files["models.jsonl"].splitlines())}
        assert models["m/3"]["key"] == shown
        assert "etcd.json" in files


def test_no_mesh_is_no_bundle_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = mmctl_here(
        capsys, "debug", "bundle", "--data-dir", str(tmp_path / "x"), "--out", str(tmp_path / "b.tar.gz")
    )
    assert ended.code == 4
    assert list(tmp_path.iterdir()) == []
