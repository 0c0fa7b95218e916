"""Values as plain data and back: whatever a node takes in or gives out, and nothing that it could not."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore.asks import (
    Answered,
    Asked,
    Done,
    Failed,
    Infer,
    Op,
    Outcome,
    Refused,
    Request,
    RuntimeFailed,
    Step,
    Verdict,
    VerdictError,
)
from meshcore.commands import Command, Settle
from meshcore.edits import Edit
from meshcore.entry import Entry, State
from meshcore.errors import Code, CopyGone, LoadFailure, MeshError, Spent, UnknownModel
from meshcore.events import Event, Loaded, Seen
from meshcore.plain import KINDS, Decoder, Encoder, NotPlain, decode, encode, fits
from meshcore.reasons import Reason, Rule
from meshcore.records import InstanceRecord, ModelRecord

ERRORS = [kind for kind in KINDS.values() if issubclass(kind, MeshError) and kind not in (Spent, VerdictError)]
TEXT = st.text(max_size=5)
REASONS = st.builds(Reason, inputs=st.dictionaries(TEXT, st.integers() | TEXT, max_size=2))
MADE = st.one_of(
    st.builds(lambda kind, text: kind(text), st.sampled_from(ERRORS), TEXT),
    st.builds(LoadFailure, TEXT, st.sampled_from(Code)),
    st.builds(Spent),
    st.builds(VerdictError, st.builds(Refused)),
)
OUTCOMES = [kind for kind in get_args(Outcome) if kind not in (Answered, RuntimeFailed)]

st.register_type_strategy(MeshError, MADE)
st.register_type_strategy(Reason, REASONS)
st.register_type_strategy(Answered, st.just(Answered(None)))
st.register_type_strategy(RuntimeFailed, st.builds(RuntimeFailed, reply=st.none()))


def again(value: object) -> Any:
    return decode(json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize(
    "kind", [*get_args(Event), *get_args(Outcome), *get_args(Asked), *get_args(Step), *get_args(Command), Done, Failed]
)
@settings(deadline=None)
@given(data=st.data())
def test_what_a_node_takes_in_and_gives_out_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    assert again(value) == value
    assert encode(again(value)) == encode(value)


@pytest.mark.parametrize("kind", [Reason, InstanceRecord, ModelRecord])
@settings(deadline=None)
@given(data=st.data())
def test_so_do_reasons_and_records(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.builds(kind, **{name: st.just({}) for name in ("extra", "extra_meshd") if kind is not Reason}))
    assert again(value) == value


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXT | st.binary(max_size=4),
                    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3)
                    | st.lists(inner, max_size=3).map(deque) | st.dictionaries(TEXT | st.integers(), inner, max_size=3)
                    ))  # fmt: skip
def test_containers_keep_their_kind_and_order(value: object) -> None:
    assert again(value) == value
    assert type(again(value)) is type(value)
    if isinstance(value, dict):
        assert list(again(value)) == list(value)


def test_a_mapping_may_have_any_key() -> None:
    assert again({"@": 1, "of": 2}) == {"@": 1, "of": 2}
    assert again({(1, True): "a"}) == {(1, True): "a"}
    assert again({1, 2}) == {1, 2}


def test_defaults_are_not_written() -> None:
    assert encode(Request("m", Op.ENSURE)) == {"@": "Request", "model": "m", "op": {"@": "Op", "of": "ensure"}}
    assert encode(Seen("m", None, 3)) == {"@": "Seen", "id": "m", "value": None, "mod": 3}


def test_an_error_keeps_its_code_where_it_is_another_than_usual() -> None:
    assert encode(Settle("m", 1, UnknownModel()))["outcome"] == {"@": "UnknownModel", "text": "model not found"}
    told = again(LoadFailure("late", Code.DEADLINE_EXCEEDED))
    assert (type(told), told.code, told.text) == (LoadFailure, Code.DEADLINE_EXCEEDED, "late")
    refused = Refused(Verdict.FULL, "i1", record=b"\xff")
    assert again(VerdictError(refused)).refused == refused


def test_what_changes_is_one_thing_wherever_it_is_met() -> None:
    entry = Entry("m", 1, 2, "t", "p", "k", state=State.QUEUED)
    encoder = Encoder()
    plain = json.loads(json.dumps([encoder.encode({"a": entry}), encoder.encode([entry])]))
    decoder = Decoder()
    first, second = decoder.decode(plain[0])["a"], decoder.decode(plain[1])[0]
    assert first is second
    assert (first.model, first.gen, first.state, first.known) == ("m", 1, State.QUEUED, {})


class Place:
    def __init__(self) -> None:
        self.number = 3

    def add(self, *numbers: int) -> int:
        return self.number + sum(numbers)


def test_a_method_is_that_of_the_thing_at_the_same_place() -> None:
    here, there = Place(), Place()
    there.number = 10
    plain = Encoder({id(here): "somewhere"}).encode((here.add, partial(here.add, 1)))
    method, bound = Decoder({"somewhere": there}).decode(json.loads(json.dumps(plain)))
    assert (method(2), bound(2)) == (12, 13)


@pytest.mark.parametrize("value", [object(), Place(), Place().add, len, partial(len), Answered(object())])
def test_what_has_no_plain_form_is_named(value: object) -> None:
    with pytest.raises(NotPlain, match="no plain form"):
        encode(value)


def test_a_dataclass_of_another_place_is_not_written() -> None:
    from meshcore.kv import Write

    with pytest.raises(NotPlain, match="Write is not among the kinds of values"):
        encode(Write("k", 1, b""))


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ({"@": "Load3d"}, "'Load3d' is no kind of value"),
        ({"@": 3}, "3 is no kind of value"),
        ({"@": "Loaded", "model": "m", "gen": 1, "size": 3}, "Loaded has no size"),
        ({"@": "Loaded", "model": "m"}, "a Loaded without gen"),
        ({"@": "Loaded", "model": "m", "gen": "1"}, "Loaded cannot have '1' as gen"),
        ({"@": "Loaded", "model": "m", "gen": True}, "Loaded cannot have True as gen"),
        ({"@": "Seen", "id": "m", "value": "v", "mod": 3}, "Seen cannot have 'v' as value"),
        ({"@": "Rule", "of": "whim"}, "'whim' is no Rule"),
        ({"@": "bytes", "of": 3}, "'bytes' is no kind of value"),
        ({"@": "base64", "of": "?"}, "bytes that are no base64"),
        ({"@": "map", "of": [[1]]}, "'map' is no kind of value"),
        ({"@": "same", "of": 3}, "'same' is no kind of value"),
        ({"@": "partial", "of": ["len"]}, "'partial' is no kind of value"),
        ({"@": "method", "of": ["", "step"]}, "'method' is no kind of value"),
        ({"@": "LoadFailure"}, "a LoadFailure without its text"),
        ({"@": "LoadFailure", "text": "t", "code": "BAD"}, "'BAD' is no Code"),
        ({"@": "VerdictError", "refused": None}, "a VerdictError without its verdict"),
    ],
)
def test_what_is_no_value_is_refused_in_a_sentence(plain: Any, text: str) -> None:
    with pytest.raises(NotPlain, match=text.replace("?", r"\?")):
        decode(plain)


def test_a_private_method_name_that_is_none_is_refused() -> None:
    with pytest.raises(NotPlain, match="'method' is no kind of value"):
        Decoder({"somewhere": Place()}).decode({"@": "method", "of": ["somewhere", "number"]})


@pytest.mark.parametrize(
    ("value", "hint", "does"),
    [
        (1, int, True), (True, int, False), (True, bool, True), ("a", str, True), (Rule.LOAD, str, True),
        (None, int | None, True), ("a", int | None, False), ((1, 2), tuple[int, ...], True),
        ((1, "a"), tuple[int, ...], False), ([1], tuple[int, ...], False), (("a", 1), tuple[str, int], True),
        (("a",), tuple[str, int], False), ((1, 1), tuple[str, int], False), ({"a": 1}, Mapping[str, int], True),
        ({"a": "b"}, Mapping[str, int], False), ({1: 1}, dict[str, int], False), ((), Mapping[str, int], False),
        (3, object, True), (3, Any, True), (3, Callable[[], None], True), (3, Edit, True), ([1], list[int], True),
        ((1,), list[int], False), (Loaded("m", 1), Loaded | Infer, True), (Infer("m", 1), Loaded, False),
        (CopyGone(""), MeshError | None, True),
    ],
)  # fmt: skip
def test_a_value_fits_its_type_or_not(value: object, hint: Any, does: bool) -> None:
    assert fits(value, hint) is does
