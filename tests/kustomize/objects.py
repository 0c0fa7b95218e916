"""Everything that kustomize/ can be made into, and how to look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.kubectl import render

KUSTOMIZE = Path(__file__).resolve().parents[2] / "kustomize"
BASE, PATCHES = KUSTOMIZE / "base", KUSTOMIZE / "base/patches"
PATCH_NAMES = sorted(path.stem for path in PATCHES.glob("*.yaml"))
COMPONENT_NAMES = sorted(path.name for path in (KUSTOMIZE / "components").iterdir())
EXAMPLE_NAMES = sorted(path.name for path in (KUSTOMIZE / "examples").iterdir())

Object = dict[str, Any]


def overlay(directory: Path, kustomization: dict[str, Any], **files: str) -> list[Object]:
    """What a kustomization in a directory of its own, with files beside it, makes of what it names in kustomize/.

    ``{base}`` stands for the path of kustomize/base, ``{components}`` for that of kustomize/components.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(kustomization)
    for name, path in (("{base}", BASE), ("{components}", KUSTOMIZE / "components")):
        text = text.replace(name, os.path.relpath(path, directory))
    (directory / "kustomization.yaml").write_text(text, "utf-8")
    for name, content in files.items():
        (directory / f"{name}.yaml").write_text(content, "utf-8")
    return render(directory)


def patched(directory: Path, names: Sequence[str] = (), components: Sequence[str] = ()) -> list[Object]:
    """The base with some of its patches and components."""
    return overlay(
        directory,
        {
            "resources": ["{base}"],
            "components": [f"{{components}}/{name}" for name in components],
            "patches": [{"path": f"{{base}}/patches/{name}.yaml"} for name in names],
        },
    )


@cache
def example(name: str) -> list[Object]:
    return render(KUSTOMIZE / "examples" / name)


def of_kind(objects: Sequence[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def pod(deployment: Object) -> Object:
    """The spec of its pods."""
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def containers(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """(deployment/container, container) of all pods."""
    for deployment in of_kind(objects, "Deployment"):
        for container in pod(deployment)["containers"]:
            yield f"{name_of(deployment)}/{container['name']}", container


def mesh_containers(objects: Sequence[Object]) -> list[Object]:
    return [container for _, container in containers(objects) if container["name"] == "mm"]


def environment(container: Object) -> dict[str, str]:
    """Its variables; ``<path>`` stands for what the pod is asked about itself."""
    return {
        each["name"]: each["value"] if "value" in each else f"<{each['valueFrom']['fieldRef']['fieldPath']}>"
        for each in container.get("env", ())
    }
