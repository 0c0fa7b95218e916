from __future__ import annotations

import pytest

from meshcore.asks import Kind, Op, Refused, Request, Verdict
from meshcore.errors import Code
from meshd.plane import internal
from meshd.plane.internal import Metadata
from meshd.plane.peer_calls import from_wire, to_wire
from protos import meshd_internal_pb2 as wire

KEY = b"\x00\x01\xffkey"
REQUEST = Request(
    "naïve model/β", kind=Kind.LOAD, tried=(("i1", 7), ("i,2", 8)), targets=("i3", "i4"), origin="i0", hops=2,
    size_units=12,
)  # fmt: skip


def test_a_forwarded_request_arrives_as_it_was_sent() -> None:
    assert internal.to_request(internal.to_metadata(REQUEST, KEY)) == REQUEST
    least = Request("m", kind=Kind.HIT, origin="i0", hops=1)
    assert internal.to_request(internal.to_metadata(least, KEY)) == least
    named = Request("m", kind=Kind.HIT, origin="i0", hops=1, vmodel="ü/v")
    assert internal.to_request(internal.to_metadata(named, KEY)) == named
    shadow = Request("m", kind=Kind.LOAD, origin="i0", hops=1, is_asked_for=False, is_shadow=True)
    assert internal.to_request(internal.to_metadata(shadow, KEY)) == shadow


def test_headers_are_what_grpc_lets_pass() -> None:
    for name, value in internal.to_metadata(REQUEST, KEY):
        assert name.startswith("mm-i-")
        assert isinstance(value, bytes if name.endswith("-bin") else str)


def test_only_the_last_copies_that_were_tried_travel() -> None:
    tried = tuple((f"i{number}", number) for number in range(20))
    told = internal.to_request(internal.to_metadata(Request("m", kind=Kind.HIT, tried=tried, origin="o"), KEY))
    assert told.tried == tried[-internal.MOST_TRIED :]


@pytest.mark.parametrize(
    ("metadata", "is_peer"),
    [
        ((("mm-i-key-bin", KEY),), True),
        ((), False),
        ((("mm-i-key-bin", b""),), False),
        ((("mm-i-key-bin", KEY[:-1]),), False),
        ((("mm-i-key-bin", KEY + b"x"),), False),
        ((("mm-i-key", "key"),), False),
        ((("mm-i-key-bin", b"wrong"), ("mm-i-key-bin", KEY)), False),
    ],
)
def test_who_does_not_carry_the_whole_key_is_no_peer(metadata: Metadata, is_peer: bool) -> None:
    assert internal.is_peer(metadata, KEY) is is_peer


@pytest.mark.parametrize(
    "change",
    [
        {"mm-i-v": "2"}, {"mm-i-v": None}, {"mm-i-model-bin": None}, {"mm-i-kind": "other"}, {"mm-i-kind": None},
        {"mm-i-hops": "many"}, {"mm-i-tried-bin": b"{"}, {"mm-i-tried-bin": b"[1]"}, {"mm-i-targets-bin": b"3"},
        {"mm-i-size": "x"}, {"mm-i-from": None}, {"mm-i-model-bin": b"\xff"}, {"mm-i-kind": "external"},
    ],
)  # fmt: skip
def test_headers_that_no_instance_sends_are_no_request(change: dict[str, str | bytes | None]) -> None:
    headers = {**dict(internal.to_metadata(REQUEST, KEY)), **change}
    with pytest.raises(internal.NotAPeer):
        internal.to_request(tuple((name, value) for name, value in headers.items() if value is not None))


def test_a_verdict_arrives_as_it_was_sent() -> None:
    for verdict in Verdict:
        refused = Refused(verdict, "i1", 5, b'{"a":1}', Code.DEADLINE_EXCEEDED, "why, naïvely")
        trailers = internal.to_trailers(refused)
        assert dict(trailers)["mm-i-verdict"] == verdict.value
        assert internal.from_trailers(trailers) == refused


def test_an_answer_without_a_verdict_is_the_runtimes_own() -> None:
    assert internal.from_trailers((("mm-i-answer", "1"), ("x", "y"))) is None


def test_a_verdict_of_a_later_version_means_choose_another() -> None:
    told = wire.Verdict(kind="tired", instance="i1", text="come back later")
    refused = internal.from_trailers((("mm-i-verdict-bin", told.SerializeToString()),))
    assert refused == Refused(Verdict.DECLINED, "i1", code=Code.INTERNAL, text="come back later")
    unreadable = internal.from_trailers((("mm-i-verdict-bin", b"\xff"),))
    assert unreadable is not None
    assert unreadable.verdict is Verdict.DECLINED


def test_a_management_request_arrives_as_it_was_sent() -> None:
    for op, is_asked_for in ((Op.ENSURE, True), (Op.ENSURE, False), (Op.STATUS, True)):
        request = Request(
            "naïve", op, Kind.HIT, is_sync=False, last_used=3, tried=(("i1", 7),), targets=("i2",), exclude=("i3",),
            origin="i0", hops=1, size_units=4, copies=3, is_asked_for=is_asked_for,
        )  # fmt: skip
        assert from_wire(wire.EnsureLoadedRequest.FromString(to_wire(request).SerializeToString())) == request


def test_a_management_request_that_says_nothing_of_copies_means_one() -> None:
    asked = to_wire(Request("m", Op.ENSURE, Kind.LOAD))
    asked.ClearField("copies")
    assert from_wire(asked).copies == 1


def test_a_management_request_of_another_protocol_is_refused() -> None:
    asked = to_wire(Request("m", Op.ENSURE, Kind.LOAD))
    asked.protocol = 2
    with pytest.raises(internal.NotAPeer, match="protocol 1 between instances, not 2"):
        from_wire(asked)
    asked = to_wire(Request("m", Op.ENSURE, Kind.LOAD))
    asked.kind = wire.EnsureLoadedRequest.KIND_UNSPECIFIED
    with pytest.raises(internal.NotAPeer):
        from_wire(asked)
