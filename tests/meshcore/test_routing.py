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
    Refused,
    Request,
    RuntimeFailed,
    Settled,
    Status,
    StatusInfo,
    StoreSilent,
    TimedOut,
    Told,
    Unreachable,
    Verdict,
    VerdictError,
)
from meshcore.commands import Commit, Load, Predict, Settle, Withdraw
from meshcore.entry import State
from meshcore.errors import (
    ChurnRefused,
    Code,
    CopyGone,
    Draining,
    LoadFailure,
    MeshError,
    NowhereToLoad,
    RoundsExhausted,
    StoreAway,
    UnknownModel,
)
from meshcore.events import DrainAsked, Drained, Seen, Unloaded
from meshcore.reasons import Rule
from meshcore.records import Failure, InstanceRecord, ModelRecord
from meshcore.routing import has_lost_model
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Asking, Lone

TS = NOW - 600_000
"""When the load of a copy began that is somewhere already."""


def peers(*names: str) -> dict[str, InstanceRecord]:
    """Others with more room than instance a, so that loads go there."""
    return {name: instance(address=f"{name}:8080") for name in names}


def on(*names: str, **fields: object) -> ModelRecord:
    """Ready on those instances."""
    return model(copies=dict.fromkeys(names, TS), ready=dict.fromkeys(names, TS), **fields)


def forwarded(asking: Asking) -> tuple[str, Request]:
    assert isinstance(asking.step, Forward), asking.step
    return asking.step.instance, asking.step.request


def refused(verdict: Verdict, instance: str, **fields: object) -> Refused:
    return Refused(verdict, instance, **fields)  # type: ignore[arg-type]


def verdict(asking: Asking) -> Refused:
    assert isinstance(asking.error, VerdictError), asking.error
    return asking.error.refused


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


# -- what the runtime says


@pytest.mark.parametrize(
    ("code", "text", "is_lost"),
    [
        (Code.NOT_FOUND, "/S/M: NOT_FOUND: whatever", True),
        (Code.NOT_FOUND, "", True),
        (Code.UNAVAILABLE, "/S/M: UNAVAILABLE: Request for unknown model: 'm' is not found", True),
        (Code.UNAVAILABLE, "Request for unknown model: 'm' has no available versions", True),
        (Code.UNAVAILABLE, "/S/M: UNAVAILABLE: Request for unknown model: 'm' is busy", False),
        (Code.UNAVAILABLE, "/S/M: UNAVAILABLE: model is not found", False),
        (Code.INVALID_ARGUMENT, "/S/M: INVALID_ARGUMENT: Model m with version  not found", True),
        (Code.INVALID_ARGUMENT, "Model m not found", True),
        (Code.INVALID_ARGUMENT, "/S/M: INVALID_ARGUMENT: Model m has no input x", False),
        (Code.INVALID_ARGUMENT, "/S/M: INVALID_ARGUMENT: Model m has an input that was found", False),
        (Code.INVALID_ARGUMENT, "/S/M: INVALID_ARGUMENT: Input not found", False),
        (Code.INTERNAL, "/S/M: INTERNAL: Model m not found", False),
    ],
)
def test_runtime_says_in_its_own_words_that_it_has_lost_a_model(code: Code, text: str, is_lost: bool) -> None:
    """NOT_FOUND, and the words of Triton and MLServer for it (docs/design.md, statuses)."""
    assert has_lost_model(RuntimeFailed(code, text)) is is_lost


def test_copy_that_the_runtime_lost_is_dropped_and_loaded_again() -> None:
    """D-01: the copy is deregistered, unloaded for tidiness, and the request loads another."""
    lone = Lone()
    gen = lone.load("m")
    asking = lone.ask(Request("m"))
    asking.answer(RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: gone"))
    assert lone.last(Withdraw).gen == gen
    assert lone.written().copies == {}
    assert isinstance(asking.step, AwaitLoaded)
    assert asking.step.gen != gen
    lone.predict("m", 10)
    lone.commit()
    assert not lone.all(Load)  # until the runtime has unloaded the former
    lone.feed(Drained("m", gen))
    lone.feed(Unloaded("m", gen))
    assert lone.last(Load).gen == asking.step.gen


def test_runtime_that_keeps_losing_a_model_ends_the_request_after_eight_rounds() -> None:
    """A request goes round eight times; the text is what clients know."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    rounds = 0
    while not hasattr(asking.step, "error"):
        rounds += 1
        if isinstance(asking.step, Forward):
            asking.answer(refused(Verdict.NOT_HERE, "b"))
            continue
        assert isinstance(asking.step, AwaitLoaded)
        gen = asking.step.gen
        if lone.node.cache.entries["m"].state is State.NEW and not lone.node.cache.entries["m"].predicted_units:
            lone.predict("m", 10)
        lone.commit()
        lone.loaded("m", 10)
        asking.answer(Settled(None))
        asking.answer(RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: gone"))
        lone.commit()
        lone.feed(Drained("m", gen))
        lone.feed(Unloaded("m", gen))
    assert asking.error == RoundsExhausted("8 retry iterations exhausted")
    assert (rounds, asking.error.code) == (8, Code.INTERNAL)


def test_error_of_the_model_goes_to_the_client_as_it_came() -> None:
    """What the model says about a request, it would say anywhere."""
    lone = Lone()
    lone.load("m")
    failed = RuntimeFailed(Code.INVALID_ARGUMENT, "/S/M: INVALID_ARGUMENT: bad input", b"details")
    assert lone.ask(Request("m")).answer(failed) == Done(failed)


def test_unavailable_runtime_is_left_for_another_copy() -> None:
    """A request that a runtime cannot take now is tried elsewhere, where a copy may have to be loaded first; with
    nowhere else the client reads an INTERNAL that names it. The copy stays registered."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m"))
    asking.answer(RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"))
    assert asking.error == MeshError("ModelRuntime UNAVAILABLE: /S/M: UNAVAILABLE: busy")
    assert lone.node.cache.entries["m"].is_serving
    lone.meet("b")
    asking = lone.ask(Request("m"))
    asking.answer(RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"))
    assert forwarded(asking)[1].kind is Kind.LOAD
    assert asking.answer(Answered("reply")) == Done(Answered("reply"))


def test_exhausted_copy_is_left_for_another_once() -> None:
    """RESOURCE_EXHAUSTED is retried on another copy; the second one goes to the client as it came."""
    lone = Lone(peers=peers("b", "c", "d"))
    lone.know("m", on("b", "c", "d"))
    asking = lone.ask(Request("m"))
    first = forwarded(asking)[0]
    asking.answer(RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: full"))
    assert forwarded(asking)[0] != first
    again = RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: full too")
    assert asking.answer(again) == Done(again)


def test_exhausted_only_copy_is_what_the_client_reads() -> None:
    """With nowhere to go from there the client reads RESOURCE_EXHAUSTED and its text."""
    lone = Lone()
    lone.load("m")
    asking = lone.ask(Request("m"))
    asking.answer(RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: full"))
    assert asking.error == MeshError("/S/M: RESOURCE_EXHAUSTED: full", Code.RESOURCE_EXHAUSTED)


def test_copy_that_leaves_between_the_choice_and_the_call_is_looked_for_again() -> None:
    """The plane's table is newer than the flow's choice: the request chooses again."""
    lone = Lone(peers=peers("b"))
    lone.load("m")
    asking = lone.ask(Request("m"))
    lone.know("m", None)
    lone.know("m", on("b"))
    assert isinstance(asking.step, Infer)
    asking.answer(refused(Verdict.NOT_HERE, "a"))
    assert forwarded(asking)[0] == "b"


def test_copy_loaded_here_and_gone_before_the_call_is_loaded_once_more() -> None:
    """With nobody else to load it this instance tries again."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    lone.predict("m", 10)
    lone.commit()
    gen = lone.last(Load).gen
    lone.loaded("m", 10)
    asking.answer(Settled(None))
    lone.node.copies.remove("m", "whatever")
    asking.answer(refused(Verdict.NOT_HERE, "a"))
    assert isinstance(asking.step, AwaitLoaded)
    assert asking.step.gen > gen


# -- what a peer says


def test_copy_that_is_not_there_is_pruned_by_whoever_sees_it() -> None:
    """D-01: a holder that does not have the copy its record names is taken out of it, and the next one asked."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b", "c"))
    asking = lone.ask(Request("m"))
    lost = forwarded(asking)[0]
    asking.answer(refused(Verdict.NOT_HERE, lost))
    assert lost not in lone.written().copies
    assert lone.last(Commit).why.rule is Rule.PRUNE
    assert {lost, forwarded(asking)[0]} == {"b", "c"}


@pytest.mark.parametrize("age_ms", [0, 2_000])
def test_copy_that_may_only_just_have_come_is_not_pruned(age_ms: int) -> None:
    """D-01: news of a copy may be ahead of the copy: one younger than two seconds stays on record."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model(copies={"b": NOW - age_ms}, ready={"b": NOW - age_ms}))
    asking = lone.ask(Request("m"))
    asking.answer(refused(Verdict.NOT_HERE, "b"))
    assert [commit for commit in lone.all(Commit) if commit.why.rule is Rule.PRUNE] == []


def test_copy_that_was_loaded_anew_is_not_pruned() -> None:
    """D-01: only the copy that was asked for is taken out, and only of a record that there is."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b"))
    asking, other = lone.ask(Request("m")), lone.ask(Request("m"))
    lone.know("m", model(copies={"b": TS + 1}))
    asking.answer(refused(Verdict.NOT_HERE, "b"))
    lone.know("m", None)
    other.answer(refused(Verdict.NOT_HERE, "b"))
    assert lone.all(Commit) == []


@pytest.mark.parametrize(
    "word", [Verdict.DECLINED, Verdict.DRAINING, Verdict.OVERLOADED, Verdict.VERSION, Verdict.FULL, Verdict.NOT_HERE]
)
def test_load_that_a_target_does_not_take_goes_to_the_next(word: Verdict) -> None:
    """D-04: the sender chooses again with the fresh record that came with the refusal; the load counts against the
    first target no longer."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    first = forwarded(asking)[0]
    fresh = instance(address=f"{first}:8080", used_units=990)
    asking.answer(refused(word, first, record=fresh.encode()))
    assert lone.node.view.instance(first) == fresh
    assert lone.node.view.reservations.loads(first) == 0
    name, request = forwarded(asking)
    assert {first, name} == {"b", "c"}
    assert request.targets == (first,)


def test_targets_that_lost_their_copy_are_asked_again_when_all_others_were() -> None:
    """A target that loaded the model and had it no more is worth another try, but after those that were not asked."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model())
    asking = lone.ask(Request("m", exclude=("a",)))
    for _ in range(8):
        assert forwarded(asking)[0] == "b"
        asking.answer(refused(Verdict.NOT_HERE, "b"))
    assert asking.error == RoundsExhausted("8 retry iterations exhausted")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Refused(Verdict.FULL, "b", text="Cache churn threshold exceeded: x"), "Cache churn threshold exceeded: x"),
        (Refused(Verdict.LOAD_FAILED, "b", text="bad load"), "bad load"),
        (Refused(Verdict.DECLINED, "b"), "Nowhere available to load"),
        (Unreachable("connection refused"), "b: connection refused"),
    ],
)
def test_client_reads_why_the_only_target_did_not_load(reply: Outcome, error: str) -> None:
    """The latest reason is told where nobody else is left."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model())
    asking = lone.ask(Request("m", exclude=("a",)))
    asking.answer(reply)
    assert asking.error.text == error


def test_failures_that_a_request_meets_count_before_the_record_shows_them() -> None:
    """D-05: three failed loads end a request even if none of them has reached its record here yet."""
    lone = Lone(peers=peers("b", "c", "d", "e"))
    lone.know("m", model())
    asking = lone.ask(Request("m", exclude=("a",)))
    for number in range(3):
        name, request = forwarded(asking)
        assert len(request.targets) == number
        lone.now += 1
        asking.answer(Refused(Verdict.LOAD_FAILED, name, text=f"bad {number}"))
    assert asking.error == LoadFailure("bad 2")


def test_copy_whose_load_failed_is_not_asked_though_the_record_still_names_it() -> None:
    """D-05: the record tells of the accepted load before it tells of its failure."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", model())
    asking = lone.ask(Request("m", exclude=("a",)))
    first = forwarded(asking)[0]
    lone.know("m", model(copies={first: NOW}))
    asking.answer(Refused(Verdict.LOAD_FAILED, first, text="bad"))
    name, request = forwarded(asking)
    assert (name != first, request.kind) == (True, Kind.LOAD)


def test_store_that_a_target_cannot_reach_is_away_for_the_client() -> None:
    """A load that fails for want of the store says nothing about the model."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    asking.answer(Refused(Verdict.LOAD_FAILED, "b", code=Code.UNAVAILABLE, text="no leader"))
    assert asking.error == StoreAway("no leader")


def test_model_that_a_target_knows_to_be_unregistered_is_unknown() -> None:
    """The target has read the store; what this instance knows is older."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    asking.answer(Refused(Verdict.UNKNOWN_MODEL, "b"))
    assert asking.error == UnknownModel()


def test_unreachable_peer_is_left_alone_and_the_next_one_asked() -> None:
    """A transport error ejects the peer; the request goes on if all that was sent can be sent again."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b", "c"))
    asking = lone.ask(Request("m"))
    first = forwarded(asking)[0]
    asking.answer(Unreachable("reset"))
    assert not lone.node.view.health.is_ok(first, lone.now)
    second = forwarded(asking)[0]
    assert {first, second} == {"b", "c"}
    asking.answer(Answered("reply"))
    assert lone.node.view.health.is_ok(second, lone.now)


def test_request_that_cannot_be_sent_again_ends_where_the_connection_did() -> None:
    """Part of it is gone: only the client can repeat it."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b", "c"))
    asking = lone.ask(Request("m"))
    name = forwarded(asking)[0]
    asking.answer(Unreachable("reset", is_retryable=False))
    assert asking.error == MeshError(f"{name}: reset", Code.UNAVAILABLE)


# -- what the plane met


def test_request_goes_on_from_what_the_plane_met() -> None:
    """A direct attempt that came back refused is not repeated; what it taught is taken up."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("b", "c"))
    met = Met("b", TS, 0, refused(Verdict.NOT_HERE, "b"))
    asking = lone.ask(Request("m", met=met))
    assert "b" not in lone.written().copies
    name, request = forwarded(asking)
    assert (name, request.tried, request.met) == ("c", (("b", TS), ("c", TS)), None)


def test_answer_that_the_plane_brought_ends_the_request() -> None:
    """The second RESOURCE_EXHAUSTED of a request is its answer, whoever met the first."""
    lone = Lone(peers=peers("b", "c"), settings=Settings(max_exhausted=1))
    lone.know("m", on("b", "c"))
    exhausted = RuntimeFailed(Code.RESOURCE_EXHAUSTED, "full")
    assert lone.ask(Request("m", met=Met("b", TS, 0, exhausted))).step == Done(exhausted)


def test_copy_here_that_the_plane_found_lost_is_dropped() -> None:
    """The runtime's NOT_FOUND to a request that the plane served by itself counts as any other."""
    lone = Lone()
    gen = lone.load("m")
    lone.ask(Request("m", met=Met("a", NOW, gen, RuntimeFailed(Code.NOT_FOUND, "gone"))))
    assert lone.last(Withdraw).gen == gen


def test_copy_here_that_came_after_the_lost_one_is_kept() -> None:
    """An answer about a former copy says nothing about the present one."""
    lone = Lone()
    gen = lone.load("m")
    asking = lone.ask(Request("m", met=Met("a", TS, gen - 1, RuntimeFailed(Code.NOT_FOUND, "gone"))))
    assert asking.step == Infer("m", gen)


# -- for another instance: only a copy here


def test_hit_is_answered_by_the_copy_here() -> None:
    """Every answer of the runtime's goes back as it came: the sender decides what it is worth."""
    lone = Lone()
    gen = lone.load("m")
    for failed in (
        RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy"),
        RuntimeFailed(Code.RESOURCE_EXHAUSTED, "/S/M: RESOURCE_EXHAUSTED: full"),
    ):
        asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
        assert asking.step == Infer("m", gen)
        assert asking.answer(failed) == Done(failed)


def test_hit_without_a_copy_is_not_here() -> None:
    """No store, no other instance: the sender goes on, with this instance's record as it is now."""
    lone = Lone(peers=peers("b"))
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    told = verdict(asking)
    assert (told.verdict, told.instance, told.load_ts) == (Verdict.NOT_HERE, "a", 0)
    assert InstanceRecord.decode(told.record).address == "a:8080"


def test_hit_waits_for_a_load_that_is_under_way() -> None:
    """News of the copy may be ahead of the copy."""
    lone = Lone()
    gen = lone.begin_load("m")
    asking = lone.ask(Request("m", kind=Kind.HIT, origin="b"))
    assert asking.step == AwaitLoaded("m", gen, 450_000)
    asking.answer(Settled(CopyGone("unregistered")))
    told = verdict(asking)
    assert (told.verdict, told.text) == (Verdict.NOT_HERE, "not here")


def test_hit_for_a_failed_copy_says_why() -> None:
    """The sender reads the failure before the record shows it."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m", "bad load")
    told = verdict(lone.ask(Request("m", kind=Kind.HIT, origin="b")))
    assert (told.verdict, told.code, told.text) == (Verdict.LOAD_FAILED, Code.INTERNAL, "bad load")
    assert told.load_ts == NOW


def test_hit_that_the_plane_tried_already_is_not_tried_again() -> None:
    """The plane of this instance met its own copy gone: that is the answer."""
    lone = Lone()
    lone.load("m")
    gone = RuntimeFailed(Code.NOT_FOUND, "gone")
    asking = lone.ask(Request("m", kind=Kind.HIT, met=Met("a", NOW, 1, gone)))
    assert verdict(asking).verdict is Verdict.NOT_HERE
    failed = RuntimeFailed(Code.INTERNAL, "bad input")
    assert lone.ask(Request("m", kind=Kind.HIT, met=Met("a", NOW, 1, failed))).step == Done(failed)


# -- for another instance: load here


def test_load_for_another_instance_is_begun_here_whoever_else_has_room() -> None:
    """The sender chose; the target looks again only when it has become full."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model())
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    assert isinstance(asking.step, AwaitLoaded)


def test_load_for_another_instance_follows_a_copy_that_came_meanwhile() -> None:
    """One hit may follow: the model was loaded elsewhere since the sender looked."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("c"))
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    name, request = forwarded(asking)
    assert (name, request.kind, request.hops) == ("c", Kind.HIT, 2)
    failed = RuntimeFailed(Code.UNAVAILABLE, "busy")
    assert asking.answer(failed) == Done(failed)


def test_request_crosses_no_more_than_three_instances() -> None:
    """At the hop limit only a copy here is used; a load here is still a load here."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", on("c"))
    far = Request("m", kind=Kind.LOAD, origin="b", hops=3)
    assert isinstance(lone.ask(far).step, AwaitLoaded)
    gen = lone.load("n")
    assert lone.ask(replace(far, model="n")).step == Infer("n", gen)


def test_target_that_became_full_declines_once_with_its_fresh_record() -> None:
    """D-04: it knows of one that is not full; the second target of a request has to decide otherwise."""
    lone = Lone(peers=peers("b"))
    lone.meet("a", instance(used_units=0))  # as published before
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert told.verdict is Verdict.DECLINED
    assert InstanceRecord.decode(told.record).used_units == 80
    second = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1, targets=("c",)))
    assert isinstance(second.step, AwaitLoaded)


@pytest.mark.parametrize("others", [{}, {"b": instance(used_units=950)}], ids=["nobody else", "all full"])
def test_target_that_knows_of_no_better_place_takes_the_load(others: dict[str, InstanceRecord]) -> None:
    """D-04: declining has to be of use."""
    lone = Lone(peers=others)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    assert isinstance(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)).step, AwaitLoaded)


def test_draining_target_takes_no_load() -> None:
    """The sender hears of it before the record tells."""
    lone = Lone()
    lone.know("m", model())
    lone.feed(DrainAsked())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert (told.verdict, told.code) == (Verdict.DRAINING, Code.UNAVAILABLE)
    assert InstanceRecord.decode(told.record).is_shutting_down


def test_target_where_the_load_failed_lately_says_so_again() -> None:
    """A failure stands until it expires, whether or not the sender knew of it."""
    lone = Lone()
    lone.begin_load("m")
    lone.load_fails("m", "bad load")
    load = Request("m", kind=Kind.LOAD, origin="b", hops=1)
    assert (verdict(lone.ask(load)).verdict, verdict(lone.ask(load)).text) == (Verdict.LOAD_FAILED, "bad load")
    lone.commit()
    lone.feed(Unloaded("m", lone.node.cache.entries["m"].gen))
    lone.now += 900_000
    assert isinstance(lone.ask(load).step, AwaitLoaded)


@pytest.mark.parametrize(
    ("outcome", "word", "text"),
    [
        (Settled(LoadFailure("bad load")), Verdict.LOAD_FAILED, "bad load"),
        (Settled(ChurnRefused("full")), Verdict.FULL, "full"),
        (Settled(CopyGone("evicted")), Verdict.NOT_HERE, "loaded here, and gone again or out of use"),
        (TimedOut(), Verdict.LOAD_FAILED, "model not loaded within 450000 ms"),
    ],
)
def test_target_tries_once_and_tells_how_it_went(outcome: Outcome, word: Verdict, text: str) -> None:
    """Going round is the sender's part."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(outcome)
    assert (verdict(asking).verdict, verdict(asking).text) == (word, text)


def test_target_that_waits_too_long_for_a_load_it_found_begins_no_other() -> None:
    """A copy that is here, however slow, is not loaded over."""
    lone = Lone()
    lone.begin_load("m")
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    assert isinstance(asking.step, AwaitLoaded)
    asking.answer(TimedOut())
    assert (verdict(asking).verdict, verdict(asking).code) == (Verdict.LOAD_FAILED, Code.DEADLINE_EXCEEDED)


def test_target_refuses_what_it_would_thrash_for() -> None:
    """Churn and age are full, not failed: nothing is held against the instance."""
    lone = Lone(min_churn_age_ms=300_000)
    for name in ("x", "y"):
        lone.load(name, units=40)
    lone.know("m", model())
    told = verdict(lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1)))
    assert (told.verdict, told.text.split(":")[0]) == (Verdict.FULL, "Cache churn threshold exceeded")


def test_target_knows_that_a_model_is_not_registered() -> None:
    """It has read the store."""
    lone = Lone()
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(Seen("m", None, 9))
    assert verdict(asking).verdict is Verdict.UNKNOWN_MODEL


def test_verdict_of_a_peer_of_the_peer_is_passed_on_as_it_is() -> None:
    """A target that cannot reach the store says UNAVAILABLE to the sender too."""
    lone = Lone()
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    asking.answer(StoreSilent("no leader"))
    assert (verdict(asking).verdict, verdict(asking).code) == (Verdict.LOAD_FAILED, Code.UNAVAILABLE)


# -- ensure


def test_ensure_is_told_that_the_load_has_begun_unless_it_wants_to_wait() -> None:
    """Asynchronously LOADING is the answer, synchronously the load is waited for."""
    lone = Lone()
    lone.know("m", model())
    told = lone.ask(Request("m", Op.ENSURE, is_sync=False)).step
    assert isinstance(told, Done)
    assert isinstance(told.answer, StatusInfo)
    assert told.answer.status is Status.LOADING
    waiting = lone.ask(Request("m", Op.ENSURE))
    assert isinstance(waiting.step, AwaitLoaded)
    lone.predict("m", 10)
    lone.commit()
    lone.loaded("m", 10)
    waiting.answer(Settled(None))
    assert isinstance(waiting.step, Done)
    assert isinstance(waiting.step.answer, StatusInfo)
    assert waiting.step.answer.status is Status.LOADED


def test_ensure_counts_as_use_at_the_given_instant() -> None:
    """A copy that is there is touched: now, or as given, but never backwards."""
    lone = Lone()
    lone.load("m", last_used=NOW - 5_000)
    for last_used, expected in ((NOW - 9_000, NOW - 5_000), (NOW - 1_000, NOW - 1_000), (0, NOW)):
        lone.ask(Request("m", Op.ENSURE, last_used=last_used))
        assert lone.node.cache.last_used("m") == expected


def test_ensure_of_a_copy_elsewhere_is_what_its_holder_tells() -> None:
    """The holder knows whether it is loaded; the client also reads of the copies that this instance knows."""
    lone = Lone(peers=peers("b"))
    lone.know("m", model(copies={"b": TS}))
    asking = lone.ask(Request("m", Op.ENSURE))
    assert forwarded(asking)[1].op is Op.ENSURE
    asking.answer(Told(StatusInfo(Status.LOADED)))
    assert isinstance(asking.step, Done)
    assert isinstance(asking.step.answer, StatusInfo)
    assert asking.step.answer.status is Status.LOADED
    assert [copy.instance for copy in asking.step.answer.copies] == ["b"]


def test_ensure_for_another_instance_tells_of_a_model_unregistered_meanwhile() -> None:
    """Where the record is gone by the time the load is over, the status is all there is to tell."""
    lone = Lone()
    lone.know("m", model())
    asking = lone.ask(Request("m", Op.ENSURE, kind=Kind.HIT))
    assert verdict(asking).verdict is Verdict.NOT_HERE
    lone.begin_load("m")
    asking = lone.ask(Request("m", Op.ENSURE, kind=Kind.HIT))
    lone.loaded("m", 10)
    lone.know("m", None)
    assert asking.answer(Settled(None)) == Done(StatusInfo(Status.LOADED))
