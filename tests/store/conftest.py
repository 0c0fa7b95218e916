"""The places of the contract suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etcd import EtcdServer
from tests.store.places import EtcdPlace, MemoryPlace, Place


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    yield server
    server.kill()


@pytest.fixture
def server(shared_server: EtcdServer) -> EtcdServer:
    """The one etcd of the run; a test that killed or froze it finds it running again."""
    shared_server.thaw()
    return shared_server if shared_server.is_running() else shared_server.start()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of this test alone."""
    server = EtcdServer(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    return EtcdPlace(request.getfixturevalue("server"))
