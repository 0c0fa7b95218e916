from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.clock import Clock

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Sources:
    """Two time sources that stand still until moved."""

    def __init__(self) -> None:
        self.wall = START
        self.steady = 5 * SECOND

    def pass_ns(self, elapsed: int) -> None:
        self.wall += elapsed
        self.steady += elapsed

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


def test_starts_at_wall_time_and_follows_it() -> None:
    sources = Sources()
    clock = sources.clock()
    assert clock.now() == START // 1_000_000
    sources.pass_ns(1_234_567_890)
    assert clock.now() == START // 1_000_000 + 1234


def test_wall_clock_set_forward_is_caught_up_at_one_part_in_a_thousand() -> None:
    sources = Sources()
    clock = sources.clock()
    sources.wall += 60 * SECOND
    assert clock.now() == START // 1_000_000
    sources.pass_ns(10 * SECOND)
    assert clock.now() == START // 1_000_000 + 10_010


def test_wall_clock_set_back_slows_the_clock_but_never_turns_it() -> None:
    sources = Sources()
    clock = sources.clock()
    sources.wall -= 60 * SECOND
    sources.pass_ns(10 * SECOND)
    assert clock.now() == START // 1_000_000 + 9_990


def test_a_small_difference_is_made_up_whole_and_not_overshot() -> None:
    sources = Sources()
    clock = sources.clock()
    sources.wall += 5_000_000
    sources.pass_ns(10 * SECOND)
    assert clock.now() == START // 1_000_000 + 10_005
    sources.pass_ns(10 * SECOND)
    assert clock.now() == START // 1_000_000 + 20_005


def test_a_clock_read_very_often_slews_as_fast_as_one_read_rarely() -> None:
    sources = Sources()
    clock = sources.clock()
    sources.wall += SECOND
    for _ in range(1000):
        sources.pass_ns(999_999)
        clock.now()
    sources.pass_ns(1000)
    assert clock.now() == START // 1_000_000 + 1001


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(-(10**12), 10**12)), max_size=30))
def test_pace_stays_within_the_slew_whatever_the_wall_clock_does(moves: list[tuple[int, int]]) -> None:
    sources = Sources()
    clock = sources.clock()
    before = clock.now()
    for elapsed, step in moves:
        sources.wall += step
        sources.pass_ns(elapsed)
        now = clock.now()
        assert elapsed * 0.999 / 1e6 - 2 <= now - before <= elapsed * 1.001 / 1e6 + 2
        assert now >= before
        before = now
