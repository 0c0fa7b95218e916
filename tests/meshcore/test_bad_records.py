"""Records that cannot be read, whoever wrote them: told of once, passed over, never overwritten, harming nobody."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore.asks import Kept, Kind, Op, Read, Register, Request, Status, StatusInfo, Unregister, Wrote
from meshcore.commands import Commit, Publish, Route
from meshcore.errors import BadRecord, Code, Moved
from meshcore.events import DrainAsked, Idled, InstancesSeen, Published, RegistrySeen, Seen
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.units import NEVER
from meshcore.vmodel_record import VModelRecord
from tests.builders import NOW, dumped, instance, model
from tests.meshcore.lone import Lone
from tests.meshcore.registering import put
from tests.meshcore.registering import told as answer_of


def spoil(lone: Lone, key: str, value: bytes | None, kind: type[RegistrySeen] | type[InstancesSeen]) -> None:
    """The watch tells what somebody wrote."""
    lone.revision += 1
    lone.feed(kind(lone.revision, (Seen(key, value, lone.revision),)))


def told(lone: Lone) -> list[tuple[str, str, str]]:
    """The records that were reported: model, instance, what is wrong."""
    return [(r.model, r.chosen, r.cause) for r in lone.node.log.since(0) if r.rule is Rule.UNREADABLE]


def test_record_of_a_model_here_is_told_of_once_whoever_asks() -> None:
    lone = Lone()
    lone.load("m")
    spoil(lone, "m", b'{"instanceIds":1}', RegistrySeen)
    for _ in range(3):
        error = lone.ask(Request("m")).error
        assert (type(error), error.code) == (BadRecord, Code.FAILED_PRECONDITION)
    assert told(lone) == [("m", "", lone.node.bad["m"])]


def test_copy_elsewhere_is_used_as_before_its_record_was_spoilt() -> None:
    """Until that instance starts anew: then nobody can say where the copy is."""
    lone = Lone(peers={"b": instance(address="b:1")})
    lone.know("m", model(copies={"b": NOW - 5}, ready={"b": NOW - 5}))
    lone.commands.clear()
    spoil(lone, "m", b"[]", RegistrySeen)
    assert lone.all(Route) == []
    lone.meet("b", instance(address="b:2", start_ms=NOW))
    assert lone.last(Route) == Route("m", None, ())


def test_record_that_names_no_copy_is_told_of_when_somebody_asks() -> None:
    """A million records are not read for nothing."""
    lone = Lone()
    for value in (b"[]", b"7"):
        spoil(lone, "m", value, RegistrySeen)
        for _ in range(2):
            lone.ask(Request("m"))
    assert [name for name, _, _ in told(lone)] == ["m", "m"], "once for each value"


def test_instance_is_told_of_once_for_each_value() -> None:
    lone = Lone()
    for value in (b"[]", b"{"):
        spoil(lone, "b", value, InstancesSeen)
        lone.feed(InstancesSeen(lone.revision, (Seen("b", value, lone.revision),), True))
    assert [(name, instance) for name, instance, _ in told(lone)] == [("", "b"), ("", "b")]
    assert 'Record "instances/b" must be a JSON object' in told(lone)[0][2]


def test_record_is_never_overwritten_by_a_registration_or_a_load() -> None:
    lone = Lone()
    spoil(lone, "m", b"[]", RegistrySeen)
    for asked in (
        Register("m", "onnx"),
        Register("m", "onnx", kept=Kept(priority=7), should_load=True),
        Request("m", Op.ENSURE),
        Request("m", Op.ENSURE, Kind.LOAD),
    ):
        assert 'Record "registry/m"' in lone.ask(asked).error.text
    assert lone.all(Commit) == []


def test_record_is_deleted_by_whoever_unregisters_the_model() -> None:
    """It stands in the way of the id, and what it refers to can be told by nobody."""
    lone = Lone()
    lone.load("m")
    spoil(lone, "m", b"[]", RegistrySeen)
    asking = lone.ask(Unregister("m"))
    assert asking.step == Read("m")
    asking.answer(Seen("m", b"[]", lone.revision))
    assert put(asking) == (lone.revision, None), "as it was read"
    asking.answer(Wrote(lone.revision + 1))
    assert answer_of(asking) == StatusInfo(Status.NOT_FOUND, is_changed=True)
    assert lone.node.bad == {}
    assert "m" not in lone.node.cache.entries, "the copy of what it was before goes too"


def test_record_is_deleted_only_at_the_revision_that_was_asked_for() -> None:
    lone = Lone()
    spoil(lone, "m", b"[]", RegistrySeen)
    asking = lone.ask(Unregister("m", expected=1))
    asking.answer(Seen("m", b"[]", lone.revision))
    assert isinstance(asking.error, Moved)


@pytest.mark.parametrize("value", [None, b"nonsense"])
def test_instance_whose_record_somebody_took_or_spoilt_writes_it_again(value: bytes | None) -> None:
    """An idle one has nothing new to say, and would not be there for the others until it has."""
    lone = Lone()
    lone.meet("a")
    assert lone.all(Publish) == []
    spoil(lone, "a", value, InstancesSeen)
    assert InstanceRecord.decode(lone.last(Publish).value).is_ours


def test_instance_that_stops_lets_its_record_go() -> None:
    lone = Lone()
    lone.meet("a")
    lone.feed(DrainAsked())
    lone.feed(Published(lone.last(Publish).seq))
    lone.feed(Idled())
    lone.commands.clear()
    lone.lose("a")
    assert lone.all(Publish) == []


def test_copy_named_for_the_end_of_time_makes_no_record_that_cannot_be_read() -> None:
    """Load times of one instance ascend, but not beyond what a record can hold."""
    lone = Lone()
    lone.know("m", model(copies={"a": NEVER}, size_bytes=1))
    lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False))
    lone.commit()
    assert lone.record("m").copies == {"a": NEVER}
    lone.loaded("m", 1)
    assert lone.written().is_ready("a")


def test_model_that_is_said_to_have_been_used_in_the_future_was_used_now() -> None:
    """Else its copy would stay when all others have gone; ModelMesh once wrote the end of time."""
    lone = Lone()
    lone.load("m", last_used=NOW - 5)
    lone.know("n", model(last_used=NEVER))
    lone.begin_load("n", last_used=NOW - 5)
    assert lone.node.cache.last_used("n") == NOW


def test_deep_nonsense_is_refused_and_what_is_kept_can_be_written_again() -> None:
    for levels in (1, 31, 32, 33, 900, 100_000):
        value = b'{"type":"t","zz":' + b"[" * levels + b"]" * levels + b"}"
        try:
            assert ModelRecord.decode(value).encode() == value
            assert levels <= 31
        except BadRecord:
            assert levels > 31


# -- anything at all

names = st.sampled_from(
    ["type", "mPath", "encKey", "autoDel", "instanceIds", "failedIn", "fails", "refs", "lu", "lul", "meshd", "size",
     "min", "max", "prio", "pin", "labels", "ready", "startTime", "vers", "cap", "used", "count", "lruTime", "lThreads",
     "lInProg", "rpm", "shutdown", "addr", "acc", "min_space", "v", "phase", "a", "b", "msg", "o", "amid"]
)  # fmt: skip
numbers = st.sampled_from([0, 1, -1, NOW - 5, NOW, NOW + 10**6, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**40, 1.5])
leaves = st.none() | st.booleans() | numbers | st.text(max_size=5) | st.sampled_from(["a", "b", "t", "\ud800", "b:1"])
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def bent(record: Any, name: str, value: Any) -> bytes:
    """A good record with one attribute of another kind, in our object or outside."""
    ours = dict(record.get("meshd", {}))
    return as_json({**record, name: value} if isinstance(value, bool) else {**record, name: value, "meshd": ours})


good = [json.loads(value) for table in ("registry", "instances", "vmodels") for _, value in dumped(table)]
good += [json.loads(model(copies={"a": NOW, "b": NOW}, ready={"b": NOW}, priority=3).encode())]
good += [json.loads(InstanceRecord(start_ms=NOW - 9, capacity_units=50, address="b:1", accepted=1).encode())]

values = (
    st.binary(max_size=60)
    | trees.map(as_json)
    | st.dictionaries(names, trees, max_size=8).map(as_json)
    | st.builds(bent, st.sampled_from(good), names, trees)
    | st.builds(lambda value, cut: as_json(value)[:cut], st.sampled_from(good), st.integers(0, 200))
    | st.just(as_json({"type": "t", "zz": "x" * (1 << 20)}))
    | st.just(b"[" * 100_000)
)


@given(values)
def test_nothing_but_bad_record_comes_of_any_bytes(value: bytes) -> None:
    for codec in (ModelRecord, InstanceRecord, VModelRecord):
        with suppress(BadRecord):
            record = codec.decode(value, "k")
            assert codec.decode(record.encode(), "k") == record, "what was read can be written and read again"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["m", "b", "a", "n"]), st.booleans(), values), min_size=1, max_size=6))
def test_no_bytes_in_the_store_bring_an_instance_down(written: list[tuple[str, bool, bytes]]) -> None:
    """Whatever stands in the records, every event and request has an end, and good models are served as before."""
    lone = Lone()
    lone.know("good", model())
    lone.load("good")
    lone.load("m")
    for key, is_model, value in written:
        spoil(lone, key, value, RegistrySeen if is_model else InstancesSeen)
        for name in ("m", "n"):
            for asked in (Request(name), Request(name, Op.STATUS), Register(name, "onnx"), Request(name, Op.ENSURE)):
                lone.ask(asked)
        lone.commit()
        lone.tick(3_000)
    assert "good" in lone.node.routes
    assert lone.node.cache.entries["good"].is_serving
    lone.lose("b")
    lone.know("m", None)
    assert "m" not in lone.node.cache.entries
