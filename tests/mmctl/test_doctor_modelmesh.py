"""What stands in the way of a switch from ModelMesh: its registry, its pods, its environment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from meshd.store.etcd_channel import Endpoint, EtcdConfig
from mmctl.doctor import deployment, etcd_look, modelmesh_rules
from mmctl.doctor.environment import Tried, tried
from mmctl.doctor.finding import Finding, Level
from mmctl.doctor.survey import Survey
from mmctl.errors import NotFound, Unavailable, Usage
from protos import etcd_pb2, etcd_pb2_grpc
from tests.etcd import EtcdServer
from tests.mmctl.meshes import mmctl_here
from tests.mmctl.ways import NOBODY

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("patient_doctor")]

DUMP = json.loads((Path(__file__).parents[1] / "data" / "modelmesh-etcd.json").read_text("utf-8"))["pairs"]
ROOT = "/mm/mm/"
CONTROLLERS = {
    "MM_SERVICE_NAME": "mm",
    "MM_KVSTORE_PREFIX": "mm",
    "MM_SVC_GRPC_PORT": "8033",
    "WKUBE_POD_NAME": None,
    "KV_STORE": "etcd:/opt/kserve/mmesh/etcd/etcd_connection",
    "MM_METRICS": "prometheus:port=2112;scheme=https",
    "MM_LABELS": "mt:sklearn,rt:demo",
    "MM_TYPE_CONSTRAINTS_PATH": "/etc/watson/mmesh/config/type_constraints",
    "MM_DATAPLANE_CONFIG_PATH": "/etc/watson/mmesh/config/dataplane_api_config",
}
"""As the controller of ModelMesh Serving gives it; None: from the downward API."""


def survey_of(*more: tuple[str, bytes]) -> Survey:
    survey = Survey()
    for pair in DUMP:
        survey.take(pair["key"].removeprefix(ROOT), pair["value"].encode())
    for name, value in more:
        survey.take(name, value)
    return survey


def says(found: list[Finding], level: Level, words: str) -> None:
    assert any(finding.level is level and words in finding.what for finding in found), found


def manifest(env: dict[str, str | None], name: str = "mm", image: str = "kserve/modelmesh:latest") -> dict[str, Any]:
    variables = [
        {"name": key, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} if value is None
        else {"name": key, "value": value}
        for key, value in env.items()
    ]  # fmt: skip
    puller = {"name": "puller", "image": "x/modelmesh-runtime-adapter"}
    containers = [puller, {"name": name, "image": image, "env": variables}]
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}}


def test_what_two_pods_left_is_all_read_and_counted() -> None:
    survey = survey_of()
    says(
        modelmesh_rules.of_keys(survey, ROOT),
        Level.OK,
        "1 config/, 2 instances/, 2 leaderLatch/, 10 registry/, 2 vmodels/",
    )
    says(modelmesh_rules.of_records(survey), Level.OK, "10 models, 2 virtual models: all can be read")
    says(modelmesh_rules.of_instances(survey), Level.OK, "2 pods of version 1577836800000")
    assert survey.types == {"sklearn": 9, "onnx": 1}


def test_what_cannot_be_read_or_is_not_known_is_named() -> None:
    survey = survey_of(
        ("registry/bad", b"no json"), ("registry/odd", b'{"type":"t","later":1}'), ("vmodels/v", b'{"amid":"gone"}'),
        ("instances/going", b'{"shutdown":true}'), ("elsewhere/x", b""), *((f"registry/b{n}", b"[]") for n in range(9)),
    )  # fmt: skip
    records = modelmesh_rules.of_records(survey)
    says(records, Level.PROBLEM, 'Record "bad" is not JSON')
    says(records, Level.PROBLEM, "5 more records cannot be read")
    says(records, Level.NOTE, "later (registry) in 1")
    says(records, Level.WARNING, "refer to a model which is not there: v")
    says(modelmesh_rules.of_instances(survey), Level.WARNING, "pods that are going: going")
    says(modelmesh_rules.of_keys(survey, ROOT), Level.NOTE, "1 keys that are nobody's: elsewhere/x")
    says(modelmesh_rules.of_keys(Survey(), ROOT), Level.PROBLEM, "nothing below this prefix")


def test_types_need_an_instance_with_their_labels() -> None:
    constraints = {"onnx": {"required": ["gpu"]}, "_default": {"required": ["rt:demo"]}}
    says(
        modelmesh_rules.of_types(survey_of(), constraints, []),
        Level.PROBLEM,
        "1 model of type onnx needs the labels gpu",
    )
    says(modelmesh_rules.of_types(survey_of(), constraints, ["gpu"]), Level.OK, "each has a place")
    says(modelmesh_rules.of_types(Survey(), {}, []), Level.OK, "no constraints")


def judged(**env: str) -> list[Finding]:
    given = {"MM_SERVICE_NAME": "mm", "KV_STORE": "etcd:a:1", "MM_METRICS": "disabled", **env}
    return modelmesh_rules.of_variables(given, asyncio.run(tried(given)))


def test_each_variable_is_judged_by_meshd_itself(tmp_path: Path) -> None:
    found = judged(
        MM_PAYLOAD_PROCESSORS="logger://*", HEAP_SIZE_MB="640", MM_NO_SUCH="1", MM_ZONE="z", MM_SVC_GRPC_PORT="0",
        MM_DATAPLANE_CONFIG_PATH="/nowhere/dataplane", MM_AUTO_REGISTER_MODEL_PATH="/nowhere/models",
        MM_TLS_PRIVATE_KEY_PATH="/nowhere/tls.key", MM_TLS_KEY_CERT_PATH="/nowhere/tls.crt",
    )  # fmt: skip
    says(found, Level.PROBLEM, "MM_PAYLOAD_PROCESSORS is set: requests and answers are not sent")
    says(found, Level.PROBLEM, "MM_DATAPLANE_CONFIG_PATH is set: ids of models are not taken out")
    says(found, Level.NOTE, "HEAP_SIZE_MB is a setting of ModelMesh that has no effect here")
    says(found, Level.WARNING, "MM_NO_SUCH is not a setting")
    says(found, Level.WARNING, "MM_SVC_GRPC_PORT=0")
    says(found, Level.NOTE, "MM_TLS_PRIVATE_KEY_PATH gives TLS between instances too")
    says(found, Level.NOTE, "MM_AUTO_REGISTER_MODEL_PATH names a file that is not on this host")
    says(found, Level.OK, "4 variables mean the same")
    refused = Tried(problems=("KV_STORE=zookeeper:z is not allowed",))
    found = modelmesh_rules.of_variables({"KV_STORE": "zookeeper:z", "MM_PAYLOAD_PROCESSORS": "logger://*"}, refused)
    says(found, Level.PROBLEM, "KV_STORE=zookeeper:z")
    says(found, Level.PROBLEM, "MM_PAYLOAD_PROCESSORS is set")
    assert [finding for finding in found if finding.level is Level.OK] == [], "nothing is said of what was not judged"
    says(modelmesh_rules.of_variables({}, Tried()), Level.NOTE, "not known")


def test_nothing_is_ready_that_could_not_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    ended = mmctl_here(capsys, "doctor", "--modelmesh", "--endpoint", NOBODY, "-o", "json")
    assert ended.code == 1
    verdict = ended.json[-1]
    assert (verdict["check"], verdict["level"]) == ("verdict", "problem")
    assert verdict["what"].startswith("whether it can be switched cannot be told: not looked at: kv-store, ")


def test_the_container_is_found_in_what_kubernetes_has(tmp_path: Path) -> None:
    deployed = manifest({"A": "1", "B": None})
    assert deployment.of_documents(json.dumps(deployed), "f").env == {"A": "1", "B": "model-mesh-0-abcdef-12345"}
    several = yaml.safe_dump_all([None, {"kind": "Service"}, {"kind": "List", "items": [deployed]}])
    assert deployment.of_documents(several, "f").env["A"] == "1"
    assert deployment.of_documents(yaml.safe_dump(manifest({"A": "1"}, name="other")), "f") == ({"A": "1"}, ())
    for text, words in (
        ("a: [", "not YAML"), ("kind: Service", "one Deployment is expected, there are 0"),
        (f"{several}---\n{several}", "there are 2"), ("kind: Deployment", "not as a Deployment is"),
        (yaml.safe_dump(manifest({}, "x", "y")), "no container 'mm'"),
        ("kind: List\nitems: 5", "not as a Deployment is"), ("when: 2020-99-99", "month must be in 1..12"),
    ):  # fmt: skip
        with pytest.raises(Usage, match=words):
            deployment.of_documents(text, "f")
    with pytest.raises(Usage, match="give one"):
        deployment.read_environment(tmp_path, tmp_path, "")
    with pytest.raises(Usage, match="No such file"):
        deployment.read_environment(None, tmp_path / "none", "")


def test_a_value_that_is_in_a_config_map_is_named_and_not_judged() -> None:
    deployed = manifest({"A": "1"})
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    deployed["spec"]["template"]["spec"]["containers"][1]["env"].append({"name": "MM_B", "valueFrom": source})
    given = deployment.of_documents(json.dumps(deployed), "f")
    assert given == ({"A": "1"}, ("MM_B",))
    says(modelmesh_rules.of_variables(given.env, Tried(), given.elsewhere), Level.NOTE, "judged: MM_B")


def test_kubectl_is_asked_for_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = tmp_path / "kubectl"
    answer = json.dumps(manifest({"A": "$*"}))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Usage, match="no kubectl on PATH"):
        deployment.read_environment(None, None, "ns/mm")
    kubectl.write_text(f"#!/bin/sh\n[ \"$4\" = none ] && {{ echo 'not found' >&2; exit 1; }}\ncat <<E\n{answer}\nE\n")
    with pytest.raises(Usage, match="no kubectl on PATH that can be run"):
        deployment.read_environment(None, None, "ns/mm")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    asked = deployment.read_environment(None, None, "ns/mm").env["A"]
    assert asked == "--namespace ns --request-timeout=20s get deployment mm -o json"
    with pytest.raises(NotFound, match="not found"):
        deployment.read_environment(None, None, "none")


def test_a_kubectl_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\nsleep 600\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("mmctl.upgrade.kubectl.ANSWER_S", 0.3)
    with pytest.raises(Unavailable, match="said nothing"):
        deployment.read_environment(None, None, "ns/mm")


def test_an_installation_is_examined_and_the_verdict_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = EtcdServer(tmp_path).start()

    async def fill() -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            for pair in DUMP:
                put = etcd_pb2.PutRequest(key=pair["key"].encode(), value=pair["value"].encode())
                await etcd_pb2_grpc.KVStub(channel).Put(put)

    try:
        asyncio.run(fill())
        (tmp_path / "deployment.yaml").write_text(yaml.safe_dump(manifest(CONTROLLERS)))
        way = (
            "--modelmesh",
            "--skip",
            "etcd-latency",
            "--kv-store",
            f"etcd:{server.address}",
            "--service",
            "mm",
            "--prefix",
            "mm",
        )
        ended = mmctl_here(capsys, "doctor", *way, "-f", str(tmp_path / "deployment.yaml"), "-o", "json")
        assert ended.code == 1, ended.err
        found = [(each["check"], each["level"], each["what"]) for each in ended.json]
        assert found[-1] == ("verdict", "problem", "not ready to switch: 1 problem in the way")
        assert ("records", "ok", "10 models, 2 virtual models: all can be read") in found
        assert ("config", "ok", "scaleup_rpm_threshold=500") in found
        (env := tmp_path / "env").write_text("MM_SERVICE_NAME=mm\nKV_STORE=etcd:a\nMM_METRICS=disabled\n")
        ready = mmctl_here(capsys, "doctor", *way, "--env-file", str(env), "-o", "json")
        assert ready.code == 0, ready.out
        assert ready.json[-1]["what"] == "ready to switch"

        async def pages() -> list[str]:
            look = etcd_look.EtcdLook(EtcdConfig((Endpoint(server.address),)), ROOT)
            try:
                return [key async for key, _ in look.pairs(ROOT)]
            finally:
                await look.close()

        monkeypatch.setattr(etcd_look, "PAGE", 3)
        assert asyncio.run(pages()) == sorted(pair["key"] for pair in DUMP)
    finally:
        server.kill()
