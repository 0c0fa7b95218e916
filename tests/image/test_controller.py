"""The image started as the ModelMesh Serving controller starts its container: environment, files, paths, hooks."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from protos import grpc_predict_v2_pb2 as v2
from protos import model_mesh_pb2 as mm
from tests.client import Client
from tests.etcd import EtcdServer
from tests.image.pod import ADDRESS, REPOSITORY, Container
from tests.processes import GUARD_S, Server, got, until

POD = "modelmesh-serving-mlserver-1.x-7d9c5b6f4-x2k4q"
CONFIG = "/etc/watson/mmesh/config"
SOCKETS = "/tmp/mmesh"
INFER = "/inference.GRPCInferenceService/ModelInfer"
TARGET = "sklearn-isvc__isvc-6b2eb0b8bf"
ANSWERED = 'modelmesh_api_request_milliseconds_count{method="ModelInfer",code="OK",} 1.0\n'
BY_CONTROLLER = {
    # What a cluster's own configuration adds for every container comes first, so anything below wins.
    "BOOTSTRAP_CLEARANCE_PERIOD_MS": "0",
    "MM_SERVICE_NAME": "modelmesh-serving",
    "MM_SVC_GRPC_PORT": "8033",
    "WKUBE_POD_NAME": POD,
    "WKUBE_POD_IPADDR": ADDRESS,
    "MM_LOCATION": "10.0.0.12",
    "KV_STORE": "etcd:/opt/kserve/mmesh/etcd/etcd_connection",
    "MM_METRICS": "prometheus:port=2112;scheme=https",
    "SHUTDOWN_TIMEOUT_MS": "90000",
    "MM_SVC_GRPC_MAX_MSG_SIZE": "16777216",
    "MM_KVSTORE_PREFIX": "mm",
    "MM_DEFAULT_VMODEL_OWNER": "ksp",
    "MM_LABELS": "mt:sklearn,mt:sklearn:0,pv:grpc-v2,rt:mlserver-1.x",
    "MM_TYPE_CONSTRAINTS_PATH": f"{CONFIG}/type_constraints",
    "MM_DATAPLANE_CONFIG_PATH": f"{CONFIG}/dataplane_api_config",
}
OVER = {
    "tcp": {"INTERNAL_GRPC_PORT": "8085", "INTERNAL_SERVING_GRPC_PORT": "8085"},
    "socket": {
        "INTERNAL_GRPC_SOCKET_PATH": f"{SOCKETS}/grpc.sock", "INTERNAL_SERVING_GRPC_SOCKET_PATH": f"{SOCKETS}/grpc.sock"
    },
}  # fmt: skip
CONSTRAINTS = {
    "rt:mlserver-1.x": {"required": ["rt:mlserver-1.x"]},
    "mt:sklearn:0": {"required": ["mt:sklearn:0"]},
    "_default": {"required": ["_no_runtime"]},
}
BY_VMODEL = {"idExtractionPath": [1], "vModelId": True}
DATA_PLANE = {
    "rpcConfigs": {
        "inference.GRPCInferenceService/ModelInfer": BY_VMODEL,
        "inference.GRPCInferenceService/ModelMetadata": BY_VMODEL,
        "tensorflow.serving.PredictionService/Predict": {**BY_VMODEL, "idExtractionPath": [1, 1]},
        "org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions": BY_VMODEL,
    },
    "allowOtherRpcs": True,
}


class Pod:
    """One pod with its ``container`` and ``runtime``; ``process`` is what runs in the container."""

    def __init__(self, container: Container, runtime: Server, process: subprocess.Popen[str], log: Path) -> None:
        self.container, self.runtime, self.process = container, runtime, process
        self._log = log

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.said()
            return got("http://127.0.0.1:8089/ready")[0] == 200

        until(is_ready, "/ready")

    def said(self) -> str:
        return self._log.read_text("utf-8")


def runtime_command() -> list[str]:
    """What the trial in kustomize/ runs beside the mesh, out of the same image."""
    patch = yaml.safe_load((REPOSITORY / "kustomize/examples/mock-runtime/runtime.yaml").read_text("utf-8"))
    (command,) = (each["command"] for each in patch["spec"]["template"]["spec"]["containers"] if "command" in each)
    return list(command)


@contextmanager
def pod(tree: Path, directory: Path, over: str, is_read_only: bool, etcd: str) -> Iterator[Pod]:
    """The pod of one replica of a ServingRuntime, beside an etcd at an address."""
    sockets, root, log = directory / "sockets", directory / "root", directory / "mm.log"
    sockets.mkdir()
    root.mkdir()
    container = Container(tree, root, is_read_only)
    secret = {"endpoints": f"http://{etcd}", "root_prefix": "/modelmesh-serving/mm_ns/models"}
    container.volume("/opt/kserve/mmesh/etcd", {"etcd_connection": json.dumps(secret)})
    container.volume(
        CONFIG, {"type_constraints": json.dumps(CONSTRAINTS), "dataplane_api_config": json.dumps(DATA_PLANE)}
    )
    if over == "socket":
        container.shared(SOCKETS, sockets)
    where = [f"--socket={sockets}/grpc.sock"] if over == "socket" else []
    program, *options = runtime_command()
    command = [str(tree / program.removeprefix("/")), *options, *where]
    runtime = Server("runtime", command, directory / "runtime.log")
    with ExitStack() as ending:
        runtime.start()
        ending.callback(runtime.kill)
        process = container.start({**BY_CONTROLLER, **OVER[over]}, log)
        ending.callback(process.wait)
        ending.callback(process.kill)
        yield Pod(container, runtime, process, log)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path).start()
    yield server
    server.kill()


@pytest.mark.parametrize(("over", "is_read_only"), [("tcp", True), ("socket", True), ("tcp", False)])
def test_a_pod_serves_what_the_controller_registers_and_ends_by_its_hooks(
    tree: Path, tmp_path: Path, etcd: EtcdServer, over: str, is_read_only: bool
) -> None:
    with pod(tree, tmp_path, over, is_read_only, etcd.address) as it, ThreadPoolExecutor() as waiting:
        it.wait_ready()
        assert got("http://127.0.0.1:8089/live") == (200, "alive\n")
        with Client("127.0.0.1:8033") as client:
            register(client)
            by_vmodel = (("mm-vmodel-id", "sklearn-isvc"),)
            request = v2.ModelInferRequest(model_name="sklearn-isvc", id="7")
            answer = v2.ModelInferResponse.FromString(client.call(INFER, request.SerializeToString(), by_vmodel).body)
            assert answer.id == "7"
        until(lambda: ANSWERED in scraped(), "it is counted")
        version = it.container.run("/opt/kserve/tas/meshd", "--version").stdout
        assert version == f"meshd {metadata.version('meshd')} (build 20260102-1504, version 9.8.7, commit 4f1c2d)\n"
        assert it.container.run("sh", "-c", "id -u; id -g").stdout == "1000650000\n0\n"
        listed = it.container.run("mmctl", "list", "-o", "name")
        assert listed.stdout.splitlines() == [TARGET], listed.stderr
        assert (it.container.run("touch", "/opt/kserve/mmesh/anything").returncode == 0) is not is_read_only
        assert it.container.run("touch", "/opt/kserve/mmesh/lib/anything").returncode != 0

        hook = waiting.submit(got, "http://127.0.0.1:8090/prestop")
        ended = waiting.submit(it.process.wait, GUARD_S)  # somebody has to take note of its end, or it is still there
        stopped = it.container.run("/opt/kserve/mmesh/stop.sh", "wait")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert hook.result(GUARD_S) in ((200, "stopped\n"), (200, "others have taken over\n")), "by who is first"
        assert ended.result() == 0, it.said()
        assert it.container.termination_message() == ""
        assert it.runtime.code is None


def register(client: Client) -> None:
    """As the controller registers an InferenceService, asked again until it is loaded."""
    key = json.dumps({"model_type": {"name": "sklearn", "version": "0"}, "storage_key": "localMinIO"})
    request = mm.SetVModelRequest(
        vModelId="sklearn-isvc", targetModelId=TARGET, owner="ksp", loadNow=True,
        autoDeleteTargetModel=True, modelInfo=mm.ModelInfo(type="mt:sklearn:0", path="models/mnist.joblib", key=key),
    )  # fmt: skip
    loaded = mm.ModelStatusInfo.ModelStatus.LOADED
    until(lambda: client.mm.setVModel(request, timeout=10).activeModelStatus.status == loaded, "it is loaded")


def scraped() -> str:
    """The metrics, whose certificate the instance has signed itself."""
    context = ssl._create_unverified_context()
    with urllib.request.urlopen("https://127.0.0.1:2112/metrics", timeout=GUARD_S, context=context) as response:
        return str(response.read().decode())


def test_a_start_without_etcd_ends_with_a_termination_message(tree: Path, tmp_path: Path) -> None:
    with pod(tree, tmp_path, "tcp", True, "127.0.0.1:1") as it:
        assert it.process.wait(GUARD_S) == 1, it.said()
        message = it.container.termination_message()
        assert message.startswith("Service startup failed: Problem connecting to etcd")
        assert message.count("\n") == 1
