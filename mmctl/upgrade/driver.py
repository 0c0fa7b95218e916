"""What carries an upgrade out: processes on this machine, or a Deployment of Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mmctl.upgrade.record import Upgrade
from mmctl.upgrade.rules import Seen
from mmctl.values import Instance


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, or is being waited for, in words; ``is_event``: it is worth to be remembered."""

    text: str
    is_event: bool = False


class Driver(Protocol):
    """Looks and acts; whoever calls decides. Every method raises CommandError; Unavailable may pass."""

    async def look(self, upgrade: Upgrade, known: Mapping[str, Instance]) -> Seen:
        """Who is there. ``known`` are the instances by id as etcd has them. What loads come to is left out."""

    async def act(self, upgrade: Upgrade, seen: Seen, now: int) -> Done:
        """Do the one thing that is next in the phase that the upgrade is in; done twice it is done once."""

    async def finish(self, upgrade: Upgrade) -> None:
        """The upgrade is over as its phase says: put away what is left of it."""
