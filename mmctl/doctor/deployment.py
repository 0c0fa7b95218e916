"""The environment of an instance as somebody wrote it down: a file of variables, or a Deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmctl.doctor.environment import parse_env
from mmctl.errors import Usage
from mmctl.reading import documents, read_text
from mmctl.upgrade.kubectl import Kubectl, find

CONTAINER = "mm"
FIELDS = {
    "metadata.name": "model-mesh-0-abcdef-12345", "metadata.namespace": "default", "spec.nodeName": "node",
    "status.podIP": "192.0.2.1", "status.hostIP": "192.0.2.2",
}  # fmt: skip
"""What the downward API might say."""


class Given(NamedTuple):
    """``env`` by name; ``elsewhere``: variables whose value stands somewhere else, as in a ConfigMap."""

    env: Mapping[str, str]
    elsewhere: tuple[str, ...] = ()


def read_environment(env_file: Path | None, file: Path | None, deployment: str) -> Given:
    """The variables that are given; empty when nothing is. Raises Usage, NotFound, Failed, Unavailable."""
    if sum(map(bool, (env_file, file, deployment))) > 1:
        raise Usage("--env-file, --file and --deployment say the same: give one")
    if env_file is not None:
        return Given(parse_env(*read_text(str(env_file))))
    if file is not None:
        return of_documents(*read_text(str(file)))
    if deployment:
        namespace, _, name = deployment.rpartition("/")
        asked = Kubectl(_kubectl(), namespace).run("get", "deployment", name, "-o", "json")
        return of_documents(asyncio.run(asked), f"deployment {deployment}")
    return Given({})


def of_documents(text: str, where: str) -> Given:
    """The environment of the container of ModelMesh in the one Deployment among YAML or JSON documents."""
    try:
        found = [each for _, document in documents(text, where) for each in _deployments(document)]
        if len(found) != 1:
            raise Usage(f"{where}: one Deployment is expected, there are {len(found)}")
        containers = found[0]["spec"]["template"]["spec"]["containers"]
        container = next((each for each in containers if each.get("name") == CONTAINER), None) or next(
            each for each in containers if "modelmesh" in each.get("image", "") and "runtime" not in each["image"]
        )
        values = {each["name"]: _value(each) for each in container.get("env") or []}
    except StopIteration:
        raise Usage(f"{where}: no container {CONTAINER!r}, nor one with the image of ModelMesh") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise Usage(f"{where}: not as a Deployment is: {error!r}") from None
    known = {name: value for name, value in values.items() if value is not None}
    return Given(known, tuple(name for name in values if name not in known))


def _value(each: Mapping[str, Any]) -> str | None:
    """None: it is not in the Deployment."""
    source = each.get("valueFrom")
    if not source:
        return str(each.get("value") or "")
    return FIELDS.get((source.get("fieldRef") or {}).get("fieldPath", ""))


def _deployments(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        return
    if document.get("kind") == "Deployment":
        yield document
    for item in document.get("items") or [] if str(document.get("kind", "")).endswith("List") else []:
        yield from _deployments(item)


def _kubectl() -> str:
    try:
        return find("kubectl")
    except Usage:
        raise Usage("there is no kubectl on PATH that can be run: give the Deployment with --file") from None
