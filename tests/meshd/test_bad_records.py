"""Garbage in the tables of a running mesh: told of once, shown where it can be, overwritten never."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client import refused
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until

GARBAGE = [
    b"", b"nonsense", b"\xff\xfe", b"[]", b"7", b"null", b'"text"', b'{"zz":NaN}', b'{"zz":1e999}', b'{"a":1,"a":2}',
    b"[" * 100_000, b'{"zz":' + b"[" * 900 + b"]" * 900 + b"}", b'{"meshd":[]}', b"x" * (1 << 20),
]  # fmt: skip
"""What is no record of any kind."""

MODELS = [
    b'{"type":3}', b'{"instanceIds":[]}', b'{"instanceIds":{"i0":"5"}}', b'{"refs":-1}', b'{"refs":99999999999}',
    b'{"lu":99999999999999999999}', b'{"mPath":"\\ud800"}', b'{"meshd":{"prio":10}}',
]  # fmt: skip
INSTANCES = [
    b'{"cap":"12"}', b'{"count":-1}', b'{"count":99999999999}', b'{"cap":9223372036854775807}', b'{"loc":"\\ud800"}',
    b'{"labels":{}}', b'{"meshd":{"addr":7}}',
]  # fmt: skip


@pytest.fixture
def spoilt() -> Iterator[tuple[Mesh, dict[str, bytes]]]:
    """Two instances, a model loaded, and then garbage under every prefix; and all has seen it."""
    with mesh(2) as made:
        made.client.register("good", load=True)
        tables = {"registry": GARBAGE + MODELS, "instances": GARBAGE + INSTANCES, "vmodels": GARBAGE, "config": GARBAGE}
        written = {
            f"{table}/bad-{number:02}": value for table, values in tables.items() for number, value in enumerate(values)
        }
        for key, value in written.items():
            made.put(key, value)
        made.put("instances/last", b'{"startTime":1}')
        made.put("registry/last", b'{"type":"fake"}')
        for instance in made.instances:
            client = instance.client
            until(lambda client=client: client.models(name_prefix="last"), "all models are seen")  # type: ignore[misc]
            until(lambda client=client: "last" in client.instances(), "all instances are seen")  # type: ignore[misc]
        yield made, written


def test_garbage_in_every_table_harms_nobody_and_stays(
    spoilt: tuple[Mesh, dict[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    made, written = spoilt
    names = {f"bad-{number:02}" for number in range(len(GARBAGE + MODELS))}
    for instance in made.instances:
        client = instance.client
        for model in ("good", "last"):
            assert client.infer(model).body == b"hello"
        assert client.instances().keys() == {"i0", "i1", "last"}, "what cannot be read is as good as not there"
        shown = {model.spec.name: model for model in client.models(name_prefix="bad-")}
        assert shown.keys() == names
        for name, model in shown.items():
            (failure,) = model.failures
            assert f'Record "registry/{name}"' in failure.text
            wrong = ("FAILED_PRECONDITION", failure.text)
            for _ in range(2):
                assert refused(lambda client=client, name=name: client.register(name)) == wrong  # type: ignore[misc]
                assert refused(lambda client=client, name=name: client.infer(name)) == wrong  # type: ignore[misc]
                assert refused(lambda client=client, name=name: client.ensure(name)) == wrong  # type: ignore[misc]
        instance.metrics()  # reasons become log lines with the next command or scrape
    assert {key: made.value(key) for key in written} == written
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("unreadable")]
    told = sorted(line.partition('Record "')[2].partition('"')[0] for line in lines)
    spoilt_keys = [key for key in written if key.startswith(("registry/", "instances/", "vmodels/"))]
    assert told == sorted(2 * spoilt_keys), "one line for each, from each instance"


def test_a_spoilt_registration_is_deleted_by_unregistering_it_and_can_be_made_anew(
    spoilt: tuple[Mesh, dict[str, bytes]],
) -> None:
    made, written = spoilt
    for key in written:
        table, _, name = key.partition("/")
        if table == "registry":
            made.client.unregister(name)
            assert made.value(key) is None
    made.client.register("bad-00", load=True)
    for instance in made.instances:
        assert instance.client.infer("bad-00").body == b"hello"


def test_a_registration_spoilt_while_its_model_is_loaded_harms_no_request(
    spoilt: tuple[Mesh, dict[str, bytes]],
) -> None:
    """Its copy goes on as before, and is on record as before when the record is put right."""
    made, _ = spoilt
    right = made.value("registry/good")
    assert right is not None
    for instance in made.instances:
        assert instance.client.infer("good").body == b"hello"
    for value in GARBAGE:
        made.put("registry/good", value)
    for instance in made.instances:
        client = instance.client
        until(lambda client=client: client.models(name_prefix="good")[0].failures, "it is spoilt")  # type: ignore[misc]
        assert client.infer("good").body == b"hello"
    loads = sum(instance.metrics()["meshd_loads"] for instance in made.instances)
    made.put("registry/good", right)
    for instance in made.instances:
        client = instance.client
        until(lambda client=client: client.state("good") == "LOADED", "it is known to be right")  # type: ignore[misc]
        assert client.infer("good").body == b"hello"
    assert sum(instance.metrics()["meshd_loads"] for instance in made.instances) == loads
