"""Words for tests of a node whose runtime restarts, or may have."""

from __future__ import annotations

from meshcore.asks import Request, RuntimeFailed
from meshcore.commands import Commit, Probe, Publish
from meshcore.errors import Code
from meshcore.events import Committed, Finding, Published, RuntimeBack, RuntimeProbed, RuntimeSuspected
from meshcore.records import InstanceRecord
from tests.builders import params
from tests.meshcore.lone import Asking, Lone

LOST = RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: who?")
ENDED = RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: Socket closed")
SUSPECTED = RuntimeSuspected("the connection ended")


def restart(lone: Lone) -> None:
    """The runtime is found to have restarted."""
    lone.feed(SUSPECTED)
    lone.feed(RuntimeProbed(lone.last(Probe).question, Finding.REFUSED))


def back(lone: Lone, **limits: int) -> None:
    lone.feed(RuntimeBack(params(**{"min_churn_age_ms": 0} | limits)))


def lose(lone: Lone, name: str) -> Asking:
    """The runtime says that it does not have the model."""
    asking = lone.ask(Request(name))
    asking.answer(LOST)
    return asking


def committed(lone: Lone, commit: Commit) -> None:
    """The store takes one write."""
    lone.revision += 1
    lone.feed(Committed(commit.ticket, lone.revision))


def published(lone: Lone) -> InstanceRecord:
    """What the instance says of itself once it may."""
    while publishes := lone.all(Publish):
        lone.commands.clear()
        lone.feed(Published(publishes[-1].seq))
        record = InstanceRecord.decode(publishes[-1].value)
    return record
