"""registerModel and unregisterModel as clients of ModelMesh know them, row by row."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

import pytest

from protos import model_mesh_pb2 as mm
from tests.client import GUARD_S, Client, Status, refused
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until

HOUR_MS = 3_600_000
LONG = "fake:?load_ms=600000"  # its load ends with its registration
BROKEN = "fake:?fail=INVALID_ARGUMENT&fail_text=bad+model+file"
UNKNOWN, LOADING_FAILED = Status.UNKNOWN, Status.LOADING_FAILED


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
    asked = lambda: register(client, modelId=model, loadNow=True, sync=True, timeout=0.2)  # noqa: E731
    with pair.held("load") as held:
        until(lambda: (refused(asked)[0], held()) == ("DEADLINE_EXCEEDED", 1), "it ended while the runtime loads")
    until(lambda: client.state(model) == "LOADED", "the load goes on")
    assert sum(instance.fake.counts[model].loads for instance in pair.instances if model in instance.fake.counts) == 1


def test_a_sync_load_whose_client_leaves_goes_on(pair: Mesh, client: Client, model: str) -> None:
    request = mm.RegisterModelRequest(modelId=model, modelInfo=mm.ModelInfo(type="fake"), loadNow=True, sync=True)
    with pair.held("load") as held:
        call = client.mm.registerModel.future(request)
        until(lambda: held() == 1 and client.state(model) == "LOADING", "the load has begun")
        call.cancel()
    until(lambda: client.state(model) == "LOADED", "the load goes on")
    assert sum(instance.fake.counts[model].loads for instance in pair.instances if model in instance.fake.counts) == 1


def test_a_client_that_balances_has_its_models_loaded_where_it_asks_and_others_have_them_spread() -> None:
    numbers = count()

    def home(made: Mesh, number: int, *metadata: tuple[str, str]) -> str:
        told = register(made[number].client, modelId=f"m{next(numbers)}", loadNow=True, sync=True, metadata=metadata)
        return str(told.modelCopyInfos[0].location)

    with mesh(2) as made:
        for _ in range(4):
            for number in (0, 1):
                assert home(made, number, ("mm-balanced", "true")) == f"i{number}"
        for metadata in ((), (("mm-balanced", "TRUE"),)):
            until(lambda homes=set(), sent=metadata: homes.add(home(made, 0, *sent)) or len(homes) == 2, "they spread")  # type: ignore[misc]


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
