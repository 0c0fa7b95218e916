"""Ids of requests: whose counts, which are sane, and who works for which."""

from __future__ import annotations

import asyncio

import pytest

from meshd.request_id import HEADER, MOST_CHARACTERS, SANE, current, logged, take

pytestmark = pytest.mark.usefixtures("_no_request")


def test_without_a_request_there_is_no_id() -> None:
    assert current() == ""
    assert logged((("a", "b"),)) == {}


def test_the_clients_id_is_kept() -> None:
    given = "7b3f2c1e-0d5a-4f6b-9a8c-1234567890ab"
    assert take((("x-request-id", given), ("other", "a"))) == given
    assert current() == given


def test_another_instances_id_is_asked_for_by_its_own_header() -> None:
    """So one that a client makes up under that name means nothing."""
    both = (("x-request-id", "client"), ("mm-i-request", "instance"))
    assert (take(both), take(both, HEADER)) == ("client", "instance")


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "[a]", "é", "a" * 129, b"bytes"])
def test_an_id_that_could_spoil_log_lines_is_replaced(given: str | bytes) -> None:
    made = take((("x-request-id", given),))
    assert made != given
    assert SANE.fullmatch(made)


def test_the_longest_id_is_taken() -> None:
    assert take((("x-request-id", "a" * 128),)) == "a" * 128


def test_made_ids_are_short_and_differ() -> None:
    made = {take(()) for _ in range(100)}
    assert len(made) == 100
    assert {len(each) for each in made} == {12}


def test_what_a_request_starts_works_for_it_and_others_do_not() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return current()

    async def serve(given: str) -> tuple[str, str]:
        take((("x-request-id", given),))
        await asyncio.sleep(0)
        return await asyncio.create_task(work()), current()

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(asyncio.create_task(serve("a")), asyncio.create_task(serve("b")))

    assert asyncio.run(main()) == [("a", "a"), ("b", "b")]
    assert current() == ""


def test_headers_are_logged_under_their_keys_binary_ones_as_text_and_long_ones_cut() -> None:
    take((("a", "1"), ("b-bin", b"\xc3\xa9\xff"), ("c", "x" * 1000), ("d", "unasked")))
    assert logged((("a", "first"), ("b-bin", "second"), ("c", "third"), ("e", "none"))) == {
        "first": "1",
        "second": "é�",
        "third": "x" * MOST_CHARACTERS,
    }
