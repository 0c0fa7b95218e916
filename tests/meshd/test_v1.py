"""The API of the mesh's own: registration in bulk, lists, and who is there."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshd import listing
from meshd.listing import LISTS_KEPT
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, refused, spec
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

LOADED, NOT_LOADED, LOADING_FAILED, UNKNOWN = (
    wire.Model.Status.LOADED, wire.Model.Status.NOT_LOADED, wire.Model.Status.LOADING_FAILED, wire.Model.Status.UNKNOWN,
)  # fmt: skip

_numbers = count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2, SERVICE_VERSION="build-20260101-1", MM_LABELS="b,a", MM_ZONE="z", MM_LOCATION="node") as made:
        yield made


@pytest.fixture
def client(pair: Mesh) -> Client:
    return pair.client


@pytest.fixture
def model() -> str:
    """A name that nobody used, and that no other test's begins with."""
    return f"model-{next(_numbers)}-"


def got(client: Client, name: str) -> Any:
    return client.v1.GetModel(wire.GetModelRequest(name=name), timeout=GUARD_S)


def outcome(result: Any) -> tuple[int, bool, bool, str]:
    return result.code, result.created, result.changed, result.text


# -- Info -------------------------------------------------------------------------------------------------------


def test_an_instance_says_who_it_is_and_what_it_can_do(pair: Mesh) -> None:
    info = pair[1].client.v1.Info(wire.InfoRequest(), timeout=GUARD_S)
    assert (info.instance, info.service, info.version) == ("i1", "test", "build-20260101-1")
    assert (info.store, info.store_available, info.data_plane, info.phase) == ("memory", True, "python", "ready")
    assert abs(info.start_ms - time.time() * 1000) < 600_000
    assert set(info.methods) == {
        "Info", "Register", "Unregister", "GetModel", "ListModels", "ListInstances", "Explain", "Decisions",
    }  # fmt: skip


def test_what_is_not_built_says_so(client: Client) -> None:
    assert refused(lambda: client.v1.GetSettings(wire.GetSettingsRequest()))[0] == "UNIMPLEMENTED"
    assert refused(lambda: list(client.v1.WatchModels(wire.WatchModelsRequest())))[0] == "UNIMPLEMENTED"


def test_clients_can_find_out_what_there_is(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="mmesh.ModelMesh"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="meshd.v1.Mesh"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
    ]
    told = list(stub.ServerReflectionInfo(iter(asked), timeout=GUARD_S))
    services = {service.name for service in told[0].list_services_response.service}
    assert {"mmesh.ModelMesh", "meshd.v1.Mesh", "grpc.health.v1.Health"} <= services
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in told[1:4])
    assert told[4].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


# -- Register ---------------------------------------------------------------------------------------------------


def test_registering_again_changes_only_what_is_said_anew(pair: Mesh, client: Client, model: str) -> None:
    first, again, changed = (
        client.register_all([request])[0]
        for request in (
            spec(model, "p", labels={"team": "a"}, size_bytes=5, min_copies=1, max_copies=2, pinned=True, priority=0),
            spec(model, "p", labels={"team": "a"}, size_bytes=5, min_copies=1, max_copies=2, pinned=True, priority=0),
            spec(model, "p", labels={"team": "b"}),
        )
    )
    assert outcome(first) == (0, True, True, "")
    assert outcome(again) == (0, False, False, "")
    assert outcome(changed) == (0, False, True, "")
    assert first.revision <= again.revision < changed.revision, "it may be loaded meanwhile, to have a copy"
    record = pair.record(model)
    assert record is not None
    assert {name: value for name, value in record["meshd"].items() if name != "ready"} == {"labels": {"team": "b"}}


def test_everything_that_is_registered_is_told_back(client: Client, model: str) -> None:
    request = spec(
        model, "p", kind="t", labels={"b": "2", "a": "1"}, size_bytes=5, min_copies=1, max_copies=2, pinned=True,
        priority=0,
    )  # fmt: skip
    request.model.key = "k"
    (result,) = client.register_all([request])
    told = got(client, model)
    assert told.spec == request.model
    assert told.revision >= result.revision, "it is loaded by and by, to have a copy"


def test_model_that_is_registered_and_not_loaded_counts_as_used_hours_ago(client: Client, model: str) -> None:
    (result,) = client.register_all([spec(model, "p")])
    told = got(client, model)
    assert (told.status, told.revision) == (NOT_LOADED, result.revision)
    assert abs(told.last_used_ms + 6 * 3_600_000 - time.time() * 1000) < 60_000


def test_a_result_says_what_is_wrong_with_its_request_and_the_others_go_on(client: Client, model: str) -> None:
    requests = [
        spec(f"{model}0"),
        spec(""),
        spec(f"{model}1", kind=""),
        spec(f"{model}2", priority=10),
        spec(f"{model}3", min_copies=3, max_copies=2),
        spec(f"{model}5", size_bytes=2**64 - 1),
        spec(f"{model}0", "other"),
        spec(f"{model}4"),
    ]
    results = client.register_all(requests[:1]) + client.register_all(requests[1:])
    assert [(result.name, result.code, result.text) for result in results] == [
        (f"{model}0", 0, ""),
        ("", 3, "must provide non-empty modelId"),
        (f"{model}1", 3, "Must provide non-empty model type string"),
        (f"{model}2", 3, "priority is 10; allowed: 0 to 9"),
        (f"{model}3", 3, "min copies are 3, more than max copies, 2"),
        (f"{model}5", 3, f"the size is {2**64 - 1} bytes; allowed: 0 to {2**63 - 1}"),
        (f"{model}0", 6, "Model already exists with different attribute values"),
        (f"{model}4", 0, ""),
    ]
    assert [result.index for result in results] == [0, 0, 1, 2, 3, 4, 5, 6]


def test_a_registration_can_expect_a_revision(client: Client, model: str) -> None:
    def register(expected: int, label: str) -> Any:
        request = spec(model, labels={"l": label})
        request.expected_revision = expected
        return client.register_all([request])[0]

    absent = register(7, "1")
    assert (absent.code, absent.text) == (10, f"the record of {model} is at revision 0, not 7")
    first = register(0, "1")
    assert outcome(first) == (0, True, True, "")
    assert register(0, "2").code == 10
    second = register(first.revision, "2")
    assert outcome(second) == (0, False, True, "")
    assert register(first.revision, "3").code == 10
    assert got(client, model).spec.labels == {"l": "2"}


def test_a_trial_changes_nothing(pair: Mesh, client: Client, model: str) -> None:
    trial = spec(model, load=True)
    trial.dry_run = True
    assert outcome(client.register_all([trial])[0]) == (0, True, True, "")
    assert pair.record(model) is None
    client.register(model, load=True)
    changing = spec(model, labels={"a": "b"})
    changing.dry_run = True
    assert outcome(client.register_all([changing])[0]) == (0, False, True, "")
    wrong = spec(model, "other")
    wrong.dry_run = True
    assert client.register_all([wrong])[0].code == 6
    request = wire.UnregisterRequest(name=model, dry_run=True)
    (result,) = client.v1.Unregister(iter([request]), timeout=GUARD_S)
    assert (result.code, result.existed) == (0, True)
    assert client.state(model) == "LOADED"


def test_a_registration_can_load(client: Client, model: str) -> None:
    results = client.register_all([spec(f"{model}{number}", load=True) for number in range(10)])
    assert {result.code for result in results} == {0}
    until(lambda: {told.status for told in client.models(name_prefix=model)} == {LOADED}, "all are loaded")


def test_a_client_may_wait_for_each_result_before_it_goes_on(client: Client, model: str) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    results = client.v1.Register(iter(requests.get, None), timeout=GUARD_S)
    for number in range(3):
        requests.put(spec(f"{model}{number}"))
        assert next(results).index == number
    requests.put(None)
    assert list(results) == []


def test_a_client_that_leaves_in_the_middle_harms_nobody(pair: Mesh, client: Client, model: str) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    results = client.v1.Register(iter(requests.get, None), timeout=GUARD_S)
    for number in range(300):
        requests.put(spec(f"{model}{number}"))
    next(results)
    results.cancel()
    requests.put(None)
    assert outcome(client.register_all([spec(f"{model}after")])[0]) == (0, True, True, "")


def test_a_request_that_cannot_be_read_ends_its_stream(client: Client, model: str) -> None:
    call = client.channel.stream_stream("/meshd.v1.Mesh/Register")
    with pytest.raises(grpc.RpcError):
        list(call(iter([spec(model).SerializeToString(), b"\xff"]), timeout=GUARD_S))


def test_a_thousand_models_are_registered_listed_and_forgotten(pair: Mesh, client: Client, model: str) -> None:
    names = [f"{model}{number:04}" for number in range(1000)]
    results = client.register_all(spec(name) for name in names)
    assert [result.name for result in results] == names
    assert {outcome(result) for result in results} == {(0, True, True, "")}
    for instance in pair.instances:
        until(lambda instance=instance: len(instance.client.models(name_prefix=model)) == 1000, "known")  # type: ignore[misc]
        assert [told.spec.name for told in instance.client.models(page_size=333, name_prefix=model)] == names
    forgotten = client.v1.Unregister((wire.UnregisterRequest(name=name) for name in names), timeout=GUARD_S)
    assert all(result.existed for result in forgotten)
    until(lambda: not pair[1].client.models(name_prefix=model), "all are gone")


# -- Unregister -------------------------------------------------------------------------------------------------


def test_to_forget_says_whether_there_was_one(pair: Mesh, client: Client, model: str) -> None:
    client.register(f"{model}0")
    pair.put(f"registry/{model}1", b'{"type":"fake","refs":2}')
    names = [f"{model}0", f"{model}0", f"{model}1", f"{model}2", ""]
    results = []
    for name in names:
        results += client.v1.Unregister(iter([wire.UnregisterRequest(name=name)]), timeout=GUARD_S)
    assert [(result.code, result.text, result.existed) for result in results] == [
        (0, "", True),
        (0, "", False),
        (9, f"Model {model}1 has referents", False),
        (0, "", False),
        (3, "must provide non-empty modelId", False),
    ]


def test_to_forget_can_expect_a_revision(client: Client, model: str) -> None:
    (made,) = client.register_all([spec(model)])

    def forget(expected: int) -> Any:
        request = wire.UnregisterRequest(name=model, expected_revision=expected)
        return next(iter(client.v1.Unregister(iter([request]), timeout=GUARD_S)))

    assert forget(made.revision - 1).code == 10
    assert (forget(made.revision).code, client.state(model)) == (0, "NOT_FOUND")


# -- GetModel ---------------------------------------------------------------------------------------------------


def test_a_loaded_model_shows_its_copies(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    pair.copy(model, 0)
    pair.copy(model, 1)

    def both_loaded() -> bool:
        copies = got(client, model).copies
        return sorted((copy.instance, copy.state) for copy in copies) == [
            ("i0", wire.Copy.State.LOADED), ("i1", wire.Copy.State.LOADED),
        ]  # fmt: skip

    until(both_loaded, "both copies are loaded")
    told = got(client, model)
    assert told.status == LOADED
    times = [copy.load_ts_ms for copy in told.copies]
    assert times == sorted(times, reverse=True)


def test_a_model_that_loads_shows_where(client: Client, model: str) -> None:
    client.register(model, "fake:?load_ms=600000", load=True, sync=False)
    until(lambda: bool(got(client, model).copies), "the copy is named")
    told = got(client, model)
    assert (told.status, told.copies[0].state) == (wire.Model.Status.LOADING, wire.Copy.State.LOADING)
    client.unregister(model)


def test_failures_are_told_with_where_and_when(client: Client, model: str) -> None:
    client.register(model, "fake:?fail=INVALID_ARGUMENT&fail_text=bad+file")
    client.ensure(model)
    until(lambda: len(got(client, model).failures) == 2, "both tried")
    told = got(client, model)
    assert told.status == LOADING_FAILED
    assert {failure.text for failure in told.failures} == {"INVALID_ARGUMENT: bad file"}
    assert {failure.instance for failure in told.failures} == {"i0", "i1"}
    times = [failure.at_ms for failure in told.failures]
    assert times == sorted(times, reverse=True)
    assert not told.copies


def test_an_unknown_model_is_not_found(client: Client, model: str) -> None:
    assert refused(lambda: got(client, model)) == ("NOT_FOUND", f"no model '{model}' is registered")


@pytest.mark.parametrize("value", [b"nonsense", b'{"type":3}', b"[]", b"\xff"])
def test_a_record_that_cannot_be_read_is_shown_and_harms_no_other(
    pair: Mesh, client: Client, model: str, value: bytes
) -> None:
    pair.put(f"registry/{model}", value)
    client.register(f"{model}good", load=True)
    until(lambda: len(client.models(name_prefix=model)) == 2, "both are listed")
    bad = client.models(name_prefix=model)[0]
    assert bad == got(client, model)
    assert bad.status == UNKNOWN
    assert f'Record "registry/{model}"' in bad.failures[0].text
    wrong = ("FAILED_PRECONDITION", bad.failures[0].text)
    assert refused(lambda: client.infer(model)) == wrong
    assert refused(lambda: client.register(model)) == wrong
    assert refused(lambda: client.ensure(model)) == wrong
    assert client.infer(f"{model}good").body == b"hello"
    assert pair.value(f"registry/{model}") == value, "never overwritten"
    client.unregister(model)
    assert pair.value(f"registry/{model}") is None, "it stood in the way of its id"
    until(lambda: len(client.models(name_prefix=model)) == 1, "it is gone")


# -- ListModels -------------------------------------------------------------------------------------------------


def test_models_pass_all_of_a_filter(client: Client, model: str) -> None:
    client.register_all(
        [
            spec(f"{model}a", kind="t1", labels={"team": "x", "tier": "1"}),
            spec(f"{model}b", kind="t1", labels={"team": "x"}),
            spec(f"{model}c", kind="t2", labels={"team": "x", "tier": "1"}),
        ]
    )
    client.register(f"{model}d", load=True)

    def names(**wanted: Any) -> str:
        return "".join(told.spec.name[-1] for told in client.models(name_prefix=model, **wanted))

    assert names() == "abcd"
    assert names(type="t1") == "ab"
    assert names(labels={"team": "x", "tier": "1"}) == "ac"
    assert names(type="t1", labels={"tier": "1"}) == "a"
    assert names(status=[LOADED, LOADING_FAILED]) == "d"
    assert names(status=[NOT_LOADED]) == "abc"
    (holder,) = client.holders(f"{model}d")
    assert names(instance=holder) == "d"
    assert names(instance="elsewhere") == ""
    assert names(type="none") == ""


def page(client: Client, **fields: Any) -> Any:
    return client.v1.ListModels(wire.ListModelsRequest(**fields), timeout=GUARD_S)


def test_all_pages_are_of_one_moment(client: Client, model: str) -> None:
    wanted = wire.ModelFilter(name_prefix=model)
    client.register_all([spec(f"{model}{number}") for number in range(5)])
    first = page(client, filter=wanted, page_size=2)
    client.unregister(f"{model}3")
    client.register_all([spec(f"{model}9")])
    second = page(client, filter=wanted, page_size=2, page_token=first.next_page_token)
    third = page(client, filter=wanted, page_size=2, page_token=second.next_page_token)
    names = [told.spec.name[-1] for each in (first, second, third) for told in each.models]
    assert names == ["0", "1", "2", "3", "4"]
    assert first.revision == second.revision == third.revision
    assert third.next_page_token == ""
    assert page(client, filter=wanted).revision > first.revision


def test_a_page_looks_at_so_many_models_and_leaves_the_others_to_the_next(
    client: Client, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT_MOST", 10)
    client.register_all([spec(f"{model}{number:02}", kind="rare" if number == 33 else "fake") for number in range(35)])
    wanted = wire.ModelFilter(name_prefix=model, type="rare")
    first = page(client, filter=wanted)
    assert (len(first.models), bool(first.next_page_token)) == (0, True)
    assert [told.spec.name for told in client.models(name_prefix=model, type="rare")] == [f"{model}33"]
    assert len(client.models(name_prefix=model)) == 35
    assert client.models(name_prefix=f"{model}~") == client.models(name_prefix="\U0010ffff") == []


def test_only_a_list_without_a_filter_says_how_many_there_are(client: Client) -> None:
    everything = page(client)
    assert everything.total == len(client.models())
    assert not page(client, filter=wire.ModelFilter(type="fake")).HasField("total")


def test_a_page_size_is_not_negative(client: Client) -> None:
    expected = ("INVALID_ARGUMENT", "page_size is -1; allowed: 0 and more")
    assert refused(lambda: page(client, page_size=-1)) == expected


@pytest.mark.parametrize(
    "token", ["x", "W10=", "WzEsMl0=", "e30=", "WyJhIiwiYiJd", "W0luZmluaXR5LDFd", "WzEsLTVd", "ä", "W1s=" * 500]
)
def test_a_token_that_nobody_was_given_begins_no_page(client: Client, token: str) -> None:
    assert refused(lambda: page(client, page_token=token))[0] == "OUT_OF_RANGE"


def test_a_list_that_many_others_came_after_begins_again(client: Client, model: str) -> None:
    client.register_all([spec(f"{model}{number}") for number in range(2)])
    old = page(client, page_size=1)
    for _ in range(LISTS_KEPT):
        assert page(client, page_size=1).next_page_token
    call = lambda: page(client, page_size=1, page_token=old.next_page_token)  # noqa: E731
    assert refused(call) == ("OUT_OF_RANGE", "this list is not kept any more; begin again without a token")


# -- ListInstances ----------------------------------------------------------------------------------------------


def test_instances_describe_themselves(pair: Mesh) -> None:
    for asked in pair.instances:
        instances = asked.client.instances()
        assert sorted(instances) == ["i0", "i1"]
        told = instances["i1"]
        assert not told.is_java
        assert (told.location, told.zone, list(told.labels)) == ("node", "z", ["a", "b"])
        assert (told.version, told.phase, told.data_plane) == ("build-20260101-1", "ready", "python")
        assert not told.shutting_down
        assert 900 * MIB < told.capacity_bytes < 1024 * MIB, "without what is kept for unloads"
        assert told.grpc.startswith("127.0.0.1:")
        assert told.address.startswith("127.0.0.1:")


def test_an_instance_tells_of_itself_as_it_is_now(pair: Mesh, client: Client, model: str) -> None:
    before = client.instances()["i0"]
    client.register(model, "fake:?size=20MiB")
    pair.copy(model, 0)
    after = client.instances()["i0"]
    assert after.models == before.models + 1
    assert after.used_bytes == before.used_bytes + 20 * MIB


def test_a_java_instance_is_shown_as_one_and_nothing_is_asked_of_it(pair: Mesh, client: Client, model: str) -> None:
    record = {"startTime": 1, "cap": 10**9, "lThreads": 64, "loc": "10.0.0.1", "actionable": True}
    pair.put("instances/java", json.dumps(record).encode())
    pair.put(f"registry/{model}", b'{"type":"fake","instanceIds":{"java":5}}')
    try:
        until(lambda: "java" in client.instances(), "it is shown")
        told = client.instances()["java"]
        assert (told.is_java, told.location, told.address) == (True, "10.0.0.1", "")
        assert client.state(model) == "NOT_LOADED"
        assert client.infer(model).body == b"hello"
        assert "java" not in client.holders(model)
        kept = pair.record(model)
        assert kept is not None
        assert kept["instanceIds"]["java"] == 5, "its copy stays in the record"
    finally:
        pair.delete("instances/java")
