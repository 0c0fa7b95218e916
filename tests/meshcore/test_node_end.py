"""What a node makes of instances that come and go, and its own end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshcore.asks import Done, Infer, Op, Request, RuntimeFailed, Settled
from meshcore.commands import (
    Begin,
    CancelLoad,
    Commit,
    Holder,
    Load,
    Local,
    Peer,
    Peers,
    Publish,
    Route,
    Settle,
    Stop,
    Unload,
    Withdraw,
)
from meshcore.entry import State
from meshcore.errors import Code, CopyGone
from meshcore.events import (
    CommitFailed,
    DrainAsked,
    Idled,
    InstancesSeen,
    Loaded,
    LoadFailed,
    Measured,
    Reached,
)
from meshcore.reasons import Rule
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

TS = NOW - 600_000


# -- instances


def test_peers_are_told_to_the_plane_as_they_come_and_go() -> None:
    """An instance is reached at the address in its record; one that is gone has none. This one is no peer."""
    lone = Lone()
    lone.meet("b", instance(address="b:1"))
    assert lone.last(Peers) == Peers((Peer("b", "b:1", True),))
    lone.commands.clear()
    lone.meet("b", instance(address="b:1", used_units=5))
    lone.meet("a", instance(address="a:8080"))
    assert lone.all(Peers) == []
    lone.meet("b", instance(address="b:2"))
    assert lone.last(Peers) == Peers((Peer("b", "b:2", True),))
    lone.lose("b")
    assert lone.last(Peers) == Peers((Peer("b", "", True),))


def test_java_instance_is_no_peer() -> None:
    """It is shown, but nothing is forwarded to it and none of its copies is used."""
    lone = Lone()
    lone.meet("j", instance(address=""))
    lone.know("m", model(copies={"j": NOW}))
    assert (lone.all(Peers), lone.all(Route)) == ([], [])


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda lone: lone.lose("b"), id="gone"),
        pytest.param(lambda lone: lone.meet("b", instance(start_ms=NOW)), id="started anew"),
        pytest.param(lambda lone: lone.feed(InstancesSeen(60, (), True)), id="missing in a snapshot"),
    ],
)
def test_copies_go_with_their_instance(happens: Callable[[Lone], object]) -> None:
    """A copy from before an instance's start, or on one that is gone, is in no route; nothing is deleted for it."""
    lone = Lone(peers={"b": instance()})
    lone.know("m", model(copies={"b": TS}, ready={"b": TS}))
    lone.commands.clear()
    happens(lone)
    assert lone.all(Route) == [Route("m", None, ())]
    assert lone.all(Commit) == []


def test_copies_on_an_instance_that_comes_late_are_found() -> None:
    """News of a copy may be ahead of news of its instance."""
    lone = Lone()
    lone.know("m", model(copies={"b": NOW}, ready={"b": NOW}))
    assert lone.all(Route) == []
    lone.meet("b")
    assert lone.all(Route) == [Route("m", None, (Holder("b", NOW, True),))]


def test_peer_that_answers_the_plane_is_as_good_as_any() -> None:
    """The plane says when a peer on trial answered; of others there is nothing to tell."""
    lone = Lone(peers={"b": instance(address="b:1")})
    lone.node.view.health.failed("b", NOW)
    lone.node.contacts.changed("b")
    lone.feed(Reached("b"))
    assert lone.last(Peers) == Peers((Peer("b", "b:1", True),))
    lone.commands.clear()
    lone.feed(Reached("b"))
    lone.node.view.health.failed("gone", NOW)
    lone.feed(Reached("gone"))
    assert lone.commands == []


# -- the end


def test_draining_instance_gives_up_what_it_has_not_begun() -> None:
    """Loads that the runtime has not been asked for go elsewhere, none starts any more; what is loaded serves."""
    lone = Lone(load_threads=1)
    serving = lone.load("x")
    loading = lone.begin_load("y")
    lone.know("m", model())
    lone.know("n", model())
    waiting = lone.ask(Request("m", exclude=()))
    lone.predict("m", 10)
    lone.commit()
    assert lone.node.cache.entries["m"].state is State.QUEUED
    new = lone.ask(Request("n"))
    lone.commands.clear()
    lone.feed(DrainAsked())
    published = InstanceRecord.decode(lone.last(Publish).value)
    assert (published.is_shutting_down, published.phase) == (True, "draining")
    assert [settle.model for settle in lone.all(Settle)] == ["m", "n"]
    assert lone.all(Load) == lone.all(Withdraw) == lone.all(CancelLoad) == []
    for asking, gone in zip((waiting, new), lone.all(Settle), strict=True):
        asking.answer(Settled(gone.outcome))
        assert asking.error.code is Code.UNAVAILABLE
    lone.feed(Loaded("y", loading))
    lone.feed(Measured("y", loading, 0))
    assert lone.all(Load) == []
    assert lone.ask(Request("x")).step == Infer("x", serving)
    assert lone.ask(Request("y")).step == Infer("y", loading)


def test_load_that_nobody_waits_for_is_begun_elsewhere_if_it_had_not_begun() -> None:
    """Who asked for it was told that it is on its way."""
    lone = Lone(load_threads=1)
    lone.begin_load("x")
    lone.begin_load("m")
    assert lone.node.cache.entries["m"].state is State.QUEUED
    lone.feed(DrainAsked())
    (begun,) = lone.all(Begin)
    assert begun.request == Request("m", Op.ENSURE, is_sync=False, last_used=NOW, exclude=("a",), size_units=10)
    assert begun.why.rule is Rule.DRAIN


def test_load_that_fails_while_draining_is_begun_elsewhere() -> None:
    """Nobody waits for it here; perhaps somebody does by the time it is loaded there."""
    lone = Lone()
    gen = lone.begin_load("m")
    lone.feed(DrainAsked())
    lone.feed(LoadFailed("m", gen, "bad"))
    assert lone.last(Begin).request == Request(
        "m", Op.ENSURE, is_sync=False, last_used=NOW, exclude=("a",), size_units=10
    )


def test_idle_instance_deregisters_everything_and_stops_once() -> None:
    """Copies leave table and records; nothing is unloaded; when all is written the instance stops."""
    lone = Lone()
    lone.load("m")
    lone.load("n")
    gen = lone.begin_load("o")
    lone.begin_load("p")
    lone.load_fails("p")
    lone.commit()
    waiting = lone.ask(Request("o"))
    entry = lone.node.cache.entries["o"]
    lone.feed(DrainAsked())
    lone.feed(DrainAsked())
    lone.commands.clear()
    lone.feed(Idled())
    assert {route.model: route.local for route in lone.all(Route)} == {"m": None, "n": None, "o": None}
    assert [(settle.model, settle.gen) for settle in lone.all(Settle)] == [("o", gen)]
    assert (entry.state, lone.node.copies.queue.in_progress) == (State.REMOVED, 0)
    waiting.answer(Settled(CopyGone("this instance is going")))
    assert lone.node.cache.entries == {}
    assert [commit.model for commit in lone.all(Commit)] == ["m", "n", "o"]
    assert {commit.why.rule for commit in lone.all(Commit)} == {Rule.DRAIN}
    lone.feed(DrainAsked())
    lone.feed(Idled())
    assert lone.all(Stop) == lone.all(Unload) == lone.all(Withdraw) == []
    done = lone.commit()
    assert done.count(Stop()) == 1
    assert all(lone.record(name).copies == {} for name in "mno")
    assert lone.node.publisher.phase == "stopping"
    lone.feed(Loaded("o", gen))
    lone.feed(Idled())
    lone.tick(100_000)
    assert lone.all(Stop) == [Stop()]


def test_idle_instance_tells_nobody_that_a_copy_is_gone_who_had_it() -> None:
    """Requests wait for a load only until the copy answers, measured or not."""
    lone = Lone()
    lone.begin_load("m")
    lone.loaded("m")
    lone.feed(DrainAsked())
    lone.commands.clear()
    lone.feed(Idled())
    assert lone.all(Settle) == []


def test_idle_instance_without_copies_stops_at_once() -> None:
    """Nothing has to be written."""
    lone = Lone()
    lone.feed(DrainAsked())
    assert Stop() in lone.feed(Idled())


def test_instance_stops_only_when_the_store_has_taken_it() -> None:
    """A deregistration that the store did not take is repeated before the end."""
    lone = Lone()
    lone.load("m")
    lone.feed(DrainAsked())
    lone.feed(Idled())
    lone.feed(CommitFailed(lone.last(Commit).ticket, "no leader"))
    lone.commands.clear()
    lone.tick(1_000)
    assert lone.all(Stop) == []
    assert Stop() in lone.commit()


def test_route_of_a_copy_here_says_how_many_requests_it_takes() -> None:
    """The runtime's own limit travels with the table."""
    lone = Lone(limits_concurrency=True)
    gen = lone.begin_load("m")
    lone.feed(Loaded("m", gen, 8192, 4))
    assert lone.last(Route) == Route("m", Local(gen, 4, 32), (Holder("a", NOW, True),))


def test_route_of_a_copy_says_no_limits_where_the_runtime_has_none() -> None:
    """What a load answers counts only where the runtime wants requests held back."""
    lone = Lone(settings=Settings(max_inflight_per_copy=5))
    gen = lone.begin_load("m")
    lone.feed(Loaded("m", gen, 8192, 4))
    assert lone.last(Route).local == Local(gen, 0, 0)


def test_answer_of_the_runtime_is_the_clients() -> None:
    """The core looks at the code of an error, never at an answer."""
    lone = Lone()
    lone.load("m")
    failed = RuntimeFailed(Code.FAILED_PRECONDITION, "x", object())
    assert lone.ask(Request("m")).answer(failed) == Done(failed)
