"""What a mesh cannot make anew is kept as an export: etcd loses all, and every model answers again."""

from __future__ import annotations

from pathlib import Path

import pytest

from protos import meshd_pb2 as wire
from tests.client import ECHO, GUARD_S, Client
from tests.mmctl.meshes import Ended, mmctl
from tests.processes import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.long]

MODELS = [f"group {number % 7}/mödel-{number:03}" for number in range(60)]


def vmodels(client: Client) -> list[str]:
    """The virtual models that an instance knows of."""
    return [each.name for each in client.v1.ListVModels(wire.ListVModelsRequest(), timeout=GUARD_S).vmodels]


@pytest.mark.parametrize("is_through_etcd", [True, False], ids=["through etcd", "through an instance"])
def test_every_model_answers_again_when_etcd_has_lost_all_and_an_export_is_applied(
    tmp_path: Path, is_through_etcd: bool
) -> None:
    """As docs/operations.md says it, with the instances up all the time."""
    with Mesh(tmp_path) as mesh:
        for name in ("a", "b"):
            mesh.fake(name, "--capacity=64MiB", "--size=64KiB")
        mesh.start()
        client, endpoint = mesh["a"].client, mesh["a"].address
        to_etcd = ("--kv-store", f"etcd:http://{mesh.etcd.address}", "--service", "mm", "--prefix", "mm")
        where = to_etcd if is_through_etcd else ("--endpoint", endpoint)

        def ask(*arguments: str, stdin: str = "") -> Ended:
            return mmctl(*arguments, *where, stdin=stdin)

        specs = [wire.RegisterRequest(model=wire.ModelSpec(name=name, type="fake", path=name)) for name in MODELS]
        assert {result.code for result in client.register_all(specs)} == {0}
        assert mmctl("vmodel", "set", "v", "--target", MODELS[0], "--endpoint", endpoint).code == 0
        for model in MODELS:
            client.infer(model)
        exported = ask("export", "-o", "jsonl")
        assert (exported.code, exported.out.count("\n")) == (0, len(MODELS) + 1)

        mesh.etcd.kill()
        mesh.etcd.wipe()
        mesh.etcd.start()
        until(lambda: not client.models() and not vmodels(client), "it knows of none")
        assert all(instance.is_ready() for instance in mesh.instances.values())
        applied = ask("apply", "-f", "-", "--yes", stdin=exported.out)
        assert applied.code == 0, applied.err
        assert ask("diff", "-f", "-", stdin=exported.out).code == 0
        mesh.fake("c", "--capacity=64MiB", "--size=64KiB")
        mesh.start("c")

        def who_answers() -> set[str]:
            told = client.v1.ListInstances(wire.ListInstancesRequest(ask=True), timeout=GUARD_S).instances
            return {each.id for each in told if not each.silent}

        until(lambda: who_answers() == {"a", "b", "c"}, "they know each other by one key")
        for instance in mesh.instances.values():
            for model in MODELS:
                instance.client.infer(model)
            until(lambda instance=instance: vmodels(instance.client) == ["v"], "it knows of it")  # type: ignore[misc]
            assert instance.client.call(ECHO, b"x", (("mm-vmodel-id", "v"),)).body == b"x"
