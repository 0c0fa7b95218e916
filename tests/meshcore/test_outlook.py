"""What a request would meet is what the next one meets, and asking for it changes nothing."""

from __future__ import annotations

import pytest

from meshcore.asks import AwaitLoaded, Failed, Forward, Infer, Request
from meshcore.events import DrainAsked, RegistrySeen, Seen, StoreLost
from meshcore.outlook import Action, Outlook, outlook
from meshcore.records import Failure, InstanceRecord, ModelRecord
from meshcore.rendezvous import CAUSE
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, instance, model
from tests.meshcore.copy_words import ask
from tests.meshcore.lone import Lone

FILLED = 8
ONE_B = {"b": instance()}
FAILED_EVERYWHERE = {name: Failure(NOW - 1, "broken") for name in ("a", "b")}


def held(ready: bool) -> ModelRecord:
    return model(copies={"b": NOW - 10}, ready={"b": NOW - 10} if ready else {})


def fill(lone: Lone) -> None:
    """So many copies here, used one after the other, that there is no room for another."""
    for number in range(FILLED):
        lone.load(f"x{number}")
        lone.tick(1_000)


def asked(lone: Lone) -> Outlook:
    """The outlook for m, twice the same and with nothing changed by it."""
    before = (lone.node.rng.getstate(), lone.node.log.newest, lone.node.view.instance("a"))
    found = outlook(lone.node, "m")
    assert outlook(lone.node, "m") == found
    assert (lone.node.rng.getstate(), lone.node.log.newest, lone.node.view.instance("a")) == before
    return found


def met(lone: Lone, name: str = "m") -> tuple[Action, str]:
    """What a request meets now: what becomes of it and where, or its error's text."""
    step = lone.ask(Request(name)).step
    match step:
        case Infer():
            return Action.ANSWERED, "a"
        case Forward(to, passed):
            return (Action.LOADED if passed.kind == "load" else Action.FORWARDED), to
        case AwaitLoaded():
            return Action.LOADED, "a"
        case Failed(error):
            return Action.REFUSED, error.text
    raise AssertionError(step)


@pytest.mark.parametrize("seed", range(8))
def test_a_cold_model_is_loaded_where_the_outlook_says(seed: int) -> None:
    lone = Lone(seed=seed, peers={"b": instance(), "c": instance()})
    lone.know("m", model())
    found = asked(lone)
    assert (found.action, found.instances[0]) == met(lone)
    assert found.placement is not None
    assert found.placement.candidates


def test_a_ready_copy_elsewhere_answers() -> None:
    lone = Lone(peers=ONE_B)
    lone.know("m", held(ready=True))
    assert asked(lone) == Outlook(Action.FORWARDED, ("b",))
    assert met(lone) == (Action.FORWARDED, "b")


def test_a_copy_that_loads_is_waited_for() -> None:
    lone = Lone(peers=ONE_B)
    lone.know("m", held(ready=False))
    assert asked(lone) == Outlook(Action.WAITS, ("b",), NOW - 10)


def test_failures_everywhere_refuse_with_their_text() -> None:
    lone = Lone(peers=ONE_B)
    lone.know("m", model(failures=FAILED_EVERYWHERE, size_bytes=8192))
    found = asked(lone)
    assert (found.action, found.text) == met(lone)
    assert found.placement is not None


def test_an_unknown_model_is_refused() -> None:
    assert asked(Lone()).text == "model not found"


def test_a_load_here_that_is_under_way_is_waited_for_here() -> None:
    lone = Lone()
    ask(lone, "m", 30)
    assert asked(lone).action is Action.WAITS


def test_a_load_that_is_not_published_yet_counts_and_is_not_kept_in_the_view() -> None:
    lone = Lone(peers=ONE_B)
    ask(lone, "x", 30)
    assert lone.node.view.instance("a") != lone.node.own_record()
    lone.know("m", model())
    found = asked(lone)
    assert (found.action, found.instances[0]) == met(lone)


def test_enough_failures_give_up_without_looking_for_a_place() -> None:
    lone = Lone(peers=ONE_B)
    lone.know("m", model(failures={name: Failure(NOW - 1, "broken") for name in "abcdef"}))
    found = asked(lone)
    assert (found.action, found.text, found.placement) == (Action.REFUSED, "broken", None)
    assert met(lone) == (Action.REFUSED, "broken")


def test_a_record_that_cannot_be_read_is_refused_as_such() -> None:
    lone = Lone()
    lone.feed(RegistrySeen(9, (Seen("m", b"{", 9),)))
    assert asked(lone).action is Action.REFUSED


def test_the_copy_here_answers() -> None:
    lone = Lone()
    lone.load("m")
    assert asked(lone) == Outlook(Action.ANSWERED, ("a",))
    assert met(lone) == (Action.ANSWERED, "a")


def test_a_load_that_churn_would_refuse_here_goes_where_the_outlook_says() -> None:
    lone = Lone(peers={"b": instance(used_units=1000, lru_ms=NOW - 1_000)}, min_churn_age_ms=300_000)
    fill(lone)
    lone.know("m", model(size_bytes=8192))
    found = asked(lone)
    assert (found.action, found.instances[0] if found.instances else found.text) == met(lone)


def test_churn_refuses_with_its_text_where_there_is_nobody_else() -> None:
    lone = Lone(min_churn_age_ms=300_000)
    fill(lone)
    lone.know("m", model())
    found = asked(lone)
    assert found.text.startswith("Cache churn threshold exceeded")
    assert (found.action, found.text) == met(lone)


def test_what_goes_for_a_load_here_is_what_the_outlook_names() -> None:
    lone = Lone()
    fill(lone)
    lone.know("m", model(size_bytes=60 * UNIT_BYTES))
    found = asked(lone)
    assert len(found.evicts) > 1
    assert met(lone) == (Action.LOADED, "a")
    lone.commit()
    assert [name for name in found.evicts if name in lone.node.cache.entries] == []
    assert len(lone.node.cache.entries) == FILLED - len(found.evicts) + 1


@pytest.mark.parametrize(
    "peers",
    [
        {"b": instance(is_shutting_down=True), "c": instance()},
        {"b": instance(is_cordoned=True), "c": instance()},
        {"b": instance(capacity_units=3), "c": instance(used_units=990, lru_ms=NOW - 1_000)},
        {"b": instance(loads_in_progress=8), "c": instance()},
    ],
)
@pytest.mark.parametrize("fails", ["", "b", "c"])
@pytest.mark.parametrize("holds", ["", "b", "c"])
def test_a_request_meets_what_the_outlook_says(peers: dict[str, InstanceRecord], fails: str, holds: str) -> None:
    """With peers that take no loads, that cannot be reached, or that hold the copy, whichever comes together."""
    lone = Lone(peers=peers)
    fill(lone)
    for _ in range(5):
        lone.node.view.health.failed(fails or "nobody", lone.now)
    since = {holds: NOW - 10} if holds else {}
    lone.know("m", model(size_bytes=8 * UNIT_BYTES, copies=since, ready=since))
    found = asked(lone)
    assert (found.action, found.instances[0] if found.instances else found.text) == met(lone)


def test_an_instance_that_goes_refuses_what_only_it_could_load() -> None:
    lone = Lone()
    lone.know("m", model())
    lone.feed(DrainAsked(60_000))
    found = asked(lone)
    assert (found.action, found.text) == met(lone)


def test_nothing_is_said_of_what_goes_for_a_model_whose_size_is_not_known() -> None:
    lone = Lone()
    fill(lone)
    lone.load("x8")
    lone.tick(1_000)
    lone.know("m", model())
    found = asked(lone)
    assert (found.action, found.evicts) == (Action.LOADED, ())
    assert met(lone) == (Action.LOADED, "a")


@pytest.mark.parametrize("name", ["m", "n", "o", "p"])
def test_while_the_store_is_away_the_load_goes_where_all_would_send_it(name: str) -> None:
    lone = Lone(peers={"b": instance(), "c": instance()})
    lone.know(name, model())
    lone.feed(StoreLost())
    found = outlook(lone.node, name)
    assert found == outlook(lone.node, name)
    assert (found.action, found.instances[0]) == met(lone, name)
    assert found.placement is not None
    assert found.placement.cause == CAUSE


@pytest.mark.parametrize("lost", ["", "b", "c", "bc"])
@pytest.mark.parametrize("seed", range(4))
def test_of_several_ready_copies_one_that_can_be_reached_answers(lost: str, seed: int) -> None:
    lone = Lone(seed=seed, peers={"b": instance(), "c": instance()})
    for name in lost * 5:
        lone.node.view.health.failed(name, lone.now)
    since = {"b": NOW - 10, "c": NOW - 20}
    lone.know("m", model(copies=since, ready=since))
    found = asked(lone)
    assert found.instances == ({"b": ("c",), "c": ("b",)}.get(lost, ("b", "c")))
    action, to = met(lone)
    assert action is found.action
    assert to in found.instances
