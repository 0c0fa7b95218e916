"""Ejection and probing of peers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.peers import PeerHealth
from meshcore.settings import Settings
from meshcore.units import NEVER

T = 1_700_000_000_000


def health() -> PeerHealth:
    return PeerHealth(Settings(eject_first_ms=40, eject_most_ms=30_000))


def test_peer_that_never_failed_is_ok() -> None:
    """A peer is fine until a request to it fails; then nothing is due."""
    peers = health()
    assert peers.is_ok("a", T)
    assert peers.next_wake() == NEVER
    assert peers.recovered(T) == []
    assert not peers.succeeded("a")
    assert not peers.sent("a", T)


def test_failed_peer_is_left_alone_for_40_ms() -> None:
    """A transport error ejects a peer for 40 ms at first."""
    peers = health()
    assert peers.failed("a", T)
    assert not peers.is_ok("a", T + 39)
    assert peers.is_ok("b", T)
    assert peers.next_wake() == T + 40
    assert peers.is_ok("a", T + 40)


def test_each_failed_probe_doubles_the_pause_up_to_30_s() -> None:
    """The pause doubles with every failure after it, to 30 s at most."""
    peers = health()
    now = T
    pauses = []
    for _ in range(13):
        assert peers.failed("a", now)
        pauses.append(peers.next_wake() - now)
        now = peers.next_wake()
    assert pauses == [40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 30000, 30000, 30000]


def test_requests_that_were_under_way_when_it_failed_add_nothing() -> None:
    """Failures during the ejection do not lengthen it."""
    peers = health()
    peers.failed("a", T)
    assert not peers.failed("a", T + 1)
    assert peers.next_wake() == T + 40


def test_success_ends_an_ejection_and_its_history() -> None:
    """A peer that answered is fine, and its next failure counts as the first."""
    peers = health()
    peers.failed("a", T)
    peers.failed("a", T + 40)
    assert peers.succeeded("a")
    assert peers.is_ok("a", T + 41)
    assert peers.next_wake() == NEVER
    peers.failed("a", T + 50)
    assert peers.next_wake() == T + 90


def test_recovered_peers_are_told_once() -> None:
    """When an ejection ends it is told once; the peer stays on probation."""
    peers = health()
    peers.failed("b", T)
    peers.failed("a", T)
    peers.failed("c", T + 20)
    assert peers.recovered(T + 39) == []
    assert peers.recovered(T + 40) == ["a", "b"]
    assert peers.recovered(T + 40) == []
    assert peers.next_wake() == T + 60
    peers.failed("a", T + 45)
    assert peers.next_wake() == T + 60
    assert peers.recovered(T + 200) == ["a", "c"]


def test_peer_ejected_twice_in_one_millisecond_is_told_once() -> None:
    """An ejection that ended with a success and began anew at the same instant is one."""
    peers = health()
    peers.failed("a", T)
    peers.succeeded("a")
    peers.failed("a", T)
    assert peers.recovered(T + 40) == ["a"]


def test_one_probe_at_a_time() -> None:
    """After the ejection one request may try; others wait for its answer or one more pause."""
    peers = health()
    peers.failed("a", T)
    assert not peers.sent("a", T + 10)
    assert peers.sent("a", T + 40)
    assert not peers.is_ok("a", T + 41)
    assert not peers.sent("a", T + 41)
    assert peers.next_wake() == T + 80
    assert peers.is_ok("a", T + 80)
    assert peers.sent("a", T + 80)


def test_failed_probe_doubles_the_pause() -> None:
    """A probe's failure is news although the peer is left alone meanwhile."""
    peers = health()
    peers.failed("a", T)
    peers.sent("a", T + 40)
    assert peers.failed("a", T + 50)
    assert peers.next_wake() == T + 130
    assert not peers.failed("a", T + 60)


def test_answered_probe_makes_the_peer_fine() -> None:
    """A probe's answer ends the probation."""
    peers = health()
    peers.failed("a", T)
    peers.sent("a", T + 40)
    assert peers.succeeded("a")
    assert peers.is_ok("a", T + 41)


@pytest.mark.parametrize("first", [1, 40])
@given(steps=st.lists(st.tuples(st.sampled_from("fsxr"), st.sampled_from("ab"), st.integers(0, 100)), max_size=40))
def test_next_wake_is_the_earliest_end_of_an_ejection(first: int, steps: list[tuple[str, str, int]]) -> None:
    """Whatever happened: who is not ok now is ok again at some told instant, and the next one is next_wake."""
    peers = PeerHealth(Settings(eject_first_ms=first, eject_most_ms=500))
    now = T
    for what, instance, gap in steps:
        now += gap
        match what:
            case "f":
                peers.failed(instance, now)
            case "s":
                peers.sent(instance, now)
            case "x":
                peers.succeeded(instance)
            case _:
                assert all(peers.is_ok(i, now) for i in peers.recovered(now))
        peers.recovered(now)
        away = [i for i in "ab" if not peers.is_ok(i, now)]
        wake = peers.next_wake()
        assert (wake == NEVER) == (not away)
        if away:
            assert wake > now
            assert any(peers.is_ok(i, wake) for i in away)
            assert not any(peers.is_ok(i, wake - 1) for i in away)
