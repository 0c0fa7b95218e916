"""Carries an upgrade out on Kubernetes: a Deployment's controller replaces the pods, kubectl tells it when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmctl.errors import Failed
from mmctl.upgrade.driver import Done
from mmctl.upgrade.kubectl import Kubectl
from mmctl.upgrade.record import Upgrade
from mmctl.upgrade.rollout import Rollout, Tell, next_words, read_rollout, seen
from mmctl.upgrade.rules import Seen
from mmctl.values import Instance


class Deployment:
    """One Deployment."""

    def __init__(
        self, kubectl: Kubectl, name: str, former: str, words: tuple[str, ...], images: Mapping[str, str]
    ) -> None:
        """``former`` is the replica set of the version before. ``words`` are the arguments that have kubectl begin the
        upgrade, which leads to ``images``."""
        self._kubectl, self._name, self._former = kubectl, name, former
        self._words, self._images = words, images
        self._found: Rollout | None = None

    async def look(self, upgrade: Upgrade, known: Mapping[str, Instance]) -> Seen:
        """See Driver."""
        self._found = await look_at(self._kubectl, self._name)
        return seen(self._found, self._former, self._images, known)

    async def act(self, upgrade: Upgrade, seen: Seen, now: int) -> Done:
        """See Driver: by what the last look found."""
        assert self._found is not None
        tell, reason = next_words(upgrade.phase, self._found, self._former)
        name = f"deployment/{self._name}"
        match tell:
            case Tell.NOTHING:
                return Done(reason)
            case Tell.BEGIN:
                await self._kubectl.run(*self._words)
            case Tell.PAUSE | Tell.RESUME:
                await self._kubectl.run("rollout", tell.value, name)
            case Tell.UNDO:
                revision = self._found.revisions.get(self._former)
                if revision is None:
                    raise Failed(
                        f"replica set {self._former} is gone: kubectl cannot bring it back, apply what was before"
                    )
                if self._found.is_paused:  # kubectl undoes nothing that is paused
                    await self._kubectl.run("rollout", "resume", name)
                await self._kubectl.run("rollout", "undo", name, f"--to-revision={revision}")
        return Done(reason, is_event=True)

    async def finish(self, upgrade: Upgrade) -> None:
        """See Driver: nothing is left."""


async def look_at(kubectl: Kubectl, name: str) -> Rollout:
    """The Deployment with its replica sets and pods; CommandError."""
    with understood(name):
        return await rollout_of(kubectl, await kubectl.read("get", "deployment", name))


async def rollout_of(kubectl: Kubectl, deployment: Mapping[str, Any]) -> Rollout:
    """A Deployment that was read, with its replica sets and pods; see ``understood``."""
    return read_rollout(deployment, await kubectl.read("get", "replicasets,pods", "-l", selector(deployment)))


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Failed where what kubectl says of a Deployment lacks what the block looks for."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failed(f"what kubectl says of deployment {name} cannot be understood: {error!r}") from None


def selector(deployment: Mapping[str, Any]) -> str:
    """What finds its pods, as kubectl's ``-l`` takes it; Failed for what that cannot say."""
    wanted = deployment["spec"]["selector"]
    parts = [f"{name}={value}" for name, value in wanted.get("matchLabels", {}).items()]
    for each in wanted.get("matchExpressions", ()):
        values = ",".join(each.get("values", ()))
        form = {"In": "{0} in ({1})", "NotIn": "{0} notin ({1})", "Exists": "{0}", "DoesNotExist": "!{0}"}
        parts.append(form[each["operator"]].format(each["key"], values))
    if not parts:
        raise Failed("the Deployment selects no pods")
    return ",".join(parts)
