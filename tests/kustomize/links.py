"""Whether objects hang together: everything that names another object, a label, a port or a volume finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.kustomize.objects import Object, environment, name_of, of_kind, pod

YOURS = {"model-mesh-icd-etcd", "model-mesh-tls-secret", "models"}
"""Secrets and claims that whoever applies the manifests makes."""


def loose_ends(objects: Sequence[Object]) -> list[str]:
    """A sentence for each that leads nowhere."""
    return [*_selectors(objects), *_ports(objects), *_volumes(objects), *_names(objects)]


def _is_selected(selector: Object, labels: Object) -> bool:
    return selector.items() <= labels.items()


def _labels(objects: Sequence[Object]) -> list[Object]:
    return [deployment["spec"]["template"]["metadata"]["labels"] for deployment in of_kind(objects, "Deployment")]


def _selectors(objects: Sequence[Object]) -> Iterator[str]:
    pods = _labels(objects)
    for each in objects:
        spec: Any = each.get("spec", {})
        match each["kind"]:
            case "Deployment":
                selectors = [spec["selector"]["matchLabels"]]
                spread = spec["template"]["spec"].get("topologySpreadConstraints", ())
                selectors += [constraint["labelSelector"]["matchLabels"] for constraint in spread]
                among = [spec["template"]["metadata"]["labels"]]
            case "Service":
                selectors, among = [spec["selector"]], pods
            case "PodDisruptionBudget":
                selectors, among = [spec["selector"]["matchLabels"]], pods
            case "NetworkPolicy":
                peers = [peer for rule in spec["ingress"] for peer in rule.get("from", ())]
                selectors = [spec["podSelector"]["matchLabels"], *(p["podSelector"]["matchLabels"] for p in peers)]
                among = pods
            case "ServiceMonitor":
                services = [service["metadata"].get("labels", {}) for service in of_kind(objects, "Service")]
                found = [labels for labels in services if _is_selected(spec["selector"]["matchLabels"], labels)]
                selectors, among = [{}] if len(found) == 1 else [spec["selector"]["matchLabels"]], found
            case _:
                continue
        for selector in selectors:
            if not any(_is_selected(selector, labels) for labels in among):
                yield f"{each['kind']} {name_of(each)} selects nothing by {selector}"


def _ports(objects: Sequence[Object]) -> Iterator[str]:
    for service in of_kind(objects, "Service"):
        for deployment in of_kind(objects, "Deployment"):
            template = deployment["spec"]["template"]
            if not _is_selected(service["spec"]["selector"], template["metadata"]["labels"]):
                continue
            open_ports = [port for container in template["spec"]["containers"] for port in container.get("ports", ())]
            known = {port.get("name") for port in open_ports} | {port["containerPort"] for port in open_ports}
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in known:
                    yield f"Service {name_of(service)}: {name_of(deployment)} has no port {port['targetPort']}"


def _volumes(objects: Sequence[Object]) -> Iterator[str]:
    maps = {name_of(each) for each in of_kind(objects, "ConfigMap")} | YOURS
    for deployment in of_kind(objects, "Deployment"):
        spec, where = pod(deployment), name_of(deployment)
        volumes = {volume["name"] for volume in spec.get("volumes", ())}
        for volume in spec.get("volumes", ()):
            named = [volume.get("configMap", {}).get("name"), volume.get("secret", {}).get("secretName"),
                     volume.get("persistentVolumeClaim", {}).get("claimName")]  # fmt: skip
            for name in filter(None, named):
                if name not in maps:
                    yield f"{where}: the volume {volume['name']} is of {name}, which is not there"
        for container in spec["containers"]:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{where}/{container['name']}: there is no volume {mount['name']}"


def _names(objects: Sequence[Object]) -> Iterator[str]:
    services = {name_of(each): each["spec"]["selector"] for each in of_kind(objects, "Service")}
    deployments = {name_of(each) for each in of_kind(objects, "Deployment")}
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] not in deployments:
            yield f"{name_of(scaler)} scales {scaler['spec']['scaleTargetRef']['name']}, which is not there"
    for deployment in of_kind(objects, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for container in pod(deployment)["containers"]:
            service = environment(container).get("MM_SERVICE_NAME")
            if service is not None and not _is_selected(services.get(service, {"": ""}), labels):
                yield f"{name_of(deployment)}: no Service {service} leads to it"
