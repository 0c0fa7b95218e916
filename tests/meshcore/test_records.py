from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.errors import BadRecord
from meshcore.records import DEFAULT_TYPE, Failure, InstanceRecord, ModelRecord, Phase
from meshcore.units import NEVER
from meshcore.vmodel_record import VModelRecord
from tests.builders import dumped, instance, model

CODECS: dict[str, Any] = {"registry": ModelRecord, "instances": InstanceRecord, "vmodels": VModelRecord}
DUMPED = [(table, key, value) for table in CODECS for key, value in dumped(table)]


@pytest.mark.parametrize(("table", "key", "value"), DUMPED, ids=[key for _, key, _ in DUMPED])
def test_what_upstream_wrote_comes_back_byte_for_byte(table: str, key: str, value: bytes) -> None:
    assert CODECS[table].decode(value, key).encode() == value


def test_upstreams_model_record_is_read() -> None:
    records = {key: ModelRecord.decode(value, key) for key, value in dumped("registry")}
    assert records["iris-0"] == ModelRecord(
        "sklearn",
        path="/models/iris/0",
        key='{"storage_key":"local","bucket":"b"}',
        copies={"inst0": 1795348480946},
        references=1,
        last_used=1795344881411,
    )
    assert records["wine-1"].auto_delete
    assert records["broken"].failures == {
        "inst0": Failure(1795348481270, "INVALID_ARGUMENT: bad model file"),
        "inst1": Failure(1795348481380, "INVALID_ARGUMENT: bad model file"),
    }


def test_upstreams_instance_record_is_read_and_is_not_ours() -> None:
    record = dict(dumped("instances"))["inst1"]
    assert InstanceRecord.decode(record) == InstanceRecord(
        start_ms=1795348478586,
        version=1577836800000,
        location="127.0.0.1",
        zone="z1",
        labels=("mt:sklearn", "rt:demo"),
        lru_ms=1795344881237,
        count=4,
        capacity_units=129762,
        used_units=258,
        load_threads=8,
        loads_in_progress=1,
        rpm=8,
    )
    assert not InstanceRecord.decode(record).is_ours


def test_upstreams_virtual_model_is_read() -> None:
    record = VModelRecord.decode(dict(dumped("vmodels"))["iris"])
    assert record == VModelRecord("team-a", "iris-0", "broken-2", has_failed=True)


def test_a_model_that_names_no_type_has_the_oldest_one() -> None:
    assert ModelRecord.decode(b"{}") == ModelRecord(DEFAULT_TYPE)
    assert ModelRecord.decode(b'{"type":null,"instanceIds":null,"autoDel":null,"lu":null}') == ModelRecord(DEFAULT_TYPE)


def test_our_fields_of_a_model_stand_in_one_object() -> None:
    record = model(
        size_bytes=7,
        min_copies=1,
        max_copies=2,
        is_pinned=True,
        priority=0,
        labels={"b": "2", "a": "1"},
        copies={"i2": 4, "i1": 3},
        ready={"i1": 3},
    )
    stored = (
        b'{"type":"onnx","instanceIds":{"i1":3,"i2":4},"meshd":'
        b'{"size":7,"min":1,"max":2,"pin":true,"labels":{"a":"1","b":"2"},"ready":{"i1":3},"prio":0}}'
    )
    assert record.encode() == stored
    assert ModelRecord.decode(stored) == record


def test_our_fields_of_an_instance_stand_in_one_object() -> None:
    record = InstanceRecord(
        start_ms=1,
        labels=("b", "a"),
        address="h:1",
        grpc="h:2",
        http="h:3",
        replica_set="r",
        phase=Phase.READY,
        data_plane="python",
        build="0.1",
        accepted=4,
        min_space_units=5,
        lost_units=6,
        is_shutting_down=True,
    )
    stored = (
        b'{"startTime":1,"labels":["a","b"],"actionable":true,"lruTime":9223372036854775807,"shutdown":true,"meshd":'
        b'{"v":1,"addr":"h:1","grpc":"h:2","http":"h:3","rs":"r","phase":"ready","dp":"python","ver":"0.1","acc":4,'
        b'"min_space":5,"lost":6}}'
    )
    assert record.encode() == stored
    assert InstanceRecord.decode(stored) == replace(record, labels=("a", "b"))
    assert record.is_ours


def test_another_protocol_version_is_kept() -> None:
    assert InstanceRecord.decode(InstanceRecord(protocol_version=2).encode()).protocol_version == 2


def test_an_empty_cache_was_never_used() -> None:
    assert InstanceRecord.decode(InstanceRecord().encode()).lru_ms == NEVER


def test_free_and_full_go_by_the_instances_own_numbers() -> None:
    assert instance(used_units=900).free_units == 100
    assert not instance(used_units=900).is_full
    assert instance(used_units=901).is_full
    assert instance(used_units=1001).free_units == 0
    assert not InstanceRecord(capacity_units=1, used_units=1).is_full


def test_unknown_attributes_of_a_model_survive_a_rewrite() -> None:
    stored = b'{"type":"t","zz":[1,{"a":null,"f":1.5}],"nothing":null,"meshd":{"size":1,"new":{"x":false}}}'
    assert ModelRecord.decode(stored).encode() == stored


def test_unknown_attributes_of_a_failure_survive_a_rewrite() -> None:
    stored = b'{"type":"t","failedIn":{"i":1,"j":2,"k":3},"fails":{"i":{"msg":"x","zz":1},"j":{"zz":[2]}}}'
    assert ModelRecord.decode(stored).encode() == stored


def test_unknown_attributes_of_an_instance_survive_a_rewrite() -> None:
    stored = b'{"startTime":1,"zz":"","meshd":{"v":1,"new":0}}'
    assert InstanceRecord.decode(stored).encode() == stored


def test_unknown_attributes_of_a_virtual_model_survive_a_rewrite() -> None:
    stored = b'{"o":"me","zz":[],"meshd":{"new":5}}'
    assert VModelRecord.decode(stored).encode() == stored


def test_half_a_surrogate_pair_survives_a_rewrite_where_nobody_reads_it() -> None:
    stored = b'{"type":"t","zz":"\\ud800"}'
    assert ModelRecord.decode(stored).encode() == stored


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"x":NaN}', "NaN is not JSON"),
        (b'{"x":1e999}', "1e999 is too large a number"),
        (b'{"lu":' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"type":1}', "type must be a text"),
        (b'{"autoDel":1}', "autoDel must be true or false"),
        (b'{"lu":"1"}', "lu must be a whole number"),
        (b'{"lu":1.5}', "lu must be a whole number"),
        (b'{"lu":true}', "lu must be a whole number"),
        (b'{"lu":9223372036854775808}', "lu must fit 64 bits"),
        (b'{"lu":-9223372036854775809}', "lu must fit 64 bits"),
        (b'{"instanceIds":[]}', "instanceIds must be an object"),
        (b'{"instanceIds":{"i":""}}', "instanceIds.i must be a whole number"),
        (b'{"failedIn":{"i":1},"fails":{"i":"no"}}', "fails.i must be an object"),
        (b'{"failedIn":{"i":1},"fails":{"i":{"msg":2}}}', "fails.i.msg must be a text"),
        (b'{"type":"t","type":"u"}', "an object has one name twice"),
        (b'{"instanceIds":{"i":1,"i":2}}', "an object has one name twice"),
        (b'{"mPath":"\\ud800"}', "mPath must be Unicode text"),
        (b'{"instanceIds":{"\\udc00":1}}', "instanceIds must be Unicode text"),
        (b'{"zz":' + b"[" * 32 + b"]" * 32 + b"}", "has more than 32 levels"),
        (b'{"meshd":{"zz":' + b'{"z":' * 40 + b"1" + b"}" * 42, "has more than 32 levels"),
        (b'{"refs":-1}', "refs must be 0 to 2147483647"),
        (b'{"meshd":{"size":-1}}', "meshd.size must be 0 to"),
        (b'{"meshd":{"max":2147483648}}', "meshd.max must be 0 to 2147483647"),
        (b'{"meshd":{"prio":10}}', "meshd.prio must be 0 to 9"),
        (b'{"meshd":7}', "meshd must be an object"),
        (b'{"meshd":{"labels":{"a":1}}}', "meshd.labels.a must be a text"),
    ],
)
def test_a_misshapen_record_is_refused_by_name(value: bytes, text: str) -> None:
    with pytest.raises(BadRecord) as caught:
        ModelRecord.decode(value, "iris")
    assert 'Record "iris"' in caught.value.text
    assert text in caught.value.text


def test_an_attribute_may_have_as_many_levels_as_can_be_written_again() -> None:
    stored = b'{"type":"t","zz":' + b"[" * 31 + b"]" * 31 + b"}"
    assert ModelRecord.decode(stored).encode() == stored


@pytest.mark.parametrize("name", ["count", "cap", "used", "lThreads", "lInProg", "rpm"])
def test_an_instance_that_counts_backwards_is_refused(name: str) -> None:
    with pytest.raises(BadRecord, match=f"{name} must be 0 to"):
        InstanceRecord.decode(b'{"%s":-1}' % name.encode())


def test_misshapen_instance_labels_are_refused() -> None:
    with pytest.raises(BadRecord, match="labels must be a list"):
        InstanceRecord.decode(b'{"labels":{}}')
    with pytest.raises(BadRecord, match=r"labels\[1\] must be a text"):
        InstanceRecord.decode(b'{"labels":["a",1]}')


def test_a_failure_without_a_text_is_read_and_a_text_without_a_failure_is_dropped() -> None:
    record = ModelRecord.decode(b'{"failedIn":{"i":5},"fails":{"gone":{"msg":"old"}}}')
    assert record.failures == {"i": Failure(5, "")}
    assert record.encode() == b'{"type":"NLCLASSIFIER","failedIn":{"i":5}}'


def test_a_new_copy_takes_the_place_of_the_failure_and_of_the_older_copy() -> None:
    failed = model(failures={"a": Failure(1, "x"), "b": Failure(1, "y")}, ready={"a": 3})
    record = failed.with_copy("a", 5)
    assert (record.copies, record.failures, record.ready) == ({"a": 5}, {"b": Failure(1, "y")}, {})
    assert record.with_copy("a", 5) is record
    ready = record.with_ready("a", 5)
    assert ready.with_copy("a", 5) is ready
    assert not ready.with_copy("a", 6).is_ready("a")


def test_a_copy_named_again_over_a_failure_stays_ready() -> None:
    record = replace(model(copies={"a": 5}, ready={"a": 5}), failures={"a": Failure(1, "x")})
    assert record.with_copy("a", 5) == model(copies={"a": 5}, ready={"a": 5})


def test_a_copy_is_dropped_only_when_it_is_the_one_meant() -> None:
    record = model(copies={"a": 5, "b": 6}, ready={"a": 5, "b": 6})
    assert record.without_copy("a", 4) is record
    assert record.without_copy("c") is record
    for gone in (record.without_copy("a"), record.without_copy("a", 5)):
        assert gone == model(copies={"b": 6}, ready={"b": 6})


def test_only_the_copy_on_record_becomes_ready() -> None:
    record = model(copies={"a": 5})
    assert record.with_ready("a", 4) is record
    assert record.with_ready("b", 5) is record
    ready = record.with_ready("a", 5)
    assert (ready.is_ready("a"), record.is_ready("a"), ready.is_ready("b")) == (True, False, False)
    assert ready.with_ready("a", 5) is ready


def test_a_failure_takes_the_place_of_its_copy() -> None:
    record = model(copies={"a": 5}, ready={"a": 5}).with_failure("a", 7, "no", 5)
    assert record == model(failures={"a": Failure(7, "no")})
    assert record.with_failure("a", 7, "no", 5) is record
    assert record.with_failure("a", 8, "no", 5).failures == {"a": Failure(8, "no")}


def test_news_of_an_older_load_does_not_fail_the_running_one() -> None:
    record = model(copies={"a": 6})
    assert record.with_failure("a", 7, "no", 5) is record
    assert record.with_failure("a", 7, "no", 8) == model(failures={"a": Failure(7, "no")})


def test_a_failure_is_forgotten() -> None:
    record = model(failures={"a": Failure(7, "no")})
    assert record.without_failure("a") == model()
    assert record.without_failure("b") is record


def test_last_use_only_moves_forward() -> None:
    record = model(last_used=5)
    assert record.used_at(6).last_used == 6
    assert record.used_at(5) is record
    assert record.used_at(4) is record


instants = st.integers(min_value=-(2**63), max_value=2**63 - 1)
counts = st.integers(0, 2**31 - 1)
texts = st.text()


@given(
    st.builds(
        ModelRecord,
        type=st.text(min_size=1),
        path=texts,
        key=texts,
        auto_delete=st.booleans(),
        copies=st.dictionaries(texts, instants),
        failures=st.dictionaries(texts, st.builds(Failure, instants, texts)),
        references=counts,
        last_used=instants,
        last_unload=instants,
        size_bytes=st.integers(0, 2**63 - 1),
        min_copies=counts,
        max_copies=counts,
        is_pinned=st.booleans(),
        priority=st.integers(0, 9),
        labels=st.dictionaries(texts, texts),
        ready=st.dictionaries(texts, instants),
        extra=st.dictionaries(st.sampled_from(["new", "x"]), st.none() | st.integers() | texts),
        extra_meshd=st.dictionaries(st.sampled_from(["new", "x"]), st.none() | st.integers() | texts),
    )
)
def test_every_model_record_comes_back_from_the_store(record: ModelRecord) -> None:
    meant = {name: load_ts for name, load_ts in record.ready.items() if record.copies.get(name) == load_ts}
    assert ModelRecord.decode(record.encode()) == replace(record, ready=meant)


def test_what_was_said_of_a_copy_goes_with_the_copy_that_somebody_else_took_off() -> None:
    stored = b'{"type":"t","instanceIds":{"a":5,"b":7},"meshd":{"ready":{"a":5,"b":6,"c":8}}}'
    assert ModelRecord.decode(stored).ready == {"a": 5}
    assert ModelRecord.decode(stored).encode() == (
        b'{"type":"t","instanceIds":{"a":5,"b":7},"meshd":{"ready":{"a":5}}}'
    )


@given(
    st.builds(
        InstanceRecord,
        start_ms=instants,
        labels=st.lists(texts).map(lambda labels: tuple(sorted(labels))),
        is_actionable=st.booleans(),
        lru_ms=instants,
        used_units=counts,
        is_shutting_down=st.booleans(),
        protocol_version=instants,
        address=texts,
        phase=texts,
        accepted=counts,
        extra_meshd=st.dictionaries(st.sampled_from(["new", "x"]), st.none() | st.integers() | texts),
    )
)
def test_every_instance_record_comes_back_from_the_store(record: InstanceRecord) -> None:
    assert InstanceRecord.decode(record.encode()) == record
