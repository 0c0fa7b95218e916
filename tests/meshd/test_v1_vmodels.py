"""Virtual models with weights and a shadow, through meshd.v1 and as clients of ModelMesh see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from protos import meshd_pb2, model_mesh_pb2
from tests.client import ECHO, GUARD_S, Client, refused
from tests.meshd.mesh import Mesh
from tests.processes import until

Status = meshd_pb2.VModel.Status


def set_vmodel(client: Client, name: str, weights: Mapping[str, int], **fields: Any) -> Any:
    targets = [meshd_pb2.WeightedModel(model=model, weight=weight) for model, weight in weights.items()]
    return client.v1.SetVModel(meshd_pb2.SetVModelRequest(name=name, targets=targets, **fields), timeout=GUARD_S)


def split_of(vmodel: Any) -> dict[str, int]:
    return {one.model: one.weight for one in vmodel.split}


def references(mesh: Mesh, *models: str) -> list[int]:
    return [(mesh.record(model) or {"refs": -1}).get("refs", 0) for model in models]


def seen(client: Client, name: str) -> Any:
    """What a client of ModelMesh sees."""
    return client.mm.getVModelStatus(model_mesh_pb2.GetVModelStatusRequest(vModelId=name), timeout=GUARD_S)


def answering(client: Client, name: str, count: int) -> Counter[str]:
    """Which models answer so many requests, each with a key of its own."""
    return Counter(
        str(client.call(ECHO, b"", (("mm-vmodel-id", name), ("mm-vmodel-key", str(number)))).initial["fake-model"])
        for number in range(count)
    )


@pytest.fixture
def models(pair: Mesh, model: str) -> tuple[str, str, str, str]:
    """A name for a virtual model, and three registered models."""
    a, b, c = (f"{model}{letter}" for letter in "abc")
    for name in (a, b, c):
        pair.client.register(name)
    return model, a, b, c


def test_a_split_comes_into_force_for_all_requests_at_once_when_its_models_are_loaded(
    pair: Mesh, models: tuple[str, str, str, str]
) -> None:
    name, a, b, c = models
    set_vmodel(pair.client, name, {a: 100}, load=True)
    until(lambda: pair.client.state(a) == "LOADED", "loaded")
    assert answering(pair.client, name, 5) == {a: 5}
    done = set_vmodel(pair.client, name, {a: 40, b: 60}, sync=True)
    assert (done.status, split_of(done), list(done.next)) == (Status.DEFINED, {a: 40, b: 60}, [])
    assert (done.active, done.target) == (b, b)
    assert pair.client.state(b) == "LOADED"
    for instance in pair.instances:
        until(lambda client=instance.client: seen(client, name).activeModelId == b, "known")  # type: ignore[misc]
    by_instance = [answering(instance.client, name, 100) for instance in pair.instances]
    assert by_instance[0] == by_instance[1]
    assert by_instance[0].keys() == {a, b}
    assert references(pair, a, b, c) == [1, 1, 0]
    again = set_vmodel(pair.client, name, {b: 60, a: 40})
    assert again.revision == done.revision, "nothing to write"


def test_weights_alone_change_at_once_and_in_either_direction(pair: Mesh, models: tuple[str, str, str, str]) -> None:
    name, a, b, _ = models
    set_vmodel(pair.client, name, {a: 50, b: 50}, load=True)
    until(lambda: {pair.client.state(model) for model in (a, b)} == {"LOADED"}, "loaded")
    for weights in ({a: 90, b: 10}, {a: 10, b: 90}, {a: 50, b: 50}, {b: 100}, {a: 1, b: 99}):
        done = set_vmodel(pair.client, name, weights, sync=True)
        assert done.status == Status.DEFINED
        assert split_of(done) == (weights if len(weights) > 1 else {})
    assert references(pair, a, b) == [1, 1]


def test_a_client_of_model_mesh_sees_the_heaviest_and_puts_one_model_in_the_place_of_all(
    pair: Mesh, models: tuple[str, str, str, str]
) -> None:
    name, a, b, c = models
    set_vmodel(pair.client, name, {a: 30, b: 70}, shadow=c, owner="ksp")
    status = seen(pair.client, name)
    assert (status.activeModelId, status.targetModelId, status.owner) == (b, b, "ksp")
    assert status.status == model_mesh_pb2.VModelStatusInfo.VModelStatus.DEFINED
    pair.client.mm.setVModel(
        model_mesh_pb2.SetVModelRequest(vModelId=name, targetModelId=b, owner="ksp"), timeout=GUARD_S
    )
    until(lambda: references(pair, a, b, c) == [0, 1, 1], "the other target is let go, the shadow is not")
    assert answering(pair.client, name, 20) == {b: 20}


def test_force_takes_a_target_that_cannot_be_loaded_out_at_once(pair: Mesh, models: tuple[str, str, str, str]) -> None:
    name, a, _, _ = models
    bad = f"{name}bad"
    pair.client.register(bad, "fake:?fail=INTERNAL")
    set_vmodel(pair.client, name, {a: 100}, load=True)
    until(lambda: pair.client.state(a) == "LOADED", "loaded")
    tried = set_vmodel(pair.client, name, {a: 90, bad: 10}, sync=True)
    assert (tried.status, split_of(tried)) == (Status.TRANSITION_FAILED, {})
    assert {one.model: one.weight for one in tried.next} == {a: 90, bad: 10}
    assert answering(pair.client, name, 20) == {a: 20}, "what cannot be loaded gets no request"
    set_vmodel(pair.client, name, {a: 90, bad: 10}, force=True)
    assert refused(lambda: answering(pair.client, name, 100))[0] == "INTERNAL"
    back = set_vmodel(pair.client, name, {a: 100}, force=True)
    assert (back.status, split_of(back)) == (Status.DEFINED, {})
    assert answering(pair.client, name, 20) == {a: 20}
    assert references(pair, a, bad) == [1, 0]


def test_a_shadow_is_set_kept_and_taken_away_and_ends_as_a_target(
    pair: Mesh, models: tuple[str, str, str, str]
) -> None:
    name, a, b, c = models
    assert set_vmodel(pair.client, name, {a: 100}, shadow=c).shadow == c
    assert references(pair, a, b, c) == [1, 0, 1]
    assert set_vmodel(pair.client, name, {b: 100}, force=True).shadow == c
    assert references(pair, a, b, c) == [0, 1, 1]
    assert set_vmodel(pair.client, name, {c: 100}, force=True).shadow == ""
    assert references(pair, a, b, c) == [0, 0, 1]
    assert set_vmodel(pair.client, name, {c: 100}, shadow=a).shadow == a
    assert set_vmodel(pair.client, name, {c: 100}, shadow="").shadow == ""
    assert references(pair, a, b, c) == [0, 0, 1]
    pair.client.mm.deleteVModel(model_mesh_pb2.DeleteVModelRequest(vModelId=name), timeout=GUARD_S)
    assert references(pair, a, b, c) == [0, 0, 0]


def test_what_cannot_be_is_refused_with_what_is_wrong_and_changes_nothing(
    pair: Mesh, models: tuple[str, str, str, str]
) -> None:
    name, a, b, c = models
    client = pair.client
    before = set_vmodel(client, name, {a: 100}, owner="me")
    for weights, fields, expected in (
        ({a: 90, b: 20}, {},
         ("INVALID_ARGUMENT", f"vmodel {name}: the weights add up to 110 (90 + 20) and not to 100")),
        ({}, {}, ("INVALID_ARGUMENT", f"Must provide target modelId for vmodel {name}")),
        ({a: 50, "nobody": 50}, {}, ("NOT_FOUND", "Target model nobody not found")),
        ({a: 100}, {"shadow": "nobody"}, ("NOT_FOUND", "Shadow model nobody not found")),
        ({a: 50, b: 50}, {"shadow": b},
         ("INVALID_ARGUMENT", f"vmodel {name}: {b} is a target and cannot be the shadow too")),
        ({b: 100}, {"owner": "you"},
         ("ALREADY_EXISTS", f'vmodel {name} already exists with different owner "me"')),
        ({b: 50, c: 50}, {"expected_target": c},
         ("FAILED_PRECONDITION", f"Existing target model {a} does not match expected {c}")),
    ):  # fmt: skip
        assert refused(lambda weights=weights, fields=fields: set_vmodel(client, name, weights, **fields)) == expected  # type: ignore[misc]
    assert refused(lambda: set_vmodel(client, "", {a: 100})) == ("INVALID_ARGUMENT", "Must provide vModelId")
    missing = refused(lambda: set_vmodel(client, f"{name}none", {a: 100}, update_only=True))
    assert missing == ("NOT_FOUND", f"vmodel {name}none not found")
    assert set_vmodel(client, name, {b: 50, c: 50}, dry_run=True).active == a
    assert set_vmodel(client, name, {a: 100}).revision == before.revision
    with pytest.raises(grpc.RpcError):
        set_vmodel(client, name, {a: 50, b: 25, f"{a}": 50})
    assert references(pair, a, b, c) == [1, 0, 0]
