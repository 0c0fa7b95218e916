"""What the runtime's end took is taken out of the records, also while the instance is going."""

from __future__ import annotations

from meshcore.asks import Done, Infer, Request, RuntimeFailed, Settled
from meshcore.commands import Commit, Stop
from meshcore.errors import Code
from meshcore.events import CommitFailed, DrainAsked, Idled, StoreFound, StoreLost
from meshcore.reasons import Rule
from meshcore.settings import Settings
from tests.builders import model
from tests.meshcore.lone import Lone
from tests.meshcore.restart_words import back, committed, published, restart

# -- deregistration


def test_copies_are_taken_out_of_their_records_a_few_at_a_time() -> None:
    """However many there were, the store serves others meanwhile."""
    lone = Lone(settings=Settings(deregister_batch=3))
    names = [f"m{number}" for number in range(8)]
    for name in names:
        lone.load(name, 5)
    for name in names[3:5]:  # somebody else did it already, which is not heard of as a change here
        lone.node.view.see_model(name, model().encode(), 10**6)
    restart(lone)
    most = 0
    while commits := lone.all(Commit):
        most = max(most, len(commits))
        commit = commits[0]
        assert commit.why.rule is Rule.RESTART
        lone.commands.remove(commit)
        committed(lone, commit)
    assert most == 3
    assert all(lone.record(name).copies == {} for name in names)


def test_store_that_is_away_keeps_what_is_to_be_deregistered() -> None:
    """The facts are written when it is back."""
    lone = Lone(settings=Settings(deregister_batch=2))
    for name in ("x", "y", "z"):
        lone.load(name, 5)
    restart(lone)
    commits = lone.all(Commit)
    lone.commands.clear()
    lone.feed(StoreLost())
    for commit in commits:
        lone.feed(CommitFailed(commit.ticket, "no leader"))
    lone.tick(1_000)
    assert lone.all(Commit) == []
    lone.feed(StoreFound())
    lone.tick(0)
    assert len(lone.all(Commit)) == 3
    lone.commit()
    assert all(lone.record(name).copies == {} for name in ("x", "y", "z"))


# -- at the end of the instance


def test_instance_that_is_going_goes_on_with_it_when_its_runtime_restarts() -> None:
    """It says that it goes, and nothing else; its end waits for what is to be deregistered."""
    lone = Lone(settings=Settings(deregister_batch=1))
    for name in ("x", "y"):
        lone.load(name, 5)
    lone.feed(DrainAsked())
    restart(lone)
    commits = lone.all(Commit)
    assert len(commits) == 1
    assert published(lone).phase == "draining"
    back(lone)
    assert lone.node.is_draining
    restart(lone)
    lone.commands = [command for command in lone.commands if not isinstance(command, Commit)] + commits
    lone.feed(Idled())
    assert lone.all(Stop) == []
    lone.commit()
    assert len(lone.all(Stop)) == 1
    assert all(lone.record(name).copies == {} for name in ("x", "y"))


def test_drain_that_begins_while_the_runtime_is_away_stays() -> None:
    """Its return changes nothing about it."""
    lone = Lone()
    restart(lone)
    lone.feed(DrainAsked())
    back(lone)
    assert published(lone).phase == "draining"


def test_model_loaded_again_here_while_its_former_copy_is_still_on_record_stays_there() -> None:
    """The deregistration names the load time of the copy that is gone."""
    lone = Lone(settings=Settings(deregister_batch=1))
    for name in ("x", "m"):
        lone.load(name, 5)
    lone.commands.clear()
    restart(lone)
    commit = lone.last(Commit)
    assert commit.model == "x"
    lone.commands.remove(commit)
    back(lone)
    asking = lone.ask(Request("m"))
    lone.predict("m", 5)
    lone.commit()
    lone.loaded("m", 5)
    assert isinstance(asking.answer(Settled(None)), Infer)
    committed(lone, commit)
    lone.commit()
    assert lone.record("m").copies == {"a": lone.node.cache.entries["m"].load_ts}
    assert isinstance(asking.answer(RuntimeFailed(Code.INTERNAL, "x")), Done)
