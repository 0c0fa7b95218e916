"""One mesh on this machine and both ways to it, for the tests of a module; and patience with who is busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmctl import asking, endpoints, told, vmodel_calls
from mmctl import mesh as mesh_way
from mmctl.cluster import Cluster
from mmctl.doctor import etcd_look, mesh_checks, modelmesh_checks, reach, store_checks, tls_shown, web
from mmctl.mesh import MeshCluster
from mmctl.registry import RegistryCluster
from tests.client import GUARD_S
from tests.mmctl.meshes import mesh
from tests.mmctl.ways import NOBODY


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with mesh(
        tmp_path_factory.mktemp("mesh") / "data", "--instances", "2", "--runtime", "fake",
        "--set", "MM_MIN_CHURN_AGE_MS=0", "--capacity", "64MiB", "--runtime-arg=--size", "--runtime-arg=1MiB",
    ) as plan:  # fmt: skip
        yield plan


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process wait for whom they ask first, however busy it is, and for its answer."""
    monkeypatch.setattr(endpoints, "CONNECT_S", 600.0)
    monkeypatch.setattr(endpoints, "HASTE_S", GUARD_S)
    for module in (asking, mesh_way, told, vmodel_calls):
        monkeypatch.setattr(module, "CALL_S", GUARD_S)


@pytest.fixture
def patient_doctor(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the doctor in this process."""
    monkeypatch.setattr(etcd_look, "CALL_S", GUARD_S)
    monkeypatch.setattr(store_checks, "LOOK_S", 4 * GUARD_S)
    monkeypatch.setattr(tls_shown, "TRY_S", GUARD_S)
    for module in (web, reach):
        monkeypatch.setattr(module, "WAIT_S", GUARD_S)
    for checks in (mesh_checks, modelmesh_checks):
        monkeypatch.setattr(checks, "START_S", 4 * GUARD_S)


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
