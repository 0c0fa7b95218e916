"""setVModel, getVModelStatus, deleteVModel and requests by virtual models, as clients of ModelMesh know them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from protos import meshd_pb2
from protos import model_mesh_pb2 as mm
from tests.client import GUARD_S, Client, Status, instance_of, refused
from tests.meshd.mesh import Mesh, mesh
from tests.processes import free_port, series, until

VStatus = mm.VModelStatusInfo.VModelStatus
BROKEN = "fake:?fail=INVALID_ARGUMENT&fail_text=bad+model+file"
SLOW = "fake:?load_ms=600000"
FAKE = mm.ModelInfo(type="fake", path="p")


def set_(client: Client, vmodel: str, target: str, timeout: float = GUARD_S, **fields: Any) -> Any:
    request = mm.SetVModelRequest(vModelId=vmodel, targetModelId=target, **fields)
    return client.mm.setVModel(request, timeout=timeout)


def get(client: Client, vmodel: str, owner: str = "") -> Any:
    return client.mm.getVModelStatus(mm.GetVModelStatusRequest(vModelId=vmodel, owner=owner), timeout=GUARD_S)


def delete(client: Client, vmodel: str, owner: str = "") -> Any:
    return client.mm.deleteVModel(mm.DeleteVModelRequest(vModelId=vmodel, owner=owner), timeout=GUARD_S)


def points(told: Any) -> tuple[str, str, str]:
    return VStatus.Name(told.status), told.activeModelId, told.targetModelId


def record(made: Mesh, vmodel: str) -> Any:
    value = made.value(f"vmodels/{vmodel}")
    return None if value is None else json.loads(value)


def references(made: Mesh, *models: str) -> list[int | None]:
    records = [made.record(model) for model in models]
    return [None if each is None else each.get("refs", 0) for each in records]


def infer(client: Client, vmodel: str) -> str:
    """The model that answers a request by a virtual model's name."""
    answer = client.call("/some.Service/Method", b"hello", (("mm-vmodel-id-bin", vmodel.encode()),))
    return str(answer.initial["fake-model"])


# -- what is refused --------------------------------------------------------------------------------------------


def test_names_and_targets_have_to_be_given(client: Client, model: str) -> None:
    assert refused(lambda: set_(client, "", model)) == ("INVALID_ARGUMENT", "Must provide vModelId")
    text = f"Must provide target modelId for vmodel {model}"
    assert refused(lambda: set_(client, model, "")) == ("INVALID_ARGUMENT", text)
    assert refused(lambda: set_(client, model, model)) == ("NOT_FOUND", f"Target model {model} not found")
    assert refused(lambda: set_(client, "v", model, modelInfo=mm.ModelInfo(path="p"))) == ("UNKNOWN", "")


def test_what_is_expected_of_one_that_is_not_there(pair: Mesh, client: Client, model: str) -> None:
    client.register(model)
    vmodel = f"v-{model}"
    missing = f"vmodel {vmodel} not found"
    assert refused(lambda: set_(client, vmodel, model, updateOnly=True)) == ("NOT_FOUND", missing)
    other = lambda: set_(client, vmodel, model, expectedTargetModelId="other")  # noqa: E731
    assert refused(other) == ("FAILED_PRECONDITION", missing)
    assert record(pair, vmodel) is None
    assert references(pair, model) == [0]
    told = set_(client, vmodel, model, expectedTargetModelId=model)
    assert points(told) == ("DEFINED", model, model)


def test_owners_and_targets_that_differ(pair: Mesh, client: Client, model: str) -> None:
    vmodel, one, two = f"v-{model}", f"{model}1", f"{model}2"
    client.register(one)
    client.register(two)
    assert set_(client, vmodel, one, owner="me").owner == "me"
    text = 'vmodel {} already exists with different owner "{}"'
    other = lambda **more: refused(lambda: set_(client, vmodel, two, owner="you", **more))  # noqa: E731
    assert other() == ("ALREADY_EXISTS", text.format(vmodel, "me"))
    assert other(expectedTargetModelId=one) == ("ALREADY_EXISTS", text.format(vmodel, "you"))
    wrong = refused(lambda: set_(client, vmodel, two, expectedTargetModelId="three"))
    assert wrong == ("FAILED_PRECONDITION", f"Existing target model {one} does not match expected three")
    assert points(set_(client, vmodel, one, expectedTargetModelId="three")) == ("DEFINED", one, one)
    info = mm.ModelInfo(type="fake", path="another")
    clash = refused(lambda: set_(client, vmodel, two, modelInfo=info))
    assert clash == ("ALREADY_EXISTS", f"Target model {two} already exists with different attribute values")
    assert record(pair, vmodel) == {"o": "me", "amid": one, "tmid": one}
    assert references(pair, one, two) == [1, 0]
    assert refused(lambda: client.unregister(one)) == ("FAILED_PRECONDITION", f"Model {one} has referents")


def test_another_owner_reads_and_deletes_nothing(pair: Mesh, client: Client, model: str) -> None:
    vmodel = f"v-{model}"
    set_(client, vmodel, model, modelInfo=FAKE, owner="me")
    assert get(client, vmodel, "you") == get(client, "nobody") == get(client, "") == mm.VModelStatusInfo()
    delete(client, vmodel, "you")
    delete(client, "")
    delete(client, "nobody")
    assert (get(client, vmodel).owner, get(client, vmodel, "me").owner) == ("me", "me")
    set_(client, vmodel, model)
    assert get(client, vmodel).owner == "me"


# -- what is set ------------------------------------------------------------------------------------------------


def test_a_new_one_points_at_its_target_and_is_not_loaded_unless_asked(pair: Mesh, client: Client, model: str) -> None:
    vmodel = f"v-{model}"
    told = set_(client, vmodel, model, modelInfo=FAKE, autoDeleteTargetModel=True)
    assert (points(told), told.owner) == (("DEFINED", model, model), "")
    assert told.activeModelStatus.status == Status.NOT_LOADED
    assert not told.HasField("targetModelStatus")
    assert record(pair, vmodel) == {"amid": model, "tmid": model}
    stored = pair.record(model)
    assert stored is not None
    assert (stored["refs"], stored["autoDel"]) == (1, True)
    assert time.time() * 1000 - stored["lu"] > 5 * 3_600_000
    before = pair.kv(lambda kv: kv.revision)
    assert set_(pair[1].client, vmodel, model, modelInfo=FAKE) == told, "nothing is written again"
    assert pair.kv(lambda kv: kv.revision) == before
    loaded = set_(client, vmodel, model, modelInfo=FAKE, loadNow=True, sync=True)
    assert loaded.activeModelStatus.status == Status.LOADED
    assert references(pair, model) == [1]
    delete(client, vmodel)
    assert record(pair, vmodel) is None
    assert pair.record(model) is None, "it was only kept for that"


def test_one_that_does_not_answer_yet_is_switched_at_once(pair: Mesh, client: Client, model: str) -> None:
    vmodel, one, two, three = f"v-{model}", f"{model}1", f"{model}2", f"{model}3"
    set_(client, vmodel, one, modelInfo=FAKE, autoDeleteTargetModel=True)
    client.register(two)
    told = set_(client, vmodel, two)
    assert (points(told), told.activeModelStatus.status) == (("DEFINED", two, two), Status.NOT_LOADED)
    assert pair.record(one) is None
    assert references(pair, two) == [1]
    client.ensure(two)
    used = pair.record(two)
    told = set_(client, vmodel, three, modelInfo=mm.ModelInfo(type="fake", path=SLOW), force=True)
    assert points(told) == ("DEFINED", three, three)
    assert told.activeModelStatus.status == Status.LOADING, "what it follows was loaded"
    stored = pair.record(three)
    assert used is not None
    assert stored is not None
    assert stored["lu"] == used["lu"]
    assert references(pair, two, three) == [0, 1]
    set_(client, vmodel, two, force=True)
    client.unregister(three)  # which ends its load


def test_what_answers_goes_on_to_until_its_successor_is_loaded(pair: Mesh, client: Client, model: str) -> None:
    vmodel, one, two = f"v-{model}", f"{model}1", f"{model}2"
    set_(client, vmodel, one, modelInfo=FAKE, loadNow=True, sync=True)
    assert infer(pair[1].client, vmodel) == one
    with pair.held("load"):
        told = set_(client, vmodel, two, modelInfo=FAKE, autoDeleteTargetModel=True)
        assert points(told) == ("TRANSITIONING", one, two)
        assert told.targetModelStatus.status == Status.LOADING
        assert references(pair, one, two) == [1, 1]
        assert infer(client, vmodel) == one
    done = set_(pair[1].client, vmodel, two, modelInfo=FAKE, sync=True)
    assert (points(done), done.activeModelStatus.status) == (("DEFINED", two, two), Status.LOADED)
    until(lambda: {infer(each.client, vmodel) for each in pair.instances} == {two}, "both know")
    assert references(pair, one, two) == [0, 1]


def test_going_back_during_a_transition_gives_the_other_up(pair: Mesh, client: Client, model: str) -> None:
    vmodel, one, two = f"v-{model}", f"{model}1", f"{model}2"
    set_(client, vmodel, one, modelInfo=FAKE, loadNow=True, sync=True)
    slow = mm.ModelInfo(type="fake", path=SLOW)
    assert points(set_(client, vmodel, two, modelInfo=slow, autoDeleteTargetModel=True))[0] == "TRANSITIONING"
    assert points(set_(client, vmodel, one)) == ("DEFINED", one, one)
    assert pair.record(two) is None
    assert references(pair, one) == [1], "D-21: none is counted twice"
    delete(client, vmodel)
    client.unregister(one)
    assert pair.record(one) is None


def test_a_target_that_cannot_be_loaded_fails_and_the_active_model_goes_on(
    pair: Mesh, client: Client, model: str
) -> None:
    vmodel, one, two, three = f"v-{model}", f"{model}1", f"{model}2", f"{model}3"
    set_(client, vmodel, one, modelInfo=FAKE, loadNow=True, sync=True)
    told = set_(client, vmodel, two, modelInfo=mm.ModelInfo(type="fake", path=BROKEN), sync=True)
    assert points(told) == ("TRANSITION_FAILED", one, two)
    assert told.targetModelStatus.status == Status.LOADING_FAILED
    assert "bad model file" in told.targetModelStatus.errors[0]
    assert record(pair, vmodel)["failed"] is True
    assert infer(pair[1].client, vmodel) == one
    told = set_(client, vmodel, three, modelInfo=FAKE, sync=True)
    assert points(told) == ("DEFINED", three, three)
    assert references(pair, one, two, three) == [0, 0, 1]


# -- requests ---------------------------------------------------------------------------------------------------


def test_requests_by_names_that_lead_nowhere(pair: Mesh, client: Client, model: str) -> None:
    ask = lambda *headers: refused(lambda: client.call("/some.Service/Method", b"", headers))  # noqa: E731
    assert ask(("mm-vmodel-id", "nobody")) == ("NOT_FOUND", "vmodel not found")
    assert ask(("mm-vmodel-id", "")) == ("INVALID_ARGUMENT", "provided vmodel-id header must be non-empty")
    both = (("mm-vmodel-id", "v"), ("mm-model-id", "m"))
    assert ask(*both) == ("INVALID_ARGUMENT", "must include only one of model id and vmodel id")
    vmodel = f"v-{model}"
    pair.put(f"vmodels/{vmodel}", json.dumps({"amid": model, "tmid": model}).encode())
    text = f"Target model {model} of vmodel {vmodel} not found"
    until(lambda: ask(("mm-vmodel-id", vmodel)) == ("INTERNAL", text), "it is told")


def test_a_request_goes_to_what_follows_a_model_that_is_gone(pair: Mesh, client: Client, model: str) -> None:
    """Also before the instance has heard of the virtual model, or of the change."""
    vmodel, one, two = f"v-{model}", f"{model}1", f"{model}2"
    for number in range(5):
        set_(pair[number % 2].client, f"{vmodel}{number}", one, modelInfo=FAKE)
        assert infer(pair[1 - number % 2].client, f"{vmodel}{number}") == one
    client.register(two)
    pair.put(f"vmodels/{vmodel}", json.dumps({"amid": "gone", "tmid": two}).encode())
    assert infer(client, vmodel) == two


def test_any_name_will_do_and_the_runtime_sees_the_model(pair: Mesh, client: Client, model: str) -> None:
    vmodel = f"a/b\nü {model}"
    set_(client, vmodel, model, modelInfo=FAKE)
    assert infer(client, vmodel) == model


# -- lists, owners, read-only -----------------------------------------------------------------------------------


def test_virtual_models_are_listed_with_filters(pair: Mesh, client: Client, model: str) -> None:
    for name, owner in (("b", "me"), ("a", "you")):
        set_(client, f"{model}{name}", model, modelInfo=FAKE, owner=owner)

    def names(**wanted: Any) -> list[str]:
        request = meshd_pb2.ListVModelsRequest(filter=meshd_pb2.VModelFilter(**wanted))
        reply = pair[1].client.v1.ListVModels(request, timeout=GUARD_S)
        return [vmodel.name for vmodel in reply.vmodels]

    until(lambda: names(name_prefix=model) == [f"{model}a", f"{model}b"], "both are known")
    assert names(model=model, owner="me") == [f"{model}b"]
    assert names(name_prefix=model, status=[meshd_pb2.VModel.TRANSITIONING]) == []


def test_an_instance_that_only_reads_follows_and_changes_nothing(model: str) -> None:
    with mesh(1, MM_DEFAULT_VMODEL_OWNER="us") as made:
        assert set_(made.client, "v", model, modelInfo=FAKE).owner == "us"
        reading = made.add(KV_READ_ONLY="true").client
        text = "model-mesh is in read-only mode"
        assert refused(lambda: set_(reading, "w", model)) == ("UNAVAILABLE", text)
        assert refused(lambda: delete(reading, "v")) == ("UNAVAILABLE", text)
        assert points(set_(reading, "v", model)) == ("DEFINED", model, model)
        assert infer(reading, "v") == model


@pytest.mark.parametrize("value", [b"no json", b'{"amid":5}'])
def test_a_record_that_cannot_be_read_is_refused_and_can_be_deleted(
    pair: Mesh, client: Client, model: str, value: bytes
) -> None:
    vmodel = f"v-{model}"
    client.register(model)
    pair.put(f"vmodels/{vmodel}", value)
    until(lambda: refused(lambda: get(client, vmodel))[0] == "FAILED_PRECONDITION", "it is known")
    assert refused(lambda: set_(client, vmodel, model))[0] == "FAILED_PRECONDITION"
    delete(client, vmodel)
    assert record(pair, vmodel) is None
    assert points(set_(client, vmodel, model)) == ("DEFINED", model, model)


def test_metrics_of_each_model_name_the_virtual_model_it_answered_for(model: str) -> None:
    """Also where the request was passed on; one by the model's own name has none."""
    ports = [free_port(), free_port()]
    settings = [f"prometheus:port={port};scheme=http;per_model_metrics=true" for port in ports]
    with mesh(0) as made:
        for setting in settings:
            made.add(MM_METRICS=setting)
        set_(made.client, "v", model, modelInfo=FAKE)
        made.copy(model, 1)
        until(lambda: instance_of(made.client.infer(model)) == "i1", "it is passed on")
        assert infer(made.client, "v") == model
        labels = f'method="Method",code="OK",modelId="{model}",vModelId="v",'
        asked, answered = (series(port) for port in ports)
        assert asked[f"modelmesh_api_request_milliseconds_count{{{labels}}}"] == 1
        assert answered[f"modelmesh_invoke_model_milliseconds_count{{{labels}}}"] == 1
        direct = labels.replace('"v"', '""')
        assert asked[f"modelmesh_api_request_milliseconds_count{{{direct}}}"] >= 1
