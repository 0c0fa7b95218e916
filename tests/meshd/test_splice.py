"""Ids written into messages whose type nobody here knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.plane.methods import Methods
from meshd.plane.splice import Malformed, inject
from protos import grpc_predict_v2_pb2 as v2
from protos import model_mesh_pb2 as mmesh


@given(name=st.text(max_size=300), value=st.text(max_size=300), raw=st.lists(st.binary(max_size=300), max_size=3))
def test_field_is_replaced_and_the_rest_is_kept(name: str, value: str, raw: list[bytes]) -> None:
    """The message reads as if its type had been known."""
    message = v2.ModelInferRequest(model_name=name, id="x", raw_input_contents=raw)
    spliced = v2.ModelInferRequest.FromString(inject(message.SerializeToString(), (1,), value.encode()))
    message.model_name = value
    assert spliced == message


def test_nested_field_is_replaced_or_created() -> None:
    """Messages around the field are adjusted, or made where there are none."""
    message = mmesh.RegisterModelRequest(modelId="m", modelInfo=mmesh.ModelInfo(type="t", path="p"), loadNow=True)
    long = "k" * 200
    spliced = mmesh.RegisterModelRequest.FromString(inject(message.SerializeToString(), (2, 1), long.encode()))
    assert (spliced.modelInfo.type, spliced.modelInfo.path, spliced.loadNow) == (long, "p", True)
    made = mmesh.RegisterModelRequest.FromString(inject(b"", (2, 3), b"key"))
    assert made.modelInfo.key == "key"


def test_only_the_first_occurrence_is_replaced() -> None:
    """Fields of other kinds, groups included, are passed over byte for byte."""
    before = b"\x10\x96\x01" + b"\x19" + b"12345678" + b"\x25" + b"1234" + b"\x2b\x08\x01\x2c"
    assert inject(before + b"\x0a\x01a\x0a\x01b", (1,), b"long") == before + b"\x0a\x04long\x0a\x01b"


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (b"\x08\x01", (1,)),  # a number stands there
        (b"\x0a\x05ab", (1,)),  # longer than the message
        (b"\x12\x05ab", (1,)),  # the same in a field before it
        (b"\x0a", (1,)),  # no length
        (b"\xff" * 11, (1,)),  # a tag without an end
        (b"\x0e", (2,)),  # no such wire type
        (b"\x2b\x08\x01", (1,)),  # a group without an end
    ],
)
def test_bytes_that_are_no_message_are_refused(message: bytes, path: tuple[int, ...]) -> None:
    """Malformed, never a guess."""
    with pytest.raises(Malformed):
        inject(message, path, b"x")


def test_listed_methods_are_permitted_and_others_only_when_any_is() -> None:
    """No list: all. A list: those on it, and the rest where the runtime says so."""
    listed = {"a.B/C": (1,), "a.B/D": ()}
    assert Methods({}, False).is_permitted("/x.Y/Z")
    assert Methods(listed, False).is_permitted("/a.B/D")
    assert not Methods(listed, False).is_permitted("/x.Y/Z")
    assert Methods(listed, True).is_permitted("/x.Y/Z")
    assert Methods(listed, True).injection_path("/a.B/C") == (1,)
    assert Methods(listed, True).injection_path("/a.B/D") == Methods({}, True).injection_path("/q/r") == ()
