"""One mesh on this machine and both ways to it, for the tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmctl.cluster import Cluster
from mmctl.mesh import MeshCluster
from mmctl.registry import RegistryCluster
from tests.mmctl.meshes import mesh
from tests.mmctl.ways import NOBODY


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with mesh(
        tmp_path_factory.mktemp("mesh") / "data", "--instances", "2", "--runtime", "fake",
        "--set", "MM_MIN_CHURN_AGE_MS=0", "--capacity", "64MiB", "--runtime-arg=--size", "--runtime-arg=1MiB",
    ) as plan:  # fmt: skip
        yield plan


@pytest.fixture(params=["instances", "registry"])
def via(request: pytest.FixtureRequest, up: dict[str, Any]) -> Callable[[], Cluster]:
    if request.param == "registry":
        return lambda: RegistryCluster(up["kv_store"], "mesh")
    return lambda: MeshCluster([NOBODY, *up["endpoints"]])


@pytest.fixture
def other(via: Callable[[], Cluster], up: dict[str, Any]) -> Callable[[], Cluster]:
    """The other way to the same cluster."""
    if isinstance(via(), MeshCluster):
        return lambda: RegistryCluster(up["kv_store"], "mesh")
    return lambda: MeshCluster(up["endpoints"])
