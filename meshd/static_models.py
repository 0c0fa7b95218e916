"""Models that are there from the start: registered, and some of them loaded, before clients are let in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from meshcore.asks import Done, Failed, Op, Register, Request, Status, StatusInfo, VModelInfo
from meshcore.split import WHOLE
from meshcore.vmodel_asks import ModelInfo, SetVModel
from meshd.config import Config
from meshd.management import Management
from meshd.settings.forms import StaticModel, static_models
from meshd.settings.kinds import Unfit, contents
from meshd.start_error import StartError

YEAR_MS = 365 * 24 * 3_600_000
"""They count as used so long ago, unless they were used since: to be there from the start makes no others go."""
LOADS_AT_ONCE = 64

_log = logging.getLogger(__name__)


def wanted(config: Config) -> tuple[StaticModel, ...]:
    """All of them, those in the file first; none for an instance that leaves registrations as they are.

    Raises StartError for a file that is another by now than when the configuration was checked.
    """
    path = config.static_models_path
    try:
        found = (*(static_models(contents(path)) if path else ()), *config.static_models)
    except Unfit as wrong:
        raise StartError(f"MM_AUTO_REGISTER_MODEL_PATH: {wrong}") from wrong
    if found and config.is_read_only:
        _log.warning("KV_READ_ONLY: %d static models are not registered", len(found))
        return ()
    return found


async def provide(models: tuple[StaticModel, ...], management: Management, now: Callable[[], int]) -> None:
    """Register ``models`` in order, then load those that have to be loaded. Raises StartError, which names the first
    that cannot be."""
    for model in models:
        await _run(model, management, _registration(model, now() - YEAR_MS))
    slots = asyncio.Semaphore(LOADS_AT_ONCE)

    async def load(model: StaticModel) -> None:
        async with slots:
            asked = Request(model.model, Op.ENSURE, is_sync=True, last_used=now() - YEAR_MS)
            info = await _run(model, management, asked)
            assert isinstance(info, StatusInfo)
            if info.status is not Status.LOADED:
                why = info.errors[0] if info.errors else f"its status is {info.status}"
                raise StartError(f"static model {model.model} could not be loaded: {why}")

    try:
        async with asyncio.TaskGroup() as loads:
            for model in models:
                if model.should_load:
                    loads.create_task(load(model))
    except* StartError as failed:
        raise StartError(str(failed.exceptions[0])) from None


def _registration(model: StaticModel, last_used: int) -> Register | SetVModel:
    """With a virtual model: both in one, which makes it or goes on to the model."""
    if not model.vmodel:
        return Register(model.model, model.type, model.path, model.key, last_used=last_used)
    info = ModelInfo(model.type, model.path, model.key, is_auto_delete=not model.is_retained)
    return SetVModel(model.vmodel, {model.model: WHOLE}, info=info)


async def _run(
    model: StaticModel, management: Management, asked: Register | Request | SetVModel
) -> StatusInfo | VModelInfo:
    match await management.run(asked):
        case Done(StatusInfo() | VModelInfo() as info):
            return info
        case Failed(error):
            raise StartError(f"static model {model.model}: {error.text}")
        case end:
            raise AssertionError(f"no status came of this: {end}")
