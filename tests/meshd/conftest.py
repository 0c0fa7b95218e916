"""What tests of a process's parts share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from meshd import request_id


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
