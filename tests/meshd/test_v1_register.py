"""Models are registered and forgotten in bulk: a result each, what is wrong with one harms no other."""

from __future__ import annotations

import queue
import time
from typing import Any

import grpc
import pytest

from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, spec
from tests.meshd.mesh import Mesh
from tests.processes import until

LOADED, NOT_LOADED = wire.Model.Status.LOADED, wire.Model.Status.NOT_LOADED


def outcome(result: Any) -> tuple[int, bool, bool, str]:
    return result.code, result.created, result.changed, result.text


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
    told = client.model(model)
    assert told.spec == request.model
    assert told.revision >= result.revision, "it is loaded by and by, to have a copy"


def test_model_that_is_registered_and_not_loaded_counts_as_used_hours_ago(client: Client, model: str) -> None:
    (result,) = client.register_all([spec(model, "p")])
    told = client.model(model)
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
    assert client.model(model).spec.labels == {"l": "2"}


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
    until(
        lambda: {told.status for told in client.models(name_prefix=model)} == {wire.Model.Status.LOADED},
        "all are loaded",
    )


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
