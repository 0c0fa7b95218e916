"""Deployments, replica sets and pods as an API server of Kubernetes 1.29 or later answers with them, for tests.

Written after the reference of apps/v1 and core/v1; what a rollout looks at is all there, with the words of the
controllers and of the kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMESPACE, NAME, UID = "serving", "model-mesh", "4f7f0c1e-2f64-4b3c-9a35-8f4f2c5f6b01"
LABELS = {"app": "model-mesh"}
OLD_IMAGE, NEW_IMAGE = "kserve/modelmesh:v0.12.0", "registry.example/meshd:1.0"
OLD_HASH, NEW_HASH = "7d9c5f8b6d", "66bfc84d9b"
OLD, NEW = f"{NAME}-{OLD_HASH}", f"{NAME}-{NEW_HASH}"
_TIME = "2026-03-02T10:00:00Z"


@dataclass(frozen=True, slots=True)
class PodNow:
    """A pod: ``waits`` is (reason, message) of its container, ``is_unscheduled`` the message of the scheduler."""

    replica_set: str
    suffix: str
    is_ready: bool = True
    is_going: bool = False
    waits: tuple[str, str] | None = None
    unscheduled: str = ""

    @property
    def name(self) -> str:
        return f"{self.replica_set}-{self.suffix}"


def template(image: str) -> dict[str, Any]:
    """The pods' template."""
    return {
        "metadata": {"creationTimestamp": None, "labels": LABELS},
        "spec": {
            "containers": [
                {"name": "runtime", "image": "example/runtime:3", "imagePullPolicy": "IfNotPresent"},
                {"name": "mm", "image": image, "imagePullPolicy": "IfNotPresent"},
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 90,
            "dnsPolicy": "ClusterFirst",
        },
    }


def deployment(
    image: str,
    revision: int,
    generation: int,
    observed: int,
    counts: tuple[int, int, int, int],
    conditions: Sequence[Mapping[str, str]] = (),
    paused: bool = False,
    replicas: int = 2,
) -> dict[str, Any]:
    """``counts``: status.replicas, updatedReplicas, readyReplicas, availableReplicas; zeros are left out as in Go."""
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    status = {name: number for name, number in zip(names, counts, strict=True) if number}
    told = list(conditions) or [AVAILABLE, PROGRESSING]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "uid": UID, "resourceVersion": "1201", "creationTimestamp": _TIME,
            "generation": generation, "labels": LABELS,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": template(image),
            **({"paused": True} if paused else {}),
        },
        "status": {"observedGeneration": observed, **status, "conditions": told},
    }  # fmt: skip


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {
        "type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": _TIME,
        "lastTransitionTime": _TIME,
    }  # fmt: skip


AVAILABLE = _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
PROGRESSING = _condition("Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "{NEW}" is progressing.')
PAUSED = _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
EXCEEDED = _condition(
    "Progressing", "False", "ProgressDeadlineExceeded", f'ReplicaSet "{NEW}" has timed out progressing.'
)
QUOTA = _condition(
    "ReplicaFailure", "True", "FailedCreate",
    f'pods "{NEW}-x" is forbidden: exceeded quota: compute, requested: limits.memory=2Gi, used: limits.memory=8Gi',
)  # fmt: skip


def replica_set(name: str, revision: int, image: str, replicas: int) -> dict[str, Any]:
    """One of the Deployment's."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "labels": _hashed(name),
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [_owner("Deployment", NAME, UID)],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": _hashed(name)}, "template": template(image)},
        "status": {"replicas": replicas, "observedGeneration": 1},
    }  # fmt: skip


def pod(now: PodNow) -> dict[str, Any]:
    """One pod."""
    ready = "True" if now.is_ready else "False"
    state: dict[str, Any] = {"running": {"startedAt": _TIME}}
    if now.waits is not None:
        state = {"waiting": {"reason": now.waits[0], "message": now.waits[1]}}
    conditions = [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": ready}]
    scheduled = {"type": "PodScheduled", "status": "True"}
    if now.unscheduled:
        scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": now.unscheduled}
    containers = [] if now.unscheduled else [
        {"name": "runtime", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": _TIME}}},
        {"name": "mm", "ready": now.is_ready, "restartCount": 0, "state": state},
    ]  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": now.name, "namespace": NAMESPACE, "uid": f"uid-{now.name}", "labels": _hashed(now.replica_set),
            "ownerReferences": [_owner("ReplicaSet", now.replica_set, f"uid-{now.replica_set}")],
            **({"deletionTimestamp": _TIME, "deletionGracePeriodSeconds": 90} if now.is_going else {}),
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running" if now.is_ready else "Pending",
            "conditions": [*conditions, scheduled],
            "containerStatuses": containers,
        },
    }  # fmt: skip


def listed(sets: Sequence[dict[str, Any]], pods: Sequence[PodNow]) -> dict[str, Any]:
    """What `kubectl get replicasets,pods -o json` prints."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [*sets, *map(pod, pods)]}


def _hashed(name: str) -> dict[str, str]:
    return {**LABELS, "pod-template-hash": name.rpartition("-")[2]}


def _owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True
    }  # fmt: skip
