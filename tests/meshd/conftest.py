"""What tests of a process and of its parts share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count

import pytest

from meshd import request_id
from tests.client import Client
from tests.meshd.mesh import Mesh, mesh

_numbers = count()


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    handlers, level, access_level = root.handlers[:], root.level, access.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access.setLevel(access_level)


@pytest.fixture
def _no_request() -> Iterator[None]:
    """The test works for no request, and what it takes ends with it."""
    token = request_id.TAKEN.set(None)
    yield
    request_id.TAKEN.reset(token)


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests of a module share; the models are each test's own."""
    with mesh(2) as made:
        yield made


@pytest.fixture
def client(pair: Mesh) -> Client:
    return pair.client


@pytest.fixture
def model() -> str:
    """A name that nobody used, and that no other test's begins with."""
    return f"model-{next(_numbers)}-"
