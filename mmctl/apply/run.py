"""Finding out what a plan is about, and doing it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from mmctl.apply.plan import Action, Found, Kind, Step
from mmctl.apply.views import Done
from mmctl.cluster import Cluster
from mmctl.collecting import collected
from mmctl.documents import Described
from mmctl.errors import CommandError, Failed, NotFound, Unavailable
from mmctl.progress import Progress
from mmctl.values import Model, ModelFilter, Registered, Unregistered, VModel
from mmctl.views import registered_word, unregistered_word

FEW = 64
"""So many models are asked for one by one; of more the whole list is read."""
CALL_S = 30.0
KNOWN_S = 10.0
"""Within this long an instance knows of a model that was just registered."""
_AGAIN_S = 0.1


async def find(cluster: Cluster, described: Described, prune: ModelFilter | None) -> Found:
    """What there is of what ``described`` names, and what passes ``prune``."""
    names = set(described.models)
    for vmodel in described.vmodels.values():
        names |= {*vmodel.targets, *([vmodel.shadow] if vmodel.shadow else [])}
    vmodels: dict[str, VModel] = {}
    if described.vmodels or prune is not None:
        vmodels = {vmodel.name: vmodel async for vmodel in cluster.vmodels()}
    if prune is None and len(names) <= FEW:
        return Found(await _some(cluster, names), vmodels)
    models: dict[str, Model] = {}
    prunable: list[str] = []
    async for model in cluster.models(ModelFilter(), 0):
        if model.name in names:
            models[model.name] = model
        if prune is not None and prune.has_passed(model):
            prunable.append(model.name)
    return Found(models, vmodels, prunable)


async def _some(cluster: Cluster, names: Iterable[str]) -> dict[str, Model]:
    found = {}
    for name in names:
        try:
            found[name] = await cluster.get(name)
        except NotFound:
            continue
    return found


async def apply(
    cluster: Cluster, steps: Sequence[Step], described: Described, progress: Progress, tell: Callable[[Done], None]
) -> None:
    """Do what the steps say, and ``tell`` what came of each. Raises CommandError where it cannot go on."""
    by_action = {
        (kind, action): [step.name for step in steps if (step.kind, step.action) == (kind, action)]
        for kind in Kind
        for action in Action
    }
    models = by_action[Kind.MODEL, Action.CREATE] + by_action[Kind.MODEL, Action.CHANGE]
    if models:
        registrations = [described.models[name] for name in models]
        registered = await collected(cluster.register(registrations, False), models, "registering", progress)
        for result in registered.results:
            tell(_registered(result))
        registered.check()
    for name in by_action[Kind.VMODEL, Action.CREATE]:
        tell(await _set_vmodel(cluster, described, name, "created"))
    for name in by_action[Kind.VMODEL, Action.CHANGE]:
        tell(await _set_vmodel(cluster, described, name, "changed"))
    gone = by_action[Kind.MODEL, Action.REMOVE]
    if gone:
        unregistered = await collected(cluster.unregister(gone, False), gone, "unregistering", progress)
        for each in unregistered.results:
            tell(_unregistered(each))
        unregistered.check()


def _registered(result: Registered) -> Done:
    return Done(Kind.MODEL, result.name, registered_word(result), result.code, result.error)


def _unregistered(result: Unregistered) -> Done:
    word = unregistered_word(result).replace(" ", "_")
    return Done(Kind.MODEL, result.name, word, result.code, result.error)


async def _set_vmodel(cluster: Cluster, described: Described, name: str, word: str) -> Done:
    """Its models may have been registered a moment ago: an instance that does not know of one yet is asked again."""
    wanted = described.vmodels[name]
    loop = asyncio.get_running_loop()
    ends = loop.time() + KNOWN_S
    while True:
        try:
            await cluster.set_vmodel(wanted, False, CALL_S)
        except NotFound as error:
            if loop.time() < ends:
                await asyncio.sleep(_AGAIN_S)
                continue
            return _failed(name, "NOT_FOUND", error)
        except Unavailable as error:
            return _failed(name, "UNAVAILABLE", error)
        except Failed as error:
            return _failed(name, "FAILED_PRECONDITION", error)
        return Done(Kind.VMODEL, name, word)


def _failed(name: str, code: str, error: CommandError) -> Done:
    return Done(Kind.VMODEL, name, "failed", code, str(error))
