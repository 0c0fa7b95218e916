"""A cluster at a glance: what it is, what it holds, and what is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from mmctl.cluster import Cluster
from mmctl.local.state import State
from mmctl.sizes import count, human_size, printable, shortened
from mmctl.values import Info, Instance, Model, ModelFilter, Status

_EXAMPLES = 3
_FULL = 0.98


@dataclass(frozen=True, slots=True)
class Health:
    """All of it; ``counts`` has registered models by status, ``problems`` a sentence for each."""

    info: Info
    instances: tuple[Instance, ...]
    counts: dict[Status, int]
    registered: int
    problems: tuple[str, ...]

    @property
    def capacity_bytes(self) -> int:
        """Of the instances that count."""
        return sum(instance.capacity_bytes for instance in self.instances if not instance.is_java)

    @property
    def used_bytes(self) -> int:
        """Of the instances that count."""
        return sum(instance.used_bytes for instance in self.instances if not instance.is_java)


async def examine(cluster: Cluster, local: State | None) -> Health:
    """Ask for everything; ``local`` are the processes when the cluster is the one on this machine."""
    info = await cluster.info()
    instances = tuple(await cluster.instances())
    counts = {
        status: await cluster.count(ModelFilter(status=status))
        for status in (Status.LOADED, Status.LOADING, Status.LOADING_FAILED)
    }
    registered = await cluster.count(ModelFilter())
    failed = []
    if counts[Status.LOADING_FAILED]:
        wanted = ModelFilter(status=Status.LOADING_FAILED)
        failed = [model async for model in cluster.models(wanted, _EXAMPLES)]
    problems = itertools.chain(
        _of_processes(local),
        _of_store(info),
        _of_instances(instances),
        _of_models(failed, counts[Status.LOADING_FAILED]),
    )
    return Health(info, instances, counts, registered, tuple(problems))


def _of_processes(local: State | None) -> list[str]:
    if local is None:
        return []
    return [
        f"{service.name} does not run"
        + (f": `mmctl restart {service.instance}` brings it back" if service.instance else "")
        for service in local.services
        if not service.is_up
    ]


def _of_store(info: Info) -> list[str]:
    problems = []
    if not info.store_available:
        problems.append(
            f"the store does not answer {info.instance}: loaded models are served, nothing can be registered"
        )
    if info.read_only:
        problems.append("the registry is read-only")
    return problems


def _of_instances(instances: Sequence[Instance]) -> list[str]:
    ours = [instance for instance in instances if not instance.is_java]
    problems = []
    if not ours:
        problems.append("no instance is up")
    by_phase: dict[str, list[str]] = {}
    for instance in ours:
        if instance.phase != "ready":
            by_phase.setdefault(instance.phase or "in an unknown phase", []).append(instance.id)
    problems += [f"{count(len(ids), 'instance')} {phase}: {shortened(ids)}" for phase, ids in by_phase.items()]
    empty = [instance.id for instance in ours if not instance.capacity_bytes]
    if empty:
        problems.append(f"{count(len(empty), 'instance')} without memory for models: {shortened(empty)}")
    problems += [
        f"{instance.id} has lost {human_size(instance.lost_bytes)} of memory to unloads that failed"
        for instance in ours
        if instance.lost_bytes
    ]
    return problems


def _of_models(failed: Sequence[Model], number: int) -> list[str]:
    if not number:
        return []
    problems = [
        f"{printable(model.name)} failed to load: {printable(model.failures[0].text)}"
        for model in failed
        if model.failures
    ]
    if number > len(failed):
        problems.append(
            f"{count(number - len(failed), 'more model')} failed to load: `mmctl list --status loading_failed`"
        )
    return problems
