"""An upgrade of a Deployment before it begins: what it is to do, and the record that it begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmctl.errors import Failed, Usage
from mmctl.sizes import count
from mmctl.upgrade import outlook
from mmctl.upgrade.deployment import Deployment, rollout_of, understood
from mmctl.upgrade.kubectl import Kubectl, find
from mmctl.upgrade.reach import Reach
from mmctl.upgrade.record import Limits, Upgrade
from mmctl.upgrade.rollout import Rollout, images_of
from mmctl.upgrade.views import Plan

KIND = "kubernetes"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of Kubernetes: an image for a container, or a directory or file to apply; empty: not said."""

    deployment: str = ""
    namespace: str = ""
    image: str = ""
    container: str = "mm"
    kustomize: str = ""
    file: str = ""
    kubectl: str = ""
    context: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of kubectl that begin it."""
        if self.image:
            return "set", "image", f"deployment/{self.deployment}", f"{self.container}={self.image}"
        return "apply", *(("-k", self.kustomize) if self.kustomize else ("-f", self.file))


def check(wish: Wish) -> Wish:
    """The wish with absolute paths; Usage for one that cannot be."""
    if not wish.deployment:
        raise Usage("--deployment is missing: the one that is upgraded")
    if sum(map(bool, (wish.image, wish.kustomize, wish.file))) != 1:
        raise Usage("say what is new, one of --image IMAGE, -k DIRECTORY or -f FILE")
    for path in filter(None, (wish.kustomize, wish.file)):
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or directory")
    kustomize, file = (str(Path(path).absolute()) if path else "" for path in (wish.kustomize, wish.file))
    return replace(wish, kustomize=kustomize, file=file, kubectl=find(wish.kubectl or "kubectl"))


async def prepare(reach: Reach, wish: Wish, limits: Limits) -> tuple[Plan, Upgrade]:
    """What ``wish`` comes to; CommandError where it cannot be."""
    wish = check(wish)
    if reach.home is not None:
        raise Usage(
            f"--deployment is of Kubernetes, and the mesh that is meant is the one in {reach.home.path}:"
            " give --kv-store and --service, or a --context that has them"
        )
    if not wish.context:
        wish = replace(wish, context=await _current_context(wish))
    with understood(wish.deployment):
        kubectl = Kubectl(wish.kubectl, wish.namespace, wish.context)
        deployment = await kubectl.read("get", "deployment", wish.deployment)
        rollout = await rollout_of(kubectl, deployment)
        _refuse(rollout)
        wish = replace(wish, namespace=deployment["metadata"]["namespace"])
        kubectl = Kubectl(wish.kubectl, wish.namespace, wish.context)
        coming = _deployment(await kubectl.read(*wish.words, "--dry-run=server"), wish)
        rows = list(_differences(deployment, coming))
        if not rows:
            raise Failed("nothing would be another: the pods would be as they are")
        former, wanted = _label(deployment, wish, rows, 1), _label(coming, wish, rows, 2)
        warnings = list(_warnings(deployment, rollout.replicas, wish))
    known = {instance.id: instance for instance in await reach.cluster.instances()}
    here = [known[pod.instance] for pod in rollout.pods if pod.instance in known]
    if len(here) < rollout.replicas:
        raise Failed(
            f"etcd knows {count(len(here), 'instance')} of {rollout.replicas} of deployment {wish.deployment}:"
            " is this the mesh that it belongs to?"
        )
    new = [f"new pod {number}" for number in range(1, len(here) + 1)]
    steps = outlook.steps(here, new, min(instance.capacity_bytes for instance in here))
    upgrade = Upgrade(
        id="", kind=KIND, former=former, wanted=wanted, size=rollout.replicas, limits=limits,
        old=tuple(instance.id for instance in here),
        plan={**asdict(wish), "former": rollout.current, "images": images_of(coming)},
    )  # fmt: skip
    return Plan(KIND, former, wanted, rows, steps, [*warnings, *outlook.warnings(steps)]), upgrade


def driver(upgrade: Upgrade, kubectl: str) -> Deployment:
    """What carries it out; ``kubectl``: in place of the one that it began with, unless empty."""
    wish = Wish(**{name: upgrade.plan[name] for name in Wish.__slots__})
    wish = replace(wish, kubectl=find(kubectl or wish.kubectl))
    told = Kubectl(wish.kubectl, wish.namespace, wish.context)
    return Deployment(told, wish.deployment, upgrade.plan["former"], wish.words, upgrade.plan["images"])


async def _current_context(wish: Wish) -> str:
    """The cluster that is meant stays the same when kubectl's configuration changes; empty: it has no contexts."""
    try:
        return (await Kubectl(wish.kubectl).run("config", "current-context")).strip()
    except Failed:
        return ""


def _refuse(rollout: Rollout) -> None:
    if rollout.is_paused:
        raise Failed(f"deployment {rollout.name} is paused: `kubectl rollout resume deployment/{rollout.name}` first")
    if not rollout.replicas:
        raise Failed(f"deployment {rollout.name} has no replicas: there is nothing to upgrade")
    if not rollout.is_even or not rollout.is_observed:
        raise Failed(
            f"deployment {rollout.name} is in the middle of another rollout, or not all its pods are available"
        )


def _deployment(applied: Mapping[str, Any], wish: Wish) -> Mapping[str, Any]:
    """The Deployment among what would be applied; Usage."""
    if wish.image:
        return applied
    items = applied.get("items", [applied])
    for item in items:
        if item.get("kind") == "Deployment" and item["metadata"]["name"] == wish.deployment:
            return dict(item)
    raise Usage(f"{wish.kustomize or wish.file} has no Deployment {wish.deployment!r}")


def _differences(deployment: Mapping[str, Any], coming: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    images = [images_of(one) for one in (deployment, coming)]
    for name in dict.fromkeys([*images[0], *images[1]]):
        if images[0].get(name) != images[1].get(name):
            yield f"image of {name}", images[0].get(name, ""), images[1].get(name, "")
    bare = [_without_images(one["spec"]["template"]) for one in (deployment, coming)]
    if bare[0] != bare[1]:
        yield "pod template", "as it is", "as applied"


def _without_images(template: Mapping[str, Any]) -> Any:
    containers = [{**one, "image": ""} for one in template["spec"].get("containers", ())]
    return {**template, "spec": {**template["spec"], "containers": containers}}


def _label(deployment: Mapping[str, Any], wish: Wish, rows: list[tuple[str, str, str]], side: int) -> str:
    """What people call a version: the image of our container."""
    return images_of(deployment).get(wish.container) or rows[0][side]


def _warnings(deployment: Mapping[str, Any], replicas: int, wish: Wish) -> Iterator[str]:
    spec = deployment["spec"]
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        yield "its strategy is Recreate: all pods go before new ones come, requests fail meanwhile"
    rolling = strategy.get("rollingUpdate", {})
    away = _number(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    surge = _number(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    if strategy.get("type") != "Recreate" and (away or not surge):
        yield f"{count(max(1, away), 'pod')} may go before new ones are ready (maxUnavailable)"
    if spec.get("revisionHistoryLimit", 10) == 0:
        yield "revisionHistoryLimit is 0: kubectl cannot undo the rollout, so it cannot be rolled back"
    if not wish.image:
        yield "going back undoes the pods' template; other objects that were applied stay as they are"


def _number(value: int | str, replicas: int, rounded: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(int(value[:-1]) * replicas / 100))
    return int(value)
