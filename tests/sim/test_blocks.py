"""Sequences of arrivals merged in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.workloads.blocks import BLOCK, Drawn, as_blocks, merged

Part = list[list[int]]
"""A part's blocks of ascending instants; few different ones, so that many are equal."""

parts = st.lists(
    st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=5).map(
        lambda blocks: cut(sorted(at for block in blocks for at in block), [len(block) for block in blocks])
    ),
    max_size=5,
)


def cut(instants: list[int], lengths: list[int]) -> Part:
    rest = iter(instants)
    return [[next(rest) for _ in range(length)] for length in lengths]


def drawn(part: Part, number: int) -> Iterator[Drawn]:
    """Each arrival is numbered by its part and its place in it."""
    place = count(1000 * number)
    for block in part:
        yield np.array(block, dtype=np.float64), np.array([next(place) for _ in block], dtype=np.int64)


@given(parts)
def test_merging_is_sorting_all_by_instant_then_part_then_place(given_parts: list[Part]) -> None:
    expected = sorted(
        (float(at), number)
        for part_number, part in enumerate(given_parts)
        for instants, numbers in drawn(part, part_number)
        for at, number in zip(instants.tolist(), numbers.tolist(), strict=True)
    )
    blocks = list(merged([drawn(part, number) for number, part in enumerate(given_parts)]))
    assert [pair for at, numbers in blocks for pair in zip(at.tolist(), numbers.tolist(), strict=True)] == expected
    assert all(len(at) for at, _ in blocks)


def test_one_block_of_each_part_is_held_at_a_time() -> None:
    """What has been taken from an endless part is at most a block ahead of what has come out."""
    taken = [0, 0]

    def endless(number: int, gap_ms: float) -> Iterator[Drawn]:
        for block in count():
            taken[number] += 10
            yield (block * 10 + np.arange(10)) * gap_ms, np.full(10, number)

    given_out = [0, 0]
    for (_, numbers), _ in zip(merged([endless(0, 1.0), endless(1, 7.0)]), range(100), strict=False):
        for number in (0, 1):
            given_out[number] += int((numbers == number).sum())
            assert taken[number] - given_out[number] <= 10


def test_lists_are_no_longer_than_a_block() -> None:
    length = 2 * BLOCK + 7
    blocks = list(as_blocks(iter([(np.arange(length, dtype=np.float64), np.arange(length))])))
    assert [len(instants) for instants, _ in blocks] == [BLOCK, BLOCK, 7]
    assert [number for _, numbers in blocks for number in numbers] == list(range(length))
