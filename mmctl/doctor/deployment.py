"""The environment of an instance as somebody wrote it down: a file of variables, or a Deployment."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mmctl.doctor.environment import parse_env
from mmctl.errors import Failed, Unavailable, Usage

CONTAINER = "mm"
KUBECTL_S = 20.0
_MOST_BYTES = 8 << 20
FIELDS = {"metadata.name": "model-mesh-0-abcdef-12345", "status.podIP": "192.0.2.1", "status.hostIP": "192.0.2.2"}
"""What the downward API might say; anything else gets UNKNOWN."""
UNKNOWN = "unknown"


def read_environment(env_file: Path | None, file: Path | None, deployment: str) -> dict[str, str]:
    """The variables that are given; empty when nothing is. Raises Usage, Failed, Unavailable."""
    if sum(map(bool, (env_file, file, deployment))) > 1:
        raise Usage("--env-file, --file and --deployment say the same: give one")
    if env_file is not None:
        return parse_env(_text(env_file), str(env_file))
    if file is not None:
        return of_documents(_text(file), str(file))
    if deployment:
        namespace, _, name = deployment.rpartition("/")
        return of_documents(_asked(namespace, name), f"deployment {deployment}")
    return {}


def of_documents(text: str, where: str) -> dict[str, str]:
    """The environment of the container of ModelMesh in the one Deployment among YAML or JSON documents."""
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise Usage(f"{where}: not YAML: {error}") from None
    found = [each for document in documents for each in _deployments(document)]
    if len(found) != 1:
        raise Usage(f"{where}: one Deployment is expected, there are {len(found)}")
    try:
        containers = found[0]["spec"]["template"]["spec"]["containers"]
        container = next((each for each in containers if each.get("name") == CONTAINER), None) or next(
            each for each in containers if "modelmesh" in each.get("image", "") and "runtime" not in each["image"]
        )
        return {each["name"]: _value(each) for each in container.get("env") or []}
    except StopIteration:
        raise Usage(f"{where}: no container {CONTAINER!r}, nor one with the image of ModelMesh") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise Usage(f"{where}: not as a Deployment is: {error!r}") from None


def _value(each: Mapping[str, Any]) -> str:
    source = each.get("valueFrom")
    if not source:
        return str(each.get("value") or "")
    return FIELDS.get((source.get("fieldRef") or {}).get("fieldPath", ""), UNKNOWN)


def _deployments(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        return
    if document.get("kind") == "Deployment":
        yield document
    for item in document.get("items") or [] if str(document.get("kind", "")).endswith("List") else []:
        yield from _deployments(item)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise Usage(f"{file} has more than {_MOST_BYTES >> 20} MiB")
        return file.read_text("utf-8")
    except OSError as error:
        raise Usage(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Usage(f"{file}: not UTF-8") from None


def _asked(namespace: str, name: str) -> str:
    command = ["kubectl", "get", "deployment", name, "-o", "json", f"--request-timeout={KUBECTL_S:g}s"]
    command += ["--namespace", namespace] if namespace else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_S + 5, check=False)
    except FileNotFoundError:
        raise Unavailable("there is no kubectl on PATH: give the Deployment with --file") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"kubectl did not answer within {KUBECTL_S + 5:g} s") from None
    if done.returncode:
        raise Failed(f"kubectl: {done.stderr.strip() or done.returncode}")
    return done.stdout
