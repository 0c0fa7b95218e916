"""Commands on many things of which one cannot be had: what came of the others is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from mmctl.__main__ import run
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc
from protos import model_mesh_pb2 as mmesh
from protos import model_mesh_pb2_grpc as mmesh_grpc


class Mesh(pb_grpc.MeshServicer, mmesh_grpc.ModelMeshServicer):  # type: ignore[misc]
    """Of what is called away-something it says that it is unavailable."""

    def Register(self, requests: Any, context: Any) -> Iterator[Any]:
        """See meshd.v1."""
        for at, _ in enumerate(requests):
            yield pb.RegisterResult(index=at, created=True)

    def ListVModels(self, request: Any, context: Any) -> Any:
        """One of the name that is asked for."""
        return pb.ListVModelsResponse(vmodels=[pb.VModel(name=request.filter.name_prefix)])

    def ensureLoaded(self, request: Any, context: Any) -> Any:
        """See the management API."""
        if request.modelId.startswith("away"):
            context.abort(grpc.StatusCode.UNAVAILABLE, "nowhere to load it")
        return mmesh.ModelStatusInfo(status=mmesh.ModelStatusInfo.LOADED)

    def deleteVModel(self, request: Any, context: Any) -> Any:
        """See the management API."""
        if request.vModelId.startswith("away"):
            context.abort(grpc.StatusCode.UNAVAILABLE, "the store is away")
        return mmesh.DeleteVModelResponse()


@pytest.fixture
def way() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    pb_grpc.add_MeshServicer_to_server(Mesh(), server)
    mmesh_grpc.add_ModelMeshServicer_to_server(Mesh(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"--endpoint=127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("names", "exit_code"), [(["a", "away", "b"], 4), (["away-1", "away-2"], 4), (["a", "b"], 0)]
)  # fmt: skip
@pytest.mark.parametrize("command", [["load"], ["vmodel", "delete"], ["register", "--load", "--wait", "-f", "-"]])
def test_one_that_is_unavailable_is_an_outcome_among_the_others(
    command: list[str], names: list[str], exit_code: int, way: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*command, *names]
    if command[0] == "register":
        file = tmp_path / "models.jsonl"
        file.write_text("\n".join(json.dumps({"name": name, "type": "t"}) for name in names))
        arguments = [*command[:-1], str(file)]
    assert run([*arguments, "-o", "json", way]) == exit_code
    outcomes = json.loads(capsys.readouterr().out)
    assert [(each["id"], each["code"]) for each in outcomes] == [
        (name, "UNAVAILABLE" if name.startswith("away") else "OK") for name in names
    ]


def test_model_that_was_registered_is_told_where_its_load_is_unavailable(
    way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["register", "away", "--type", "t", "--load", "--wait", "-o", "json", way]) == 4
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["error"].startswith("registered, but not loaded: ")
