"""Whole busy days replay without a difference, from every file of their journals."""

from __future__ import annotations

import pytest

from meshcore.replay import replay
from tests.meshcore.journals import Journals
from tests.meshcore.test_cluster_machine import ClusterMachine, live_a_busy_day


def busy_day(seed: int, most: int) -> list[list[bytes]]:
    """The journals of one day, with a new file every ``most`` lines."""
    journals, machine = Journals(most), ClusterMachine()
    machine.make = journals.make
    live_a_busy_day(machine, seed)
    return journals.files


@pytest.mark.parametrize(("seed", "most"), [(0, 0), (1, 0), (2, 25), (3, 25), (4, 6), (5, 1), (11, 40)])
def test_a_busy_day_replays_without_a_difference_from_every_file(seed: int, most: int) -> None:
    files = busy_day(seed, most)
    commands = 0
    for file in files:
        found = replay(file)
        assert found.difference is None
        assert (found.lines + sum(b'{"l":' in line for line in file), found.is_cut) == (len(file) - 2, False)
        commands += found.commands
    assert commands > 100
    if most:
        assert len(files) > 15
        assert sum(b'"h":' in line for file in files for line in file) > 5, "flows that were under way"
