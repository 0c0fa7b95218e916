"""What a request does with what a runtime, a peer or the plane told it."""

from __future__ import annotations

import pytest

from meshcore.asks import (
    Answered,
    AwaitLoaded,
    Done,
    Forward,
    Infer,
    Kind,
    Met,
    Outcome,
    Pause,
    Refused,
    Request,
    RuntimeFailed,
    Settled,
    TimedOut,
    Unreachable,
    Verdict,
)
from meshcore.commands import Commit, Load, Predict, Settle, Withdraw
from meshcore.errors import (
    Code,
    LoadFailure,
    MeshError,
    RoundsExhausted,
    StoreAway,
    UnknownModel,
)
from meshcore.events import Drained, Finding, RuntimeProbed, Unloaded
from meshcore.reasons import Rule
from meshcore.routing import has_lost_model
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.asked import TS, forwarded, on, peers, refused
from tests.meshcore.lone import Lone

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
        if any(asked.gen == gen for asked in lone.all(Predict)):
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
    assert asking.answer(RuntimeFailed(Code.UNAVAILABLE, "/S/M: UNAVAILABLE: busy")) == AwaitLoaded("", 1, 10_000)
    lone.feed(RuntimeProbed(1, Finding.OPEN))
    assert lone.last(Settle) == Settle("", 1, None)
    asking.answer(Settled(None))
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
    if word is Verdict.DECLINED:
        assert isinstance(asking.step, Pause), "for news of other loads"
        asking.answer(TimedOut())
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
    if isinstance(asking.answer(reply), Pause):
        asking.answer(TimedOut())
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


def test_load_goes_elsewhere_where_the_target_does_not_know_the_model_and_cannot_ask() -> None:
    """It was registered just before the store went away; where nobody has heard of it the store is to blame."""
    lone = Lone(peers=peers("b", "c"))
    lone.know("m", model())
    asking = lone.ask(Request("m", exclude=("a",)))
    first = forwarded(asking)[0]
    asking.answer(Refused(Verdict.LOAD_FAILED, first, code=Code.UNAVAILABLE, text="no leader"))
    second = forwarded(asking)[0]
    assert {first, second} == {"b", "c"}
    asking.answer(Refused(Verdict.LOAD_FAILED, second, code=Code.UNAVAILABLE, text="no leader"))
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
