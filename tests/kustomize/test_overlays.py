"""Overlays as users of ModelMesh have them, with fields that kustomize calls deprecated, build on this base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.kustomize.objects import (
    PATCH_NAMES,
    Object,
    containers,
    environment,
    mesh_containers,
    name_of,
    of_kind,
    overlay,
)  # fmt: skip
from tests.kustomize.test_renders import check

RUNTIME = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: model-mesh
spec:
  template:
    spec:
      containers:
        - name: model-server
          image: registry.example.com/server:7
          resources:
            limits:
              cpu: "1"
        - name: mm
          env:
            - name: SHUTDOWN_TIMEOUT_MS
              value: "120000"
      terminationGracePeriodSeconds: 120
      imagePullSecrets:
        - name: registry
"""


def merged(*names: str) -> list[str]:
    return [*(f"{{base}}/patches/{name}.yaml" for name in names), "runtime.yaml"]


def suffixed(**more: Any) -> dict[str, Any]:
    return {
        "namespace": "serving",
        "nameSuffix": "-fraud",
        "commonLabels": {"app": "model-mesh-fraud"},
        "resources": ["{base}"],
        "patchesStrategicMerge": merged("etcd", "prometheus_metrics"),
        **more,
    }


def mesh(objects: list[Object]) -> dict[str, str]:
    (container,) = mesh_containers(objects)
    return environment(container)


def test_an_overlay_with_a_suffix_a_namespace_and_labels_builds(tmp_path: Path) -> None:
    objects = overlay(tmp_path / "o", suffixed(), runtime=RUNTIME)
    check(objects)
    assert {each["metadata"]["namespace"] for each in objects} == {"serving"}
    variables = mesh(objects)
    assert variables["MM_SERVICE_NAME"] == "model-mesh-fraud", "the registry of ModelMesh stands under this name"
    assert (variables["SHUTDOWN_TIMEOUT_MS"], variables["KV_STORE"][:6]) == ("120000", "etcd:/")
    assert {name for name, _ in containers(objects)} == {"model-mesh-fraud/mm", "model-mesh-fraud/model-server"}


def test_an_overlay_on_an_overlay_builds(tmp_path: Path) -> None:
    overlay(tmp_path / "first", suffixed(patchesStrategicMerge=merged("etcd", "tls")), runtime=RUNTIME)
    above = {
        "nameSuffix": "-uds",
        "commonLabels": {"app": "model-mesh-uds"},
        "resources": ["../first"],
        "patchesStrategicMerge": ["{base}/patches/uds.yaml"],
    }
    objects = overlay(tmp_path / "second", above)
    check(objects)
    assert mesh(objects)["MM_SERVICE_NAME"] == "model-mesh-fraud-uds"


def test_patches_are_found_under_the_names_that_overlays_use() -> None:
    """Others may come; these have to stay."""
    assert {"etcd", "logger", "max_msg_size", "prometheus_metrics", "tls", "uds"} <= set(PATCH_NAMES)


def test_settings_of_an_overlay_join_those_of_the_base(tmp_path: Path) -> None:
    """Their ConfigMap gets another name with each change, so that pods are rolled."""
    settings = {"name": "model-mesh-settings", "behavior": "merge", "literals": ["MM_LOG_EACH_INVOKE=true"]}
    objects = overlay(tmp_path / "o", suffixed(configMapGenerator=[settings]), runtime=RUNTIME)
    check(objects)
    (settings_map,) = of_kind(objects, "ConfigMap")
    assert settings_map["data"] == {"MM_LOG_FORMAT": "json", "MM_LOG_EACH_INVOKE": "true"}
    (container,) = mesh_containers(objects)
    assert container["envFrom"][0]["configMapRef"]["name"] == name_of(settings_map)
    assert name_of(settings_map) != name_of(
        of_kind(overlay(tmp_path / "p", suffixed(), runtime=RUNTIME), "ConfigMap")[0]
    )


def test_a_generated_secret_and_replacements_build(tmp_path: Path) -> None:
    """The secret of etcd is generated, and the name of the mesh is taken from somewhere else than from its Service."""
    fields = ["spec.template.spec.containers.[name=mm].env.[name=MM_SERVICE_NAME].value"]
    named = {
        "source": {"kind": "ConfigMap", "name": "names", "fieldPath": "data.mesh"},
        "targets": [{"select": {"kind": "Deployment"}, "fieldPaths": fields}],
    }
    objects = overlay(
        tmp_path / "o",
        suffixed(
            configMapGenerator=[{"name": "names", "literals": ["mesh=old-mesh"]}],
            secretGenerator=[
                {"name": "model-mesh-icd-etcd", "literals": ['etcd_connection={"endpoints": "http://e:2379"}']}
            ],
            replacements=[named],
        ),
        runtime=RUNTIME,
    )
    assert mesh(objects)["MM_SERVICE_NAME"] == "old-mesh"
    (secret,) = of_kind(objects, "Secret")
    (deployment,) = of_kind(objects, "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["etcd-config"]["secret"]["secretName"] == name_of(secret) != "model-mesh-icd-etcd-fraud"


def test_an_overlay_of_parts_of_the_base_brings_its_variable_along(tmp_path: Path) -> None:
    """Two deployments behind one service, each made of deployment.yaml alone."""
    for pool in ("gpu", "cpu"):
        part = {"nameSuffix": f"-{pool}", "resources": ["{base}/deployment.yaml"]}
        overlay(tmp_path / pool, part)
    variable = {
        "name": "MM_SERVICE_NAME",
        "objref": {"kind": "Service", "name": "model-mesh", "apiVersion": "v1"},
        "fieldref": {"fieldpath": "metadata.name"},
    }
    target = {"labelSelector": "component=model-mesh"}  # as in ModelMesh's example, without a kind
    objects = overlay(
        tmp_path / "both",
        {
            "nameSuffix": "-two",
            "commonLabels": {"app": "two"},
            "resources": ["../gpu", "../cpu", "{base}/service.yaml"],
            "vars": [variable],
            "patches": [{"path": f"{{base}}/patches/{name}.yaml", "target": target} for name in ("etcd", "tls")],
        },
    )  # fmt: skip
    check(objects)
    deployments = sorted(name_of(each) for each in of_kind(objects, "Deployment"))
    assert deployments == ["model-mesh-cpu-two", "model-mesh-gpu-two"]
    assert {environment(each)["MM_SERVICE_NAME"] for each in mesh_containers(objects)} == {"model-mesh-two"}


def test_only_the_deployment_is_found_by_its_label(tmp_path: Path) -> None:
    """A patch for a pod that has component=model-mesh as its target would put that pod into anything else, too."""
    everything = overlay(tmp_path / "o", {"resources": ["{base}"]})
    found = [each["kind"] for each in everything if each["metadata"].get("labels", {}).get("component") == "model-mesh"]
    assert found == ["Deployment"]


def test_a_prefix_patches_by_index_a_number_of_pods_and_other_settings_build(tmp_path: Path) -> None:
    """The order of what ModelMesh's container has is kept: patches count in it."""
    container = "/spec/template/spec/containers/0"
    patch = [
        {"op": "replace", "path": f"{container}/env/5/value", "value": "etcd:e:2379"},
        {"op": "replace", "path": f"{container}/ports/0/containerPort", "value": 8033},
        {"op": "add", "path": f"{container}/volumeMounts/-", "value": {"name": "more", "mountPath": "/more"}},
        {"op": "add", "path": "/spec/template/spec/volumes/-", "value": {"name": "more", "emptyDir": {}}},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "server", "image": "s:7"}},
    ]
    settings = {"name": "model-mesh-settings", "behavior": "replace", "literals": ["MM_LOG_FORMAT=text"]}
    overlay(
        tmp_path / "first",
        {
            "namePrefix": "team-",
            "namespace": "serving",
            "labels": [{"pairs": {"app": "team"}, "includeSelectors": True}],
            "resources": ["{base}"],
            "replicas": [{"name": "model-mesh", "count": 7}],
            "configMapGenerator": [settings],
            "patches": [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(patch)}],
        },
    )
    joined = {"name": "model-mesh-settings", "behavior": "merge", "literals": ["MM_LOG_LEVEL=warn"]}
    above = {"nameSuffix": "-b", "resources": ["../first"], "configMapGenerator": [joined]}
    objects = overlay(tmp_path / "second", above)
    check(objects)
    (deployment,) = of_kind(objects, "Deployment")
    assert (name_of(deployment), deployment["spec"]["replicas"]) == ("team-model-mesh-b", 7)
    variables = mesh(objects)
    assert (variables["MM_SERVICE_NAME"], variables["KV_STORE"]) == ("team-model-mesh-b", "etcd:e:2379")
    (settings_map,) = of_kind(objects, "ConfigMap")
    assert settings_map["data"] == {"MM_LOG_FORMAT": "text", "MM_LOG_LEVEL": "warn"}
    (container_of_mesh,) = mesh_containers(objects)
    assert container_of_mesh["envFrom"][0]["configMapRef"]["name"] == name_of(settings_map)
    assert {name for name, _ in containers(objects)} == {"team-model-mesh-b/mm", "team-model-mesh-b/server"}


def test_the_image_is_named_in_one_place(tmp_path: Path) -> None:
    images = [{"name": "meshd", "newName": "registry.example.com/meshd", "newTag": "0.9.1"}]
    (container,) = mesh_containers(overlay(tmp_path / "o", suffixed(images=images), runtime=RUNTIME))
    assert container["image"] == "registry.example.com/meshd:0.9.1"
