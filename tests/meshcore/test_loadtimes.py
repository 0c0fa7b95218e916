"""How long loads are expected to take."""

from __future__ import annotations

from meshcore.loadtimes import TYPES_KEPT, LoadTimes


def test_first_load_of_a_type_says_it_all_and_later_ones_move_it() -> None:
    times = LoadTimes()
    assert times.expected_ms("onnx", 30_000) == 30_000
    times.took("onnx", 800)
    assert (times.expected_ms("onnx", 30_000), times.expected_ms("other", 30_000)) == (800, 30_000)
    times.took("onnx", 1_600)
    assert times.expected_ms("onnx", 30_000) == 900


def test_only_the_types_loaded_last_are_kept() -> None:
    times = LoadTimes()
    for number in range(TYPES_KEPT):
        times.took(f"t{number}", 1)
    times.took("t0", 1)
    times.took("new", 1)
    assert [times.expected_ms(kind, 0) for kind in ("t0", "t1", "new")] == [1, 0, 1]
