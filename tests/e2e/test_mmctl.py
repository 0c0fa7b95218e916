"""A mesh of real processes, from its first start to its end, by the command line alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from mmctl.endpoints import model_header
from mmctl.local.home import Home
from mmctl.mesh import MeshCluster
from mmctl.values import Registered, Registration
from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc as v2_grpc
from tests.mmctl.meshes import SMALL, at, left_running, mesh, process
from tests.omitted import omit
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd]

MODELS, MANY = 100, 300


def ask_all(endpoint: str, models: Sequence[str]) -> dict[str, str]:
    """One inference for each model through one instance; those that failed, with the reason."""

    async def run() -> dict[str, str]:
        failed = {}
        slots = asyncio.Semaphore(32)
        async with grpc.aio.insecure_channel(endpoint) as channel:
            infer = v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer

            async def one(model: str) -> None:
                request = v2.ModelInferRequest(model_name=model, id=model)
                async with slots:
                    try:
                        answer = await infer(request, metadata=model_header(model), timeout=60)
                        if answer.id != model:
                            failed[model] = f"the answer is for {answer.id!r}"
                    except grpc.aio.AioRpcError as error:
                        failed[model] = f"{error.code().name}: {error.details()}"

            await asyncio.gather(*(one(model) for model in models))
        return failed

    return asyncio.run(run())


def kill(plan: dict[str, Any], name: str) -> None:
    os.kill(process(plan, name)["pid"], signal.SIGKILL)


def test_every_model_answers_through_every_instance_and_through_the_others_when_one_is_killed(tmp_path: Path) -> None:
    names = [f"group-{number % 10}/model-{number:04}" for number in range(MODELS)]
    lines = "\n".join(json.dumps({"name": name, "type": "fake", "labels": {"n": name[-1]}}) for name in names)
    data_dir = tmp_path / "data"
    with mesh(data_dir, "--instances", "3", *SMALL) as plan:
        registered = at(data_dir, "register", "-f", "-", "-o", "json", stdin=lines)
        assert registered.code == 0
        assert [row["result"] for row in registered.json] == ["created"] * MODELS
        for endpoint in plan["endpoints"]:
            assert ask_all(endpoint, names) == {}

        def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = at(data_dir, "list", "-o", "json").json
            return found

        until(lambda: {model["status"] for model in listed()} == {"loaded"}, "who is asked knows that all are loaded")
        assert [model["id"] for model in listed()] == sorted(names)
        assert {model["type"] for model in listed()} == {"fake"}
        assert all(model["copies"] for model in listed())
        assert at(data_dir, "list", "-l", "n=7", "--limit", "5", "-o", "name").out.count("\n") == 5

        kill(plan, "mesh-1")
        for endpoint in (plan["endpoints"][0], plan["endpoints"][2]):
            assert ask_all(endpoint, names) == {}
        assert len(listed()) == MODELS
        problems = at(data_dir, "status", "-o", "json").json["problems"]
        down = {each["text"]: each["do"] for each in problems if each["kind"] == "process_down"}
        assert down["mesh-1 does not run"] == "`mmctl restart mesh-1` brings it back"

        assert at(data_dir, "restart", "mesh-1").code == 0
        assert ask_all(plan["endpoints"][1], names[:50]) == {}
        down = at(data_dir, "down", "-o", "json").json
        assert (len(down["stopped"]), down["killed"]) == (7, [])
    assert left_running(data_dir) == []


def test_registering_goes_on_through_another_instance_when_the_first_is_killed(tmp_path: Path) -> None:
    wanted = [Registration(f"model-{number:04}", "fake") for number in range(MANY)]

    async def register(plan: dict[str, Any]) -> list[Registered]:
        cluster = MeshCluster(plan["endpoints"])
        results = []
        async for result in cluster.register(wanted, dry_run=False):
            if not results:
                kill(plan, "mesh-0")
            results.append(result)
        await cluster.close()
        return results

    with mesh(tmp_path / "data", "--instances", "2", *SMALL) as plan:
        results = asyncio.run(register(plan))
        assert sorted(result.name for result in results) == [one.name for one in wanted]
        assert {result.error for result in results} == {""}
        until(
            lambda: len(at(tmp_path / "data", "list", "-o", "json").json) == MANY,
            "the other knows of those that the first registered, too",
        )


def test_registrations_outlive_down_and_even_a_crash(data_dir: Path) -> None:
    up = ("up", "--detach", "--instances", "1", *SMALL)
    assert at(data_dir, *up).code == 0
    assert at(data_dir, "register", "kept", "--type", "t", "--load", "--wait").code == 0
    assert at(data_dir, "down").code == 0
    assert at(data_dir, "list").code == 4
    assert at(data_dir, *up).code == 0
    assert [model["id"] for model in at(data_dir, "list", "-o", "json").json] == ["kept"]

    again = at(data_dir, *up)
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith(f"error: a mesh is up in {data_dir} (etcd, mesh-0-runtime, mesh-0)")

    state = Home(data_dir).read()
    assert state is not None
    for service in state.services:
        assert service.process is not None
        os.kill(service.process.pid, signal.SIGKILL)
    until(lambda: left_running(data_dir) == [], "all processes are gone")
    assert at(data_dir, "list").code == 4
    restarted = at(data_dir, *up)
    assert restarted.code == 0, restarted.err
    assert "was not taken down; its processes are gone, its registry is kept" in restarted.err
    assert ask_all(restarted_endpoint(data_dir), ["kept"]) == {}


def restarted_endpoint(data_dir: Path) -> str:
    state = Home(data_dir).read()
    assert state is not None
    return state.endpoints[0]


def write_doubler(path: Path) -> None:
    """A model that adds its input to itself."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubler",
        [helper.make_tensor_value_info("x", floats, [None])],
        [helper.make_tensor_value_info("y", floats, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def test_directory_of_onnx_models_is_served_and_what_is_broken_in_it_harms_nothing(
    data_dir: Path, tmp_path: Path
) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        omit("onnx and onnxruntime (pip install 'meshd[demo]')")
    models = tmp_path / "models"
    write_doubler(models / "maths" / "doubler.onnx")
    (models / "broken.onnx").write_bytes(b"this is no model")
    up = at(data_dir, "up", "--detach", "--instances", "1", "--model-dir", str(models))
    assert up.code == 0, up.err
    assert "2 models registered: 2 created" in up.err
    assert at(data_dir, "list", "-o", "name").out == "broken\nmaths/doubler\n"

    request = {"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2.5, -3]}]}
    answer = at(data_dir, "infer", "maths/doubler", "--json", "@-", stdin=json.dumps(request))
    assert answer.json["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [3], "data": [2.0, 5.0, -6.0]}]

    assert at(data_dir, "register", "outside", "--type", "onnx", "--path", "../secret.onnx").code == 0
    for name in ("broken", "outside"):
        loaded = at(data_dir, "load", name, "--wait", "-o", "json")
        assert (loaded.code, loaded.json[0]["status"]) == (1, "loading_failed")
        failures = until(
            lambda name=name: at(data_dir, "get", name, "-o", "json").json["failures"],  # type: ignore[misc]
            "its record says so",
        )
        assert at(data_dir, "get", name, "-o", "json").json["status"] == "loading_failed"
        assert failures[0]["text"] in loaded.json[0]["errors"][0]

    def troubled() -> list[str]:
        problems = at(data_dir, "status", "-o", "json").json["problems"]
        return sorted(problem["text"].partition(" ")[0] for problem in problems)

    until(lambda: troubled() == ["broken", "outside"], "no other problem than these")
    assert at(data_dir, "infer", "maths/doubler", "--json", json.dumps(request)).code == 0
    gone = at(data_dir, "infer", "gone", "--json", json.dumps(request))
    assert (gone.code, gone.err) == (3, "error: gone: model not found\n")
