"""What every container in kustomize/ keeps to, and that meshd understands what it is told there."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from meshd.config import Host, read
from meshd.metrics import Metrics
from tests.image.pod import HOME, Image
from tests.kustomize.objects import (
    COMPONENT_NAMES,
    EXAMPLE_NAMES,
    PATCH_NAMES,
    Object,
    containers,
    environment,
    example,
    mesh_containers,
    of_kind,
    patched,
    pod,
)  # fmt: skip

UNITS = {"m": Decimal("0.001"), "": Decimal(1), "Mi": Decimal(2**20), "Gi": Decimal(2**30)}
SECURE = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
NEEDS_ITS_USER = {"model-mesh-etcd/etcd"}
"""Images whose own user is root."""
POD_FACTS = {
    "<metadata.name>": "model-mesh-7d9c5b6f4-x2k4q",
    "<status.podIP>": "10.1.2.3",
    "<status.hostIP>": "10.0.0.1",
    "<metadata.labels['topology.kubernetes.io/zone']>": "",
}


@pytest.fixture(scope="module", params=["all patches", *EXAMPLE_NAMES])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Object]:
    if request.param == "all patches":
        return patched(tmp_path_factory.mktemp("all"), PATCH_NAMES, COMPONENT_NAMES)
    return example(request.param)


def violations(objects: Sequence[Object]) -> Iterator[str]:
    for where, container in containers(objects):
        security = dict(container.get("securityContext", {}))
        if where in NEEDS_ITS_USER:
            security.pop("runAsUser")
        if security != SECURE:
            yield f"{where}: {security}"
        limits, requests = (container["resources"].get(kind, {}) for kind in ("limits", "requests"))
        for resource in ("cpu", "memory"):
            if not 0 < amount(requests.get(resource, "0")) <= amount(limits.get(resource, "0")):
                yield f"{where}: {resource} is not limited, or less than what is requested"
        if not re.search(r":[^/]+$", container["image"]):
            yield f"{where}: the image {container['image']} has no tag"
    for deployment in of_kind(objects, "Deployment"):
        spec = pod(deployment)
        for wrong in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(wrong):
                yield f"{deployment['metadata']['name']}: {wrong}"
        if any("hostPath" in volume for volume in spec.get("volumes", ())):
            yield f"{deployment['metadata']['name']}: hostPath"


def amount(quantity: str) -> Decimal:
    found = re.fullmatch(r"([0-9.]+)(m|Mi|Gi|)", quantity)
    assert found, quantity
    return Decimal(found[1]) * UNITS[found[2]]


def test_no_container_has_more_rights_or_room_than_it_needs(objects: Sequence[Object]) -> None:
    assert list(violations(objects)) == []


def test_a_violation_is_noticed() -> None:
    wrong = json.loads(json.dumps(example("mock-runtime")))
    for _, container in containers(wrong):
        container["securityContext"]["readOnlyRootFilesystem"] = False
        del container["resources"]["limits"]["memory"]
        container["image"] = "registry:5000/meshd"
    assert len(list(violations(wrong))) == 3 * 3


def test_the_mesh_is_probed_and_stopped_in_order(objects: Sequence[Object]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        spec = pod(deployment)
        for container in (each for each in spec["containers"] if each["name"] == "mm"):
            assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8089}
            assert container["livenessProbe"]["httpGet"] == {"path": "/live", "port": 8089}
            assert container["lifecycle"]["preStop"]["exec"]["command"] == [f"/{HOME}/stop.sh", "wait"]
            within_s = int(environment(container)["SHUTDOWN_TIMEOUT_MS"]) / 1000
            assert within_s <= spec["terminationGracePeriodSeconds"]


def test_pods_of_the_mesh_reach_whatever_mmctl_looks_at_in_one_of_them(objects: Sequence[Object]) -> None:
    for policy in of_kind(objects, "NetworkPolicy"):
        reached = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        for container in mesh_containers(objects):
            assert reached == {port["containerPort"] for port in container["ports"]}
        (clients, scrapers) = (rule["ports"] for rule in policy["spec"]["ingress"] if "from" not in rule)
        assert [port["port"] for port in (*clients, *scrapers)] == [8033, 2112], "and nobody else"


def test_runtimes_outlive_the_mesh(objects: Sequence[Object]) -> None:
    for where, container in containers(objects):
        if not where.endswith(("/mm", "/etcd")):
            assert container["lifecycle"]["preStop"]["httpGet"] == {"path": "/prestop", "port": 8090}, where


def test_what_is_written_has_a_place(objects: Sequence[Object]) -> None:
    for container in mesh_containers(objects):
        assert {"name": "mm-log", "mountPath": f"/{HOME}/log"} in container["volumeMounts"]
    image = Image()
    assert (image.directory, image.environment["TMPDIR"]) == (f"/{HOME}", f"/{HOME}/log")


def test_every_setting_is_one_that_meshd_knows(objects: Sequence[Object], tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.write_text("{}")
    shared = {name: value for each in of_kind(objects, "ConfigMap") for name, value in each["data"].items()}
    for container in mesh_containers(objects):
        given = {
            name: str(mounted) if name.endswith("_PATH") and "SOCKET" not in name else POD_FACTS.get(value, value)
            for name, value in environment(container).items()
        }
        settings = {name: value for name, value in shared.items() if name.startswith("MM_")}
        config = read({**settings, **given}, Host("box", "10.1.2.3", "beef"))
        not_yet = {"MM_PAYLOAD_PROCESSORS is accepted and not acted on yet"} & set(config.warnings)
        assert (set(config.warnings) - not_yet, config.faults) == (set(), ())
        assert (config.instance_id, config.external_port) == ("c5b6f4-x2k4q", 8033)


def test_pods_are_scaled_by_a_metric_that_there_is(tmp_path: Path) -> None:
    (scaler,) = of_kind(patched(tmp_path / "hpa", components=["hpa"]), "HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    metrics = Metrics()
    metrics.wanted(1, 2)
    assert f"\n{metric['pods']['metric']['name']} 0.5\n" in metrics.exposition().decode()


def test_the_image_is_that_of_this_version(objects: Sequence[Object]) -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    ours = {container["image"] for _, container in containers(objects) if container["image"].startswith("meshd")}
    assert {image.partition(":")[2] for image in ours} <= {project["version"]}
