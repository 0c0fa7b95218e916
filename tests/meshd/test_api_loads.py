"""getModelStatus and ensureLoaded as clients of ModelMesh know them, row by row."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from meshd.config import Config
from protos import model_mesh_pb2 as mm
from tests.client import GUARD_S, Client, Status, refused, spec
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

LONG = "fake:?load_ms=600000"  # its load ends with its registration
UNKNOWN, LOADING_FAILED = Status.UNKNOWN, Status.LOADING_FAILED


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# -- getModelStatus --------------------------------------------------------------------------------------------


def test_the_status_of_an_unknown_model_is_an_answer(client: Client, model: str) -> None:
    assert client.status(model) == mm.ModelStatusInfo(status=Status.NOT_FOUND)


def test_every_instance_tells_the_same_status(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    for instance in pair.instances:
        until(lambda instance=instance: instance.client.state(model) == "LOADED", "the copy is known")  # type: ignore[misc]
    told = [instance.client.status(model) for instance in pair.instances]
    assert told[0] == told[1]
    assert told[0].status == Status.LOADED
    assert [copy.copyStatus for copy in told[0].modelCopyInfos] == [UNKNOWN]


def test_a_model_that_loads_shows_as_loading_from_everywhere(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, LONG, load=True, sync=False)
    for instance in pair.instances:
        until(lambda instance=instance: instance.client.state(model) == "LOADING", "LOADING")  # type: ignore[misc]
    client.unregister(model)


def test_failures_come_newest_first_with_the_runtimes_reason(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, "fake:?fail=INVALID_ARGUMENT&fail_text=bad+model+file")
    assert client.ensure(model).status == LOADING_FAILED
    for instance in pair.instances:
        asked = instance.client.status
        until(lambda asked=asked: len(asked(model).errors) == 2, "both instances tried")  # type: ignore[misc]
        told = asked(model)
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


def test_deadlines_that_pass_while_another_instance_loads_start_no_second_load(pair: Mesh, model: str) -> None:
    names = [f"{model}{number}" for number in range(8)]
    for name in names:
        pair[0].client.register(name, LONG)
        pair.copy(name, 0, sync=False)
    for name in names:
        until(lambda name=name: pair[1].client.holders(name) == ["i0"], "i1 knows who loads it")  # type: ignore[misc]
    waiting = [
        pair[1].client.mm.ensureLoaded.future(mm.EnsureLoadedRequest(modelId=name, sync=True), timeout=0.1)
        for name in names
    ]
    assert {refused(call.result)[0] for call in waiting} == {"DEADLINE_EXCEEDED"}
    assert [(pair[1].client.state(name), pair[1].client.holders(name)) for name in names] == [("LOADING", ["i0"])] * 8
    assert not pair[1].fake.counts.keys() & set(names)
    for name in names:
        pair[0].client.unregister(name)


def test_what_the_prediction_says_never_fits_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Config.settings
    monkeypatch.setattr(Config, "settings", lambda read: replace(settings(read), predict_deadline_ms=GUARD_S * 1000))
    with mesh(2) as made:
        made.client.register("m", "fake:?size=2GiB")
        told = made.client.ensure("m")
        assert told.status == LOADING_FAILED
        assert told.errors[0].startswith("Predicted size of ")
        assert refused(lambda: made.client.infer("m")) == ("INTERNAL", told.errors[0])


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
