"""Log lines of one request, on every instance it came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from meshd import request_id
from tests.client import ECHO
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until


class Lines(logging.Handler):
    """What is said, each line with the request that it is about."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.getMessage(), request_id.current()))

    def about(self, words: str) -> list[str]:
        """The requests of the lines that contain ``words``."""
        return [request for text, request in self.said if words in text]


@pytest.fixture
def lines() -> Iterator[Lines]:
    kept, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)


@pytest.fixture
def pair(lines: Lines) -> Iterator[Mesh]:
    """Two instances that log each call to their runtimes, and a model on the first one."""
    with mesh(2, MM_LOG_EACH_INVOKE="true") as made:
        made.client.register("m")
        made.copy("m", 0)
        until(lambda: made[1].client.state("m") == "LOADED", "i1 knows of the copy")
        yield made


def test_every_call_to_the_runtime_is_a_line_with_the_requests_id(pair: Mesh, lines: Lines) -> None:
    for instance in pair.instances:  # straight, and over a hop
        instance.client.call(ECHO, b"", (("mm-model-id", "m"), ("x-request-id", f"mine-{instance.name}")))
    assert lines.about(f"invoking model runtime: {ECHO} of m") == ["mine-i0", "mine-i1"]


def test_an_id_that_may_not_stand_in_a_line_is_replaced(pair: Mesh, lines: Lines) -> None:
    for metadata in ((), ("x-request-id", "no no"), ("x-request-id", "x" * 129), ("mm-i-request", "forged")):
        pair[1].client.call(ECHO, b"", (("mm-model-id", "m"), *([metadata] if metadata else [])))
    made = lines.about("invoking model runtime")
    assert len(set(made)) == len(made) == 4
    assert all(len(request) == 12 and request.isalnum() for request in made), made


def test_what_a_request_sets_going_is_a_line_of_its_own(pair: Mesh, lines: Lines) -> None:
    """A load is the request's that asked for it first."""
    pair.client.register("cold")
    pair.client.call(ECHO, b"", (("mm-model-id", "cold"), ("x-request-id", "first")))
    assert "first" in lines.about("load cold")
