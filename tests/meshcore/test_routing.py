"""One request's way to an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import (
    Answered,
    AwaitLoaded,
    Done,
    Forward,
    Infer,
    Kind,
    Met,
    Op,
    Outcome,
    Read,
    Request,
    Settled,
    StoreSilent,
    TimedOut,
    Unreachable,
)
from meshcore.commands import Load, Predict, Settle
from meshcore.errors import (
    ChurnRefused,
    Code,
    Draining,
    LoadFailure,
    MeshError,
    NowhereToLoad,
    StoreAway,
    UnknownModel,
)
from meshcore.events import DrainAsked, Seen
from meshcore.reasons import Rule
from meshcore.records import Failure
from tests.builders import NOW, instance, model
from tests.meshcore.asked import TS, forwarded, on, peers
from tests.meshcore.lone import Lone

# -- a copy that is ready


def test_ready_copy_here_is_called() -> None:
    """A request for a model that is ready here is answered here, by the runtime's own answer."""
    lone = Lone()
    gen = lone.load("m")
    asking = lone.ask(Request("m"))
    assert asking.step == Infer("m", gen)
    assert asking.answer(Answered("reply")) == Done(Answered("reply"))


def test_ready_copy_elsewhere_is_asked_as_a_hit() -> None:
    """What goes to a holder says where the request was, that it comes from here, and how far it has come."""
    lone = Lone(peers=peers("b"))
    lone.know("m", on("b"))
    asking = lone.ask(Request("m", is_balanced=True, met=Met("c", 1, 0, Unreachable("no"))))
    hit = Request("m", kind=Kind.HIT, tried=(("c", 1), ("b", TS)), origin="a", hops=1)
    assert asking.step == Forward("b", hit)
    assert asking.answer(Answered("reply")) == Done(Answered("reply"))


def test_of_two_ready_copies_each_is_chosen_in_its_turn() -> None:
    """Holders are drawn as the plane draws them, and why is kept."""
    lone = Lone(peers=peers("b", "c", "d"))
    lone.know("m", replace(on("b", "c"), copies={"b": TS, "c": TS, "d": TS - 1}))
    chosen = {forwarded(lone.ask(Request("m")))[0] for _ in range(20)}
    assert chosen == {"b", "c"}
    reason = lone.node.log.of("m")[-1]
    assert (reason.rule, reason.cause) == (Rule.HOLDER, "ready")
    other = "c" if reason.chosen == "b" else "b"
    assert [(c.id, c.rejected) for c in reason.candidates if c.id != reason.chosen] == [
        (other, "not-drawn"),
        ("d", "not-ready"),
    ]


def test_copies_that_still_load_are_waited_for_by_age() -> None:
    """Where no copy is ready the one whose load began first is asked: it will be ready first."""
    lone = Lone(peers=peers("b", "c", "d"))
    lone.know("m", model(copies={"b": TS, "c": TS - 2, "d": TS - 2}))
    assert forwarded(lone.ask(Request("m")))[0] == "c"
    assert lone.node.log.of("m")[-1].cause == "loads the longest"


def test_balanced_request_stays_with_the_ready_copy_here() -> None:
    """Requests that were spread over the instances before they came are not spread again."""
    lone = Lone(peers=peers("b"))
    gen = lone.load("m")
    lone.know("m", replace(lone.record("m"), copies={**lone.record("m").copies, "b": TS}, ready={"a": NOW, "b": TS}))
    assert {lone.ask(Request("m", is_balanced=True)).step for _ in range(10)} == {Infer("m", gen)}


def test_excluded_instance_is_not_asked() -> None:
    """The instances that the caller does not want are neither asked for a copy nor to load one."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b"))
    name, request = forwarded(lone.ask(Request("m", Op.ENSURE, exclude=("a", "b"))))
    assert (name, request.kind, request.exclude) == ("c", Kind.LOAD, ("a", "b"))


# -- the registration


def test_unknown_model_is_looked_up_in_the_store_once() -> None:
    """D-06: a model that this instance does not know is read; what the store says counts."""
    lone = Lone()
    asking = lone.ask(Request("m"))
    assert asking.step == Read("m")
    asking.answer(Seen("m", None, 7))
    assert asking.error == UnknownModel()


def test_model_registered_a_moment_ago_is_found() -> None:
    """A registration that the watch has not told of is taken from the read."""
    lone = Lone()
    asking = lone.ask(Request("m"))
    step = asking.answer(Seen("m", model().encode(), 7))
    assert isinstance(step, AwaitLoaded)
    assert lone.node.view.mod("m") == 7


def test_unknown_model_with_a_silent_store_is_unavailable() -> None:
    """Whether there is such a model cannot be said: ask again later."""
    lone = Lone()
    asking = lone.ask(Request("m"))
    asking.answer(StoreSilent("no leader"))
    assert asking.error == StoreAway("no leader")


# -- a place to load it


def test_model_without_a_copy_is_loaded_where_there_is_room() -> None:
    """The target of a load is asked as such; the load counts against it from now on."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model(size_bytes=8192 * 3))
    asking = lone.ask(Request("m", size_units=7))
    assert forwarded(asking) == ("b", Request("m", kind=Kind.LOAD, origin="a", hops=1, size_units=7))
    assert (lone.node.view.reservations.loads("b"), lone.node.view.reservations.units("b")) == (1, 7)


def test_model_is_loaded_here_when_this_is_the_place() -> None:
    """A load here is waited for; then the copy is called."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    gen = lone.last(Predict).gen
    assert asking.step == AwaitLoaded("m", gen, 5 * 90_000)
    lone.predict("m", 10)
    lone.commit()
    assert lone.last(Load).gen == gen
    lone.loaded("m")
    assert lone.last(Settle) == Settle("m", gen, None)
    assert asking.answer(Settled(None)) == Infer("m", gen)
    assert asking.answer(Answered("reply")) == Done(Answered("reply"))


def test_request_joins_a_load_that_is_under_way() -> None:
    """One load is enough; an inference that waits for it puts it before those that nobody waits for (D-03)."""
    lone = Lone()
    gen = lone.begin_load("m")
    entry = lone.node.cache.entries["m"]
    assert not entry.is_prioritised
    assert lone.ask(Request("m", Op.ENSURE)).step == AwaitLoaded("m", gen, 450_000)
    assert (entry.is_awaited, entry.is_prioritised) == (True, False)
    assert lone.ask(Request("m")).step == AwaitLoaded("m", gen, 450_000)
    assert entry.is_prioritised
    assert len(lone.all(Load)) == 1


def test_load_for_a_shadow_goes_behind_those_that_clients_wait_for_and_says_nothing_of_the_instance() -> None:
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", is_shadow=True, is_asked_for=False))
    entry = lone.node.cache.entries["m"]
    assert isinstance(asking.step, AwaitLoaded)
    assert (entry.is_awaited, entry.is_prioritised, entry.is_asked_for) == (True, False, False)
    lone.ask(Request("m"))
    assert (entry.is_prioritised, entry.is_asked_for) == (True, True)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        pytest.param(
            TimedOut(),
            LoadFailure("model not loaded within 450000 ms", Code.DEADLINE_EXCEEDED),
            id="too long",
        ),
        pytest.param(Settled(LoadFailure("bad load")), LoadFailure("bad load"), id="failed"),
        pytest.param(Settled(StoreAway("no leader")), StoreAway("no leader"), id="not to be accepted now"),
        pytest.param(Settled(UnknownModel()), UnknownModel(), id="unregistered meanwhile"),
    ],
)
def test_load_that_comes_to_nothing_ends_the_request_with_its_error(outcome: Outcome, error: MeshError) -> None:
    """With nobody else to load it, what the load failed with is what the client reads."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    asking.answer(outcome)
    assert asking.error == error


def test_failed_load_is_tried_elsewhere() -> None:
    """The request goes on to the next instance, which is told where it was."""
    lone = Lone(peers={"b": instance(capacity_units=1)})
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    lone.meet("b", instance(address="b:8080"))
    asking.answer(Settled(LoadFailure("bad load")))
    name, request = forwarded(asking)
    assert (name, request.kind, request.targets) == ("b", Kind.LOAD, ("a",))


def test_load_refused_here_is_tried_elsewhere() -> None:
    """What this instance does not take for the sake of what it has is offered to the next."""
    lone = Lone(min_churn_age_ms=300_000)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    assert asking.error.text.startswith("Cache churn threshold exceeded")
    assert isinstance(asking.error, ChurnRefused)
    lone.meet("b", instance(used_units=1000, lru_ms=NOW - 1_000))
    lone.meet("c", instance(used_units=1000, lru_ms=NOW - 1_000))
    first = lone.ask(Request("m"))
    assert forwarded(first)[0] in ("b", "c")


def test_nowhere_to_load_reads_as_clients_know_it() -> None:
    """Without any instance that may load it a model that is not loaded cannot be."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", Op.INFER, exclude=("a",)))
    assert asking.error == NowhereToLoad("Nowhere available to load")


def test_last_failure_on_record_explains_why_there_is_nowhere_to_load() -> None:
    """All instances failed to load it: the client reads the latest reason."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model(failures={"a": Failure(NOW - 5, "bad here"), "b": Failure(NOW - 9, "bad there")}))
    assert lone.ask(Request("m")).error == LoadFailure("bad here")


def test_draining_instance_without_others_says_so() -> None:
    """An instance that is going loads nothing any more; with nobody else there is no answer now."""
    lone = Lone()
    lone.know("m", model())
    lone.feed(DrainAsked())
    asking = lone.ask(Request("m"))
    assert asking.error == Draining("this instance is going and there is no other")


@pytest.mark.parametrize(
    ("ages_ms", "gives_up"),
    [
        pytest.param((1, 2, 3), True, id="three recent ones"),
        pytest.param((1, 2), False, id="two"),
        pytest.param((1, 2, 450_000), False, id="the third is half an expiry old"),
    ],
)
def test_model_that_failed_three_times_lately_is_not_tried_again(ages_ms: tuple[int, ...], gives_up: bool) -> None:
    """A model that cannot be loaded costs three loads, not one on every instance."""
    lone = Lone()
    failures = {f"x{age}": Failure(NOW - age, f"bad {age}") for age in ages_ms}
    lone.know("m", model(failures=failures))
    asking = lone.ask(Request("m"))
    if gives_up:
        assert asking.error == LoadFailure("bad 1")
    else:
        assert isinstance(asking.step, AwaitLoaded)


@pytest.mark.parametrize(
    ("copies", "exclude", "gives_up"),
    [
        pytest.param(5, (), True, id="five live ones"),
        pytest.param(4, (), False, id="four, and one on an instance that is gone"),
        pytest.param(5, ("p0",), False, id="five, one of which is not wanted"),
    ],
)
def test_model_with_five_copies_that_do_not_answer_is_not_loaded_once_more(
    copies: int, exclude: tuple[str, ...], gives_up: bool
) -> None:
    """A model that fails on every copy costs five copies, not one on every instance."""
    names = [f"p{number}" for number in range(copies)]
    lone = Lone(peers=peers(*names))
    lone.know("m", on(*names, "gone"))
    tried = tuple((name, TS) for name in names)
    asking = lone.ask(Request("m", tried=tried, exclude=exclude))
    if gives_up:
        assert asking.error == MeshError("failed to invoke in 5 locations")
    else:
        assert isinstance(asking.step, AwaitLoaded)
