"""What a Deployment, its replica sets and its pods say of a rollout, and what kubectl is to be told next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mmctl.upgrade.record import Phase
from mmctl.upgrade.rules import Member, Seen
from mmctl.values import Instance

REVISION = "deployment.kubernetes.io/revision"
_ID_CHARACTERS = 12
"""An instance's id is the end of the name of its pod."""
_STUCK = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
)  # fmt: skip
"""Why a container waits when it will hardly get any further as things are."""


@dataclass(frozen=True, slots=True)
class Pod:
    """``waits`` is the reason why one of its containers, or itself, does not run yet, ``text`` what is said of it."""

    name: str
    replica_set: str
    is_ready: bool = False
    is_going: bool = False
    waits: str = ""
    text: str = ""

    @property
    def instance(self) -> str:
        """The id of the instance in it."""
        return self.name[-_ID_CHARACTERS:]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment as one look found it."""

    name: str
    replicas: int
    current: str
    """The replica set of the template that it has now; empty: its controller has not made one yet."""
    revisions: Mapping[str, int]
    """Of its replica sets, by name."""
    pods: tuple[Pod, ...]
    images: Mapping[str, str]
    """Of the template's containers, by name."""
    is_paused: bool = False
    is_observed: bool = True
    """Whether its controller has seen the latest change of it."""
    is_even: bool = False
    """Whether by its own word all pods are of the current template, as many as wanted, and available."""
    fails: str = ""
    """Why it does not get on by its own word."""


class Tell(StrEnum):
    """What kubectl is told."""

    NOTHING = "nothing"
    BEGIN = "begin"
    PAUSE = "pause"
    RESUME = "resume"
    UNDO = "undo"


def read_rollout(deployment: Mapping[str, Any], listed: Mapping[str, Any]) -> Rollout:
    """The rollout; ``listed`` are the replica sets and pods that the Deployment's selector finds. ValueError for what
    is no Deployment."""
    if deployment.get("kind") != "Deployment":
        raise ValueError(f"not a Deployment: {deployment.get('kind')}")
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    sets = [item for item in listed.get("items", ()) if item["kind"] == "ReplicaSet" and _owner(item) == meta["uid"]]
    by_uid = {item["metadata"]["uid"]: item["metadata"]["name"] for item in sets}
    revisions = {item["metadata"]["name"]: _revision(item) for item in sets}
    mine = _revision(deployment)
    replicas = spec.get("replicas", 1)
    counts = {name: status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return Rollout(
        name=meta["name"],
        replicas=replicas,
        current=next((name for name, revision in revisions.items() if revision == mine), ""),
        revisions=revisions,
        pods=tuple(
            _pod(item, by_uid[_owner(item)])
            for item in listed.get("items", ())
            if item["kind"] == "Pod" and _owner(item) in by_uid and not _is_over(item)
        ),
        images=images_of(deployment),
        is_paused=bool(spec.get("paused", False)),
        is_observed=status.get("observedGeneration", 0) >= meta.get("generation", 0),
        is_even=set(counts.values()) == {replicas},
        fails=_fails(status),
    )


def images_of(deployment: Mapping[str, Any]) -> dict[str, str]:
    """The images in a Deployment's template, by the names of the containers."""
    return {one["name"]: one["image"] for one in deployment["spec"]["template"]["spec"].get("containers", ())}


def seen(rollout: Rollout, former: str, wanted: Mapping[str, str], known: Mapping[str, Instance]) -> Seen:
    """Who is there. ``former`` is the replica set of the version before, ``wanted`` are the images of the one that is
    begun, ``known`` the instances that etcd knows."""
    new = tuple(_member(pod, known) for pod in rollout.pods if pod.replica_set != former)
    old = tuple(_member(pod, known) for pod in rollout.pods if pod.replica_set == former)
    waiting = [pod for pod in rollout.pods if pod.replica_set != former and pod.waits in _STUCK and not pod.is_going]
    stuck = ""
    if waiting:
        stuck = f"pod {waiting[0].name}: {waiting[0].waits}" + (f": {waiting[0].text}" if waiting[0].text else "")
    elif rollout.fails and rollout.current != former:
        stuck = rollout.fails
    return Seen(
        new=new, old=old, size=rollout.replicas, stuck=stuck,
        comes=rollout.current if rollout.is_observed and rollout.current != former else "",
        is_wanted=rollout.images == wanted, is_former=rollout.is_observed and rollout.current == former,
        is_settled=rollout.is_observed and rollout.is_even and not rollout.is_paused,
    )  # fmt: skip


def next_words(phase: Phase, rollout: Rollout, former: str) -> tuple[Tell, str]:
    """What kubectl is to be told in this phase, and why; told twice it changes nothing more."""
    if not rollout.is_observed:
        return Tell.NOTHING, f"Deployment {rollout.name}: its controller has not seen the last change yet"
    has_begun = rollout.current != former
    match phase:
        case Phase.HELD if not rollout.is_paused:
            return Tell.PAUSE, "pauses the rollout"
        case Phase.ROLLING if rollout.is_paused:
            return Tell.RESUME, "resumes the rollout"
        case Phase.ROLLING if not has_begun:
            return Tell.BEGIN, "begins the rollout"
        case Phase.ROLLING_BACK if has_begun:
            return Tell.UNDO, f"undoes the rollout, back to {former}"
        case Phase.ROLLING_BACK if rollout.is_paused:
            return Tell.RESUME, "resumes the rollout"
    return Tell.NOTHING, _standing(phase, rollout, former)


def _standing(phase: Phase, rollout: Rollout, former: str) -> str:
    comes = [pod for pod in rollout.pods if (pod.replica_set == former) == (phase is Phase.ROLLING_BACK)]
    leaves = [pod for pod in rollout.pods if pod not in comes]
    ready = sum(pod.is_ready and not pod.is_going for pod in comes)
    text = f"{ready} of {rollout.replicas} pods ready, {len(leaves)} left that go"
    waits = next((pod for pod in comes if not pod.is_ready), None)
    if waits is not None:
        text += f"; {waits.name} is not ready" + (f": {waits.waits}" if waits.waits else "")
    return text


def _member(pod: Pod, known: Mapping[str, Instance]) -> Member:
    told = known.get(pod.instance)
    text = f"{pod.waits}: {pod.text}" if pod.text else pod.waits
    if pod.is_ready and told is None:
        text = "etcd does not know it"
    return Member(
        pod.instance, is_ready=pod.is_ready and told is not None, is_going=pod.is_going,
        models=told.models if told else 0, loads=told.loads_in_progress if told else 0, text=text,
    )  # fmt: skip


def _pod(item: Mapping[str, Any], replica_set: str) -> Pod:
    status = item.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    waits = text = ""
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    for container in containers:
        waiting = container.get("state", {}).get("waiting")
        if waiting and (not waits or waiting.get("reason") in _STUCK):
            waits, text = waiting.get("reason", ""), waiting.get("message", "")
    scheduled = conditions.get("PodScheduled", {})
    if not waits and scheduled.get("status") == "False":
        waits, text = scheduled.get("reason", ""), scheduled.get("message", "")
    return Pod(
        name=item["metadata"]["name"],
        replica_set=replica_set,
        is_ready=conditions.get("Ready", {}).get("status") == "True",
        is_going="deletionTimestamp" in item["metadata"],
        waits=waits,
        text=text,
    )


def _is_over(pod: Mapping[str, Any]) -> bool:
    """Evicted or done: nothing runs in it any more."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _owner(item: Mapping[str, Any]) -> str:
    owners: Sequence[Mapping[str, Any]] = item["metadata"].get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _revision(item: Mapping[str, Any]) -> int:
    text = item["metadata"].get("annotations", {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _fails(status: Mapping[str, Any]) -> str:
    for each in status.get("conditions", ()):
        has_run_out = each["type"] == "Progressing" and each["status"] == "False"
        cannot = each["type"] == "ReplicaFailure" and each["status"] == "True"
        if has_run_out or cannot:
            return f"{each.get('reason', each['type'])}: {each.get('message', '')}"
    return ""
