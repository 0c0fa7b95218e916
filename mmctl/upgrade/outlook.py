"""What an upgrade will do, before it does: its steps, and whether what leaves finds room elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmctl.sizes import count, human_size
from mmctl.values import Instance


@dataclass(frozen=True, slots=True)
class Step:
    """One step: an instance comes, or one goes with what it holds, for which ``room_bytes`` are free elsewhere."""

    do: str
    instance: str
    models: int = 0
    held_bytes: int = 0
    room_bytes: int = 0

    @property
    def has_room(self) -> bool:
        """Whether all that it holds can be somewhere else."""
        return self.held_bytes <= self.room_bytes


def steps(old: Sequence[Instance], new: Sequence[str], new_capacity_bytes: int) -> list[Step]:
    """Those of an upgrade of ``old`` to ``new``: each new instance comes before an old one goes.

    What goes is taken to fill the room that is left as it would if everything found its place.
    """
    free = {instance.id: instance.capacity_bytes - instance.used_bytes for instance in old}
    told: list[Step] = []
    came = spent = 0
    for leaving, coming in zip(old, new, strict=True):
        told.append(Step("start", coming))
        came += new_capacity_bytes
        del free[leaving.id]
        room = max(0, sum(free.values()) + came - spent)
        told.append(Step("drain", leaving.id, leaving.models, leaving.used_bytes, room))
        spent += min(leaving.used_bytes, room)
    return told


def warnings(told: Sequence[Step]) -> list[str]:
    """What an operator should know of it, a sentence each."""
    return [
        f"{step.instance} holds {human_size(step.held_bytes)} in {count(step.models, 'model')}, others have room for"
        f" {human_size(step.room_bytes)}: models used least recently will be evicted"
        for step in told
        if not step.has_room
    ]
