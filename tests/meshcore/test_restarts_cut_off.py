"""Requests and loads that the runtime's end cut off wait for certainty, and go on."""

from __future__ import annotations

from meshcore.asks import AwaitLoaded, Infer, Kind, Met, Op, Request, Settled, Verdict
from meshcore.commands import Begin, CancelLoad, Load, Probe, Settle, Unload
from meshcore.entry import State
from meshcore.errors import CopyGone, LoadFailure
from meshcore.events import Failing, Finding, LoadFailed, RuntimeProbed
from tests.builders import NOW
from tests.meshcore.asked import verdict
from tests.meshcore.copy_words import ask, states
from tests.meshcore.lone import Lone
from tests.meshcore.restart_words import ENDED, back


def test_request_that_the_runtimes_end_cut_off_waits_for_certainty_and_is_answered() -> None:
    """With nobody else there it is loaded here again, once the runtime is ready."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m"))
    assert asking.answer(ENDED) == AwaitLoaded("", 1, 10_000)
    assert lone.last(Probe) == Probe(1)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    assert lone.all(Settle) == [Settle("", 1, None)]
    asking.answer(Settled(None))
    lone.predict("m", 10)
    lone.commit()
    gen = lone.node.cache.entries["m"].gen
    assert asking.step == AwaitLoaded("m", gen, 450_000)
    assert lone.all(Load) == []
    back(lone)
    assert lone.last(Load).gen == gen
    lone.loaded("m", 10)
    assert asking.answer(Settled(None)) == Infer("m", gen)


def test_request_that_the_plane_saw_cut_off_waits_too() -> None:
    """Also where the restart is known already by the time it is told."""
    lone = Lone()
    gen = lone.load("m")
    met = Met("a", NOW, gen, ENDED)
    asking = lone.ask(Request("m", met=met))
    assert isinstance(asking.step, AwaitLoaded)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    late = lone.ask(Request("m", met=met))
    assert isinstance(late.step, AwaitLoaded)
    assert late.step.model == "m"
    passed_on = lone.ask(Request("m", kind=Kind.HIT, tried=(("a", NOW),), origin="b", met=met))
    assert isinstance(passed_on.step, AwaitLoaded)


def test_copy_that_the_runtimes_end_took_is_not_here_for_other_instances() -> None:
    """The sender goes on elsewhere."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    asking.answer(ENDED)
    lone.feed(RuntimeProbed(1, Finding.REFUSED))
    asking.answer(Settled(None))
    assert verdict(asking).verdict is Verdict.NOT_HERE


def test_unavailable_runtime_is_looked_at_once_a_second_at_most() -> None:
    """One that is overloaded says so in every answer."""
    lone = Lone()
    lone.load("m")
    first = lone.ask(Request("m"))
    second = lone.ask(Request("m"))
    assert first.answer(ENDED) == second.answer(ENDED)
    assert len(lone.all(Probe)) == 1
    lone.feed(RuntimeProbed(1, Finding.SILENT))
    lone.tick(999)
    assert lone.ask(Request("m")).answer(ENDED) == first.answer(Settled(None))
    lone.tick(1)
    assert lone.ask(Request("m")).answer(ENDED) == AwaitLoaded("", 2, 10_000)


def test_load_that_the_runtimes_end_cut_off_is_not_held_against_the_model() -> None:
    """Whoever waits for it chooses anew; what nobody waits for is begun anew."""
    lone = Lone()
    awaited = ask(lone, "awaited", 10)
    asking = lone.ask(Request("awaited"))
    other = ask(lone, "other", 10)
    for name, gen in (("awaited", awaited), ("other", other)):
        lone.feed(LoadFailed(name, gen, "UNAVAILABLE: Socket closed", Failing.LOST))
    assert states(lone) == {"awaited": State.LOADING, "other": State.LOADING}
    lone.feed(RuntimeProbed(lone.last(Probe).question, Finding.REFUSED))
    assert [command.outcome for command in lone.all(Settle) if command.model] == [
        CopyGone("the runtime restarted: nobody listens where it did")
    ] * 2
    assert [begin.request for begin in lone.all(Begin)] == [Request("other", Op.ENSURE, is_sync=False, last_used=NOW)]
    lone.commit()
    for name in ("awaited", "other"):
        assert (lone.record(name).copies, lone.record(name).failures) == ({}, {})
    assert lone.all(Unload) == lone.all(CancelLoad) == []
    asking.flow.close()


def test_load_that_fails_unavailable_at_a_runtime_that_is_there_has_failed() -> None:
    """As with any other text, only a moment later."""
    lone = Lone()
    gen = ask(lone, "m", 10)
    lone.feed(LoadFailed("m", gen, "UNAVAILABLE: no disk", Failing.LOST))
    assert lone.all(Settle) == []
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    assert lone.last(Settle) == Settle("m", gen, LoadFailure("UNAVAILABLE: no disk"))
    assert states(lone) == {"m": State.FAILED}
