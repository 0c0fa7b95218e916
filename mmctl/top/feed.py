"""What the screens of ``top`` show, asked of the cluster: the overview, and what the present screen is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmctl.cluster import Cluster
from mmctl.errors import CommandError, NotFound
from mmctl.health import Examiner, Health
from mmctl.top.state import Frame, Place
from mmctl.values import Held, Model

MOST_COPIES = 500
"""Copies of an instance that are asked for: those used least are not on the screen."""
DECISIONS = 50


@dataclass(frozen=True, slots=True)
class Data:
    """What is known, since ``at_s`` of the loop's clock; ``error`` says why it is not newer.

    ``held``, ``model`` and ``decisions`` are ``about`` one screen, by its place and subject; ``note`` says what is
    wrong there.
    """

    health: Health
    at_s: float
    error: str = ""
    about: tuple[Place, str] = (Place.INSTANCES, "")
    held: Held | None = None
    model: Model | None = None
    decisions: Sequence[Any] = ()
    """meshd.v1.Reason messages about the model, the newest first."""
    note: str = ""

    def is_about(self, frame: Frame) -> bool:
        """Whether it is of the screen ``frame``."""
        return self.about == (frame.place, frame.subject)


class Feed:
    """Asks one cluster, for one thing after the other: no more is under way than the screen needs."""

    def __init__(self, cluster: Cluster, examiner: Examiner) -> None:
        self._cluster, self._examiner = cluster, examiner

    async def first(self) -> Data:
        """The overview; raises CommandError."""
        return Data(await self._examiner.look(), _now_s())

    async def renewed(self, data: Data, frame: Frame) -> Data:
        """``data`` as of now, for the screen ``frame``; what cannot be had stays as it was."""
        if not data.is_about(frame):  # what the person waits for comes first
            empty = replace(data, about=(frame.place, frame.subject), held=None, model=None, decisions=(), note="")
            return await self._about(empty, frame)
        try:
            data = replace(data, health=await self._examiner.look(), at_s=_now_s(), error="")
        except CommandError as error:
            return replace(data, error=str(error))
        return await self._about(data, frame)

    async def _about(self, data: Data, frame: Frame) -> Data:
        try:
            match frame.place:
                case Place.COPIES:
                    return replace(data, held=await self._cluster.copies(frame.subject, MOST_COPIES), note="")
                case Place.MODEL:
                    model = await self._cluster.get(frame.subject)
                    wanted = {"model": frame.subject}
                    reasons = [reason async for reason in self._cluster.decisions(wanted, DECISIONS, follow=False)]
                    return replace(data, model=model, decisions=tuple(reversed(reasons)), note="")
        except NotFound:
            return replace(data, note=f"{frame.subject} is not there any more")
        except CommandError as error:
            return replace(data, note=str(error))
        return data


def _now_s() -> float:
    return asyncio.get_running_loop().time()
