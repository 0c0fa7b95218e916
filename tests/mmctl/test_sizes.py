"""Sizes, ages and names as people write and read them."""

from __future__ import annotations

import pytest

from mmctl.errors import Usage
from mmctl.sizes import count, human_age, human_size, parse_ms, parse_size, printable, shortened


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        (4096, 4096),
        ("512", 512),
        ("50MiB", 50 * 2**20),
        ("50 mib", 50 * 2**20),
        ("64Mi", 64 * 2**20),
        ("1.5GB", 1_500_000_000),
        ("1.5GiB", 3 * 2**29),
        ("10k", 10_000),
        ("2TiB", 2**41),
        ("7b", 7),
    ],
)
def test_size_is_read_with_its_unit(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e9", "5 potatoes", "9000000TiB", "1.2.3", "٥ MiB "])
def test_text_that_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Usage, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1000, "1000 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (12 * 2**30, "12 GiB"),
        (int(9.96 * 2**20), "10 MiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_size_is_shown_in_two_or_three_digits(size_bytes: int, text: str) -> None:
    assert human_size(size_bytes) == text


@pytest.mark.parametrize(
    ("ago_ms", "text"),
    [(0, "now"), (-5000, "now"), (42_000, "42s"), (300_000, "5m"), (7_200_000, "2h"), (3 * 86_400_000, "3d")],
)
def test_age_is_shown_in_one_unit(ago_ms: int, text: str) -> None:
    now_ms = 1_700_000_000_000
    assert human_age(now_ms - ago_ms, now_ms) == text


def test_unknown_instant_has_no_age() -> None:
    assert human_age(0, 1_700_000_000_000) == "-"


def test_name_that_would_move_the_cursor_is_escaped() -> None:
    assert printable("a\nb\x1b[31mü") == "a\\nb\\x1b[31mü"
    assert printable("plain ünïcode/名前") == "plain ünïcode/名前"


def test_numbers_come_with_their_noun() -> None:
    assert [count(1, "model"), count(1200, "model"), count(2, "process", "processes")] == [
        "1 model",
        "1,200 models",
        "2 processes",
    ]


def test_long_list_of_names_is_cut() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize("text", [" ", "0s", "5", "1w", "-3s", "s", "1.5h", "5 m", "\u0665s"])
def test_a_time_is_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(Usage, match=r"--since .*write a whole number above 0 and ms, s, m, h or d"):
        parse_ms("--since", text)
    times = [parse_ms("--since", text) for text in ("500ms", "60s", "2m", "1h", "1d")]
    assert times == [500, 60_000, 120_000, 3_600_000, 86_400_000]
