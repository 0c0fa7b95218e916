"""A request whose data is not kept: it has the one try under way, and ends with what that came to."""

from __future__ import annotations

import pytest

from meshcore.asks import Answered, Done, Forward, Infer, Kind, Met, Request, RuntimeFailed, Unreachable, Verdict
from meshcore.commands import Withdraw
from meshcore.errors import Code, MeshError, Spent
from tests.meshcore.asked import TS, on, peers, refused, verdict
from tests.meshcore.lone import Lone

LOST = RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: gone", is_retryable=False)


def test_request_that_cannot_be_sent_again_is_not_tried_again() -> None:
    """A retry is allowed iff all that was sent is still kept (docs/design.md, data plane). The copy that was lost goes
    all the same, so that the next request finds another."""
    lone = Lone()
    gen = lone.load("m")
    asking = lone.ask(Request("m"))
    asking.answer(LOST)
    assert (asking.error, asking.error.code) == (Spent(), Code.UNAVAILABLE)
    assert lone.last(Withdraw).gen == gen


def test_peer_that_has_no_copy_ends_a_request_that_cannot_be_sent_again() -> None:
    """The verdict still teaches: the copy is taken out of its record."""
    lone = Lone(peers=peers("b"))
    lone.know("m", on("b"))
    asking = lone.ask(Request("m"))
    asking.answer(refused(Verdict.NOT_HERE, "b", load_ts=TS, is_retryable=False))
    assert asking.error == Spent()
    assert lone.written().copies == {}


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED])
def test_error_that_another_copy_might_not_give_is_the_clients_where_it_cannot_be_asked(code: Code) -> None:
    """It is told as if all copies had been asked."""
    lone = Lone(peers=peers("b"))
    lone.know("m", on("b"))
    asking = lone.ask(Request("m"))
    asking.answer(RuntimeFailed(code, "busy", is_retryable=False))
    expected = {
        Code.UNAVAILABLE: MeshError("ModelRuntime UNAVAILABLE: busy", Code.INTERNAL),
        Code.RESOURCE_EXHAUSTED: MeshError("busy", Code.RESOURCE_EXHAUSTED),
    }
    assert asking.error == expected[code]


def test_request_that_the_plane_has_sent_in_vain_ends_at_once() -> None:
    """What the plane met counts like a step of the flow."""
    lone = Lone()
    gen = lone.load("m")
    load_ts = lone.node.cache.entries["m"].load_ts
    asking = lone.ask(Request("m", met=Met("a", load_ts, gen, LOST)))
    assert asking.error == Spent()


def test_hit_that_cannot_be_sent_again_is_told_as_not_here() -> None:
    """The sender may have kept it: it goes on from there if it has."""
    lone = Lone()
    gen = lone.load("m")
    load_ts = lone.node.cache.entries["m"].load_ts
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b", met=Met("a", load_ts, gen, LOST)))
    assert verdict(asking).verdict is Verdict.NOT_HERE


def test_load_that_cannot_be_sent_again_is_told_as_not_here() -> None:
    """It is no failure of the load: nothing is remembered against this instance."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    assert isinstance(asking.step, Infer)
    asking.answer(LOST)
    assert verdict(asking).verdict is Verdict.NOT_HERE


def test_answer_that_broke_off_is_the_end() -> None:
    """The client has seen a part: another answer cannot follow."""
    lone = Lone(peers=peers("b"))
    lone.know("m", on("b"))
    asking = lone.ask(Request("m"))
    asking.answer(Unreachable("connection lost", is_retryable=False))
    assert asking.error == MeshError("b: connection lost", Code.UNAVAILABLE)


def test_request_that_was_kept_goes_on() -> None:
    """One try that was kept, one that was not: the state is that of the last."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b", "c"))
    asking = lone.ask(Request("m"))
    assert isinstance(asking.step, Forward)
    first = asking.step.instance
    asking.answer(refused(Verdict.NOT_HERE, first, load_ts=TS))
    assert isinstance(asking.step, Forward)
    assert asking.step.instance != first
    assert asking.answer(Answered("x")) == Done(Answered("x"))
