"""The management API as clients of ModelMesh know it, row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import grpc
import pytest

from protos import model_mesh_pb2 as mm
from tests.client import GUARD_S, Client, Status, instance_of, refused, spec
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

HOUR_MS = 3_600_000
LONG = "fake:?load_ms=600000"  # its load ends with its registration
BROKEN = "fake:?fail=INVALID_ARGUMENT&fail_text=bad+model+file"
UNKNOWN, LOADING_FAILED = Status.UNKNOWN, Status.LOADING_FAILED

_numbers = count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2) as made:
        yield made


@pytest.fixture
def client(pair: Mesh) -> Client:
    return pair.client


@pytest.fixture
def model() -> str:
    """A name that nobody used."""
    return f"model-{next(_numbers)}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def register(client: Client, timeout: float = GUARD_S, metadata: Any = (), **fields: Any) -> Any:
    info = fields.pop("info", {"type": "fake"})
    request = mm.RegisterModelRequest(modelInfo=mm.ModelInfo(**info), **fields)
    return client.mm.registerModel(request, timeout=timeout, metadata=metadata)


# -- registerModel ---------------------------------------------------------------------------------------------


def test_a_registration_needs_an_id_and_a_type(client: Client, model: str) -> None:
    assert refused(lambda: register(client)) == ("INVALID_ARGUMENT", "must provide non-empty modelId")
    no_type = ("INVALID_ARGUMENT", "Must provide non-empty model type string")
    assert refused(lambda: register(client, modelId=model, info={"path": "p"})) == no_type
    assert refused(lambda: client.mm.registerModel(mm.RegisterModelRequest(modelId=model))) == no_type
    assert client.state(model) == "NOT_FOUND"


def test_a_new_model_is_registered_and_not_loaded(pair: Mesh, client: Client, model: str) -> None:
    told = register(client, modelId=model, info={"type": "fake", "path": "p", "key": "k"})
    assert told == mm.ModelStatusInfo(status=Status.NOT_LOADED)
    record = pair.record(model)
    assert record is not None
    assert {name: record[name] for name in ("type", "mPath", "encKey")} == {
        "type": "fake", "mPath": "p", "encKey": "k",
    }  # fmt: skip
    assert pair[1].client.state(model) == "NOT_LOADED"


def test_sync_without_load_has_no_effect(client: Client, model: str) -> None:
    assert register(client, modelId=model, sync=True).status == Status.NOT_LOADED


def test_a_load_that_nobody_waits_for_shows_as_loading_with_its_copy(client: Client, model: str) -> None:
    told = register(client, modelId=model, info={"type": "fake", "path": LONG}, loadNow=True)
    assert told.status == Status.LOADING
    assert [copy.copyStatus for copy in told.modelCopyInfos] == [UNKNOWN]
    client.unregister(model)


def test_a_sync_load_answers_when_it_is_over(pair: Mesh, client: Client, model: str) -> None:
    before = now_ms()
    told = register(client, modelId=model, info={"type": "fake", "path": "fake:?load_ms=50"}, loadNow=True, sync=True)
    assert told.status == Status.LOADED
    assert not told.errors
    (copy,) = told.modelCopyInfos
    assert copy.copyStatus == UNKNOWN
    assert copy.location in ("i0", "i1")
    assert before - 1000 <= copy.time <= now_ms() + 1000
    fake = pair[int(copy.location[1])].fake
    assert fake.counts[model].loads == 1


def test_a_load_that_fails_is_a_status_and_not_an_error(client: Client, model: str) -> None:
    told = register(client, modelId=model, info={"type": "fake", "path": BROKEN}, loadNow=True, sync=True)
    assert told.status == LOADING_FAILED
    assert told.errors[0].endswith("INVALID_ARGUMENT: bad model file")
    assert {copy.copyStatus for copy in told.modelCopyInfos} == {LOADING_FAILED}


def test_the_same_registration_again_answers_with_the_status_at_present(client: Client, model: str) -> None:
    info = {"type": "fake", "path": "fake:?", "key": "k"}
    assert register(client, modelId=model, info=info).status == Status.NOT_LOADED
    assert register(client, modelId=model, info=info).status == Status.NOT_LOADED
    assert register(client, modelId=model, info=info, loadNow=True, sync=True).status == Status.LOADED
    assert register(client, modelId=model, info=info).status == Status.LOADED
    assert register(client, modelId=model, info=info, loadNow=True).status == Status.LOADED


@pytest.mark.parametrize("change", [{"type": "other"}, {"path": "other"}, {"key": "other"}, {"path": ""}])
def test_another_type_path_or_key_is_another_model(client: Client, model: str, change: dict[str, str]) -> None:
    info = {"type": "fake", "path": "p", "key": "k"}
    register(client, modelId=model, info=info)
    expected = ("ALREADY_EXISTS", "Model already exists with different attribute values")
    assert refused(lambda: register(client, modelId=model, info={**info, **change})) == expected
    assert refused(lambda: register(client, modelId=model, info={**info, **change}, loadNow=True)) == expected
    assert client.state(model) == "NOT_LOADED"


def test_an_empty_path_and_key_are_stored_as_absent(pair: Mesh, client: Client, model: str) -> None:
    register(client, modelId=model, info={"type": "fake", "path": "", "key": ""})
    record = pair.record(model)
    assert record is not None
    assert not record.keys() & {"mPath", "encKey"}
    assert register(client, modelId=model).status == Status.NOT_LOADED


@pytest.mark.parametrize(
    ("asked", "ago_ms"),
    [({}, 6 * HOUR_MS), ({"loadNow": True}, HOUR_MS), ({"lastUsedTime": 2**62}, 0)],
)
def test_what_nobody_used_yet_counts_as_used_a_while_ago(
    pair: Mesh, client: Client, model: str, asked: dict[str, Any], ago_ms: int
) -> None:
    before = now_ms()
    register(client, modelId=model, info={"type": "fake", "path": LONG}, **asked)
    record = pair.record(model)
    assert record is not None
    assert before - 2_000 <= record["lu"] + ago_ms <= now_ms() + 2_000
    client.unregister(model)


def test_a_stored_last_use_is_refreshed_only_when_it_is_an_hour_old(pair: Mesh, client: Client, model: str) -> None:
    def used_at(at: int) -> int:
        register(client, modelId=model, lastUsedTime=at)
        record = pair.record(model)
        assert record is not None
        return int(record["lu"])

    start = now_ms() - 10 * HOUR_MS
    assert used_at(start) == start
    assert used_at(start + HOUR_MS) == start
    assert used_at(start + HOUR_MS + 1) == start + HOUR_MS + 1
    assert used_at(start) == start + HOUR_MS + 1


def test_a_sync_load_ends_with_the_clients_deadline_and_goes_on(pair: Mesh, client: Client, model: str) -> None:
    info = {"type": "fake", "path": "fake:?load_ms=600"}
    asked = lambda: register(client, modelId=model, info=info, loadNow=True, sync=True, timeout=0.2)  # noqa: E731
    assert refused(asked)[0] == "DEADLINE_EXCEEDED"
    until(lambda: client.state(model) == "LOADED", "the load goes on")
    assert sum(instance.fake.counts[model].loads for instance in pair.instances if model in instance.fake.counts) == 1


def test_a_sync_load_whose_client_leaves_goes_on(client: Client, model: str) -> None:
    request = mm.RegisterModelRequest(
        modelId=model, modelInfo=mm.ModelInfo(type="fake", path="fake:?load_ms=300"), loadNow=True, sync=True
    )
    call = client.mm.registerModel.future(request)
    until(lambda: client.state(model) == "LOADING", "the load has begun")
    call.cancel()
    until(lambda: client.state(model) == "LOADED", "the load goes on")


def test_a_client_that_balances_has_its_models_loaded_where_it_asks_and_others_have_them_spread() -> None:
    def home(made: Mesh, number: int, *metadata: tuple[str, str]) -> str:
        name = f"model-{next(_numbers)}"
        told = register(made[number].client, modelId=name, loadNow=True, sync=True, metadata=metadata)
        return str(told.modelCopyInfos[0].location)

    with mesh(2) as made:
        for _ in range(4):
            for number in (0, 1):
                assert home(made, number, ("mm-balanced", "true")) == f"i{number}"
        for metadata in ((), (("mm-balanced", "TRUE"),)):
            assert {home(made, 0, *metadata) for _ in range(12)} == {"i0", "i1"}


# -- unregisterModel -------------------------------------------------------------------------------------------


def test_to_forget_an_unknown_model_is_fine(client: Client, model: str) -> None:
    client.unregister(model)
    assert refused(lambda: client.unregister("")) == ("INVALID_ARGUMENT", "must provide non-empty modelId")


def test_a_forgotten_model_is_unloaded_everywhere(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    (holder,) = client.holders(model)
    pair[1].client.unregister(model)
    assert pair.record(model) is None
    fake = pair[int(holder[1])].fake
    until(lambda: model not in fake.models, "the copy is unloaded")
    assert refused(lambda: client.infer(model)) == ("NOT_FOUND", "model not found")
    assert pair[0].client.state(model) == "NOT_FOUND"


def test_a_model_that_is_forgotten_while_it_loads_is_not_loaded(pair: Mesh, client: Client, model: str) -> None:
    register(client, modelId=model, info={"type": "fake", "path": LONG}, loadNow=True)
    until(lambda: any(model in instance.fake.counts for instance in pair.instances), "the runtime loads it")
    client.unregister(model)
    client.register(model, "fake:?", load=True)
    assert client.state(model) == "LOADED"


def test_a_model_that_a_virtual_model_points_to_stays(pair: Mesh, client: Client, model: str) -> None:
    pair.put(f"registry/{model}", b'{"type":"fake","refs":1}')
    assert refused(lambda: client.unregister(model)) == ("FAILED_PRECONDITION", f"Model {model} has referents")
    assert pair.record(model) == {"type": "fake", "refs": 1}


# -- getModelStatus --------------------------------------------------------------------------------------------


def test_the_status_of_an_unknown_model_is_an_answer(client: Client, model: str) -> None:
    assert client.status(model) == mm.ModelStatusInfo(status=Status.NOT_FOUND)


def test_every_instance_tells_the_same_status(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    told = [instance.client.status(model) for instance in pair.instances]
    assert told[0] == told[1]
    assert told[0].status == Status.LOADED
    assert [copy.copyStatus for copy in told[0].modelCopyInfos] == [UNKNOWN]


def test_a_model_that_loads_shows_as_loading_from_everywhere(pair: Mesh, client: Client, model: str) -> None:
    register(client, modelId=model, info={"type": "fake", "path": LONG}, loadNow=True)
    for instance in pair.instances:
        until(lambda instance=instance: instance.client.state(model) == "LOADING", "LOADING")  # type: ignore[misc]
    client.unregister(model)


def test_failures_come_newest_first_with_the_runtimes_reason(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, BROKEN)
    assert client.ensure(model).status == LOADING_FAILED
    until(lambda: len(client.status(model).errors) == 2, "both instances tried")
    for instance in pair.instances:
        told = instance.client.status(model)
        assert told.status == LOADING_FAILED
        assert list(told.errors) == ["INVALID_ARGUMENT: bad model file"] * 2
        assert {copy.location for copy in told.modelCopyInfos} == {"i0", "i1"}
        times = [copy.time for copy in told.modelCopyInfos]
        assert times == sorted(times, reverse=True)


def test_a_failure_without_a_code_is_told_without_one(client: Client, model: str) -> None:
    client.register(model, "fake:?fail=UNKNOWN&fail_text=just+so")
    assert client.ensure(model).errors[0] == "just so"


def test_failures_that_are_too_old_do_not_count(pair: Mesh, client: Client, model: str) -> None:
    old = now_ms() - 16 * 60_000
    record = {"type": "fake", "failedIn": {"gone": old}, "fails": {"gone": {"msg": "bad"}}}
    pair.put(f"registry/{model}", json.dumps(record).encode())
    until(lambda: client.state(model) == "NOT_LOADED", "the record is seen")
    assert not client.status(model).errors


# -- ensureLoaded ----------------------------------------------------------------------------------------------


def test_an_unknown_model_cannot_be_loaded(client: Client, model: str) -> None:
    assert refused(lambda: client.ensure(model)) == ("NOT_FOUND", "model not found")
    assert refused(lambda: client.ensure(model, sync=False)) == ("NOT_FOUND", "model not found")


def test_a_loaded_model_stays_where_it_is(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    holders = client.holders(model)
    for instance in pair.instances:
        for sync in (True, False):
            assert instance.client.ensure(model, sync=sync).status == Status.LOADED
    assert client.holders(model) == holders


def test_a_model_is_loaded_on_demand(client: Client, model: str) -> None:
    client.register(model, "fake:?load_ms=50")
    assert client.ensure(model, sync=False).status == Status.LOADING
    assert client.ensure(model).status == Status.LOADED


def test_deadlines_that_pass_while_another_instance_loads_start_no_second_load(pair: Mesh) -> None:
    names = [f"model-{next(_numbers)}" for _ in range(8)]
    for name in names:
        pair[0].client.register(name, "fake:?load_ms=300")
        pair.copy(name, 0, sync=False)
    for name in names:
        until(lambda name=name: pair[1].client.holders(name) == ["i0"], "i1 knows who loads it")  # type: ignore[misc]
    waiting = [
        pair[1].client.mm.ensureLoaded.future(mm.EnsureLoadedRequest(modelId=name, sync=True), timeout=0.1)
        for name in names
    ]
    assert {refused(call.result)[0] for call in waiting} == {"DEADLINE_EXCEEDED"}
    for name in names:
        until(lambda name=name: pair[1].client.state(name) == "LOADED", "i0 has loaded it")  # type: ignore[misc]
    assert not pair[1].fake.counts.keys() & set(names)


def test_what_the_prediction_says_never_fits_fails_at_once(client: Client, model: str) -> None:
    client.register(model, "fake:?size=2GiB")
    told = client.ensure(model)
    assert told.status == LOADING_FAILED
    assert told.errors[0].startswith("Predicted size of ")
    assert refused(lambda: client.infer(model)) == ("INTERNAL", told.errors[0])


def test_what_turns_out_never_to_fit_is_not_loaded(pair: Mesh, client: Client, model: str) -> None:
    (result,) = client.register_all([spec(model, "fake:?size=2GiB", size_bytes=MIB)])
    assert result.code == 0
    client.ensure(model, sync=False)
    until(lambda: sum(i.fake.counts[model].unloads for i in pair.instances if model in i.fake.counts), "unloaded again")
    until(lambda: client.state(model) == "NOT_LOADED", "NOT_LOADED")


@pytest.mark.parametrize("last_used", [1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_last_use_counts_as_now_at_the_latest(pair: Mesh, client: Client, model: str, last_used: int) -> None:
    client.register(model)
    request = mm.EnsureLoadedRequest(modelId=model, sync=True, lastUsedTime=last_used)
    assert client.mm.ensureLoaded(request, timeout=GUARD_S).status == Status.LOADED
    record = pair.record(model)
    assert record is not None
    assert record["lu"] <= now_ms() + 2_000
    assert client.infer(model).body == b"hello"


# -- names it had before, and names it does not have ------------------------------------------------------------


@pytest.mark.parametrize("service", ["mmesh.ModelMesh", "com.ibm.watson.tas.proto.TasRuntime"])
def test_old_names_of_methods_work(client: Client, model: str, service: str) -> None:
    def call(method: str, request: Any) -> bytes:
        return client.call(f"/{service}/{method}", request.SerializeToString()).body

    register_it = mm.RegisterModelRequest(modelId=model, modelInfo=mm.ModelInfo(type="fake"))
    assert mm.ModelStatusInfo.FromString(call("addModel", register_it)).status == Status.NOT_LOADED
    assert client.state(model) == "NOT_LOADED"
    assert call("deleteModel", mm.UnregisterModelRequest(modelId=model)) == b""
    assert client.state(model) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("registerModel", lambda model: mm.RegisterModelRequest(modelId=model, modelInfo=mm.ModelInfo(type="fake"))),
        ("getModelStatus", lambda model: mm.GetStatusRequest(modelId=model)),
        ("unregisterModel", lambda model: mm.UnregisterModelRequest(modelId=model)),
    ],
)
def test_the_old_service_has_the_methods_of_the_new(
    client: Client, model: str, method: str, request_of: Callable[[str], Any]
) -> None:
    client.call(f"/com.ibm.watson.tas.proto.TasRuntime/{method}", request_of(model).SerializeToString())


def test_an_unknown_method_of_the_old_service_is_unimplemented(client: Client) -> None:
    assert refused(lambda: client.call("/com.ibm.watson.tas.proto.TasRuntime/fly"))[0] == "UNIMPLEMENTED"


def test_an_unknown_method_of_the_service_is_an_inference_call(client: Client, model: str) -> None:
    expected = ("INVALID_ARGUMENT", "must include mm-model-id header")
    assert refused(lambda: client.call("/mmesh.ModelMesh/fly")) == expected
    client.register(model)
    assert client.call("/mmesh.ModelMesh/fly", b"x", (("mm-model-id", model),)).body == b"x"


@pytest.mark.parametrize(
    ("method", "request_message"),
    [
        ("setVModel", mm.SetVModelRequest(vModelId="v", targetModelId="m")),
        ("deleteVModel", mm.DeleteVModelRequest(vModelId="v")),
        ("getVModelStatus", mm.GetVModelStatusRequest(vModelId="v")),
    ],
)
def test_virtual_models_are_said_to_be_not_supported(client: Client, method: str, request_message: Any) -> None:
    call = getattr(client.mm, method)
    assert refused(lambda: call(request_message)) == ("UNIMPLEMENTED", "vmodels not supported")


def test_a_request_that_cannot_be_read_is_an_error_of_that_call_alone(client: Client, model: str) -> None:
    with pytest.raises(grpc.RpcError):
        client.call("/mmesh.ModelMesh/registerModel", b"\xff")
    client.register(model, load=True)
    assert instance_of(client.infer(model)) in ("i0", "i1")
