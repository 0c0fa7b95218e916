"""What kustomize/ renders is what Kubernetes takes, in an old, a middle and a new version, and hangs together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.kustomize.links import loose_ends
from tests.kustomize.objects import (
    COMPONENT_NAMES,
    EXAMPLE_NAMES,
    KUSTOMIZE,
    PATCH_NAMES,
    Object,
    environment,
    example,
    mesh_containers,
    name_of,
    of_kind,
    overlay,
    patched,
)  # fmt: skip

KUBERNETES = ("1.28", "1.31", "1.34")
OWN = {
    kind: json.loads((Path(__file__).parent / f"{kind.lower()}.json").read_text("utf-8"))
    for kind in ("PrometheusRule", "ServiceMonitor")
}
"""Schemas of kinds that Kubernetes itself does not have."""


def check(objects: Sequence[Object]) -> None:
    """Unknown and missing fields, wrong types and kinds without a schema fail, and so do names that lead nowhere."""
    for each in objects:
        validate(json.dumps(each))
    assert loose_ends(objects) == []


@cache
def validate(text: str) -> None:
    """One object as JSON: many of them are the same from overlay to overlay."""
    found = json.loads(text)
    if found["kind"] in OWN:
        jsonschema.validate(found, OWN[found["kind"]])
        return
    for version in KUBERNETES:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_every_example_renders(name: str) -> None:
    check(example(name))


@pytest.mark.parametrize("name", PATCH_NAMES)
def test_every_patch_renders_on_the_base(tmp_path: Path, name: str) -> None:
    check(patched(tmp_path / name, [name]))


@pytest.mark.parametrize("name", COMPONENT_NAMES)
def test_every_component_renders_on_the_base(tmp_path: Path, name: str) -> None:
    check(patched(tmp_path / name, components=[name]))


def test_all_patches_and_components_go_together(tmp_path: Path) -> None:
    objects = patched(tmp_path / "all", PATCH_NAMES, COMPONENT_NAMES)
    check(objects)
    assert sorted(each["kind"] for each in objects) == [
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget",
        "PrometheusRule", "Service", "Service", "ServiceMonitor",
    ]  # fmt: skip
    assert "replicas" not in of_kind(objects, "Deployment")[0]["spec"], "the autoscaler's business"


def test_components_follow_the_names_and_labels_of_an_overlay(tmp_path: Path) -> None:
    """Two meshes in a namespace do not scrape or scale each other."""
    objects = overlay(
        tmp_path / "second",
        {
            "nameSuffix": "-second",
            "labels": [{"pairs": {"app": "second"}, "includeSelectors": True}],
            "resources": ["{base}"],
            "components": [f"{{components}}/{name}" for name in COMPONENT_NAMES],
        },
    )
    check(objects)
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"] == {"app": "second", "component": "model-mesh-metrics"}
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "model-mesh-second"


def test_the_rendered_manifest_is_what_the_trial_renders_to() -> None:
    """After a change: kubectl kustomize kustomize/examples/mock-runtime > kustomize/model-mesh-deploy.yaml."""
    text = (KUSTOMIZE / "model-mesh-deploy.yaml").read_text("utf-8")
    assert list(yaml.load_all(text, yaml.CSafeLoader)) == example("mock-runtime")


def test_a_socket_takes_the_place_of_the_port() -> None:
    (over_tcp,), (over_socket,) = (mesh_containers(example(f"custom-example{kind}")) for kind in ("", "-uds"))
    assert environment(over_tcp)["INTERNAL_GRPC_PORT"] == "8085"
    variables = environment(over_socket)
    assert variables["INTERNAL_GRPC_SOCKET_PATH"] == "/tmp/mmesh/grpc.sock"
    assert "INTERNAL_GRPC_PORT" not in variables, "both together stop the start"


def test_two_deployments_are_one_mesh() -> None:
    """They differ by their labels alone, and read the same constraints."""
    objects = example("type-constraints-example")
    variables = [environment(container) for container in mesh_containers(objects)]
    assert sorted(each.get("MM_LABELS", "") for each in variables) == ["", "gpu"]
    assert {each["MM_SERVICE_NAME"] for each in variables} == {name_of(of_kind(objects, "Service")[0])}
    (constraints,) = of_kind(objects, "ConfigMap")
    assert json.loads(constraints["data"]["type_constraints"])["gpu-type"] == {"required": ["gpu"]}


def test_what_is_wrong_is_noticed() -> None:
    """The checks can fail: a field that is not there, a kind without a schema, a name that leads nowhere."""
    objects = [json.loads(json.dumps(each)) for each in example("mock-runtime")]
    (deployment,) = (each for each in of_kind(objects, "Deployment") if name_of(each) == "model-mesh")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        check([deployment])
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check([{"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "x"}}])
    del deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"]
    deployment["spec"]["template"]["metadata"]["labels"]["component"] = "other"
    deployment["spec"]["template"]["spec"]["volumes"] = []
    found = loose_ends(objects)
    assert any(line.startswith("PodDisruptionBudget model-mesh selects nothing") for line in found)
    assert "model-mesh/mm: there is no volume mm-log" in found
