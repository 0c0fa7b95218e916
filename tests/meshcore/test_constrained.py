"""What a node does by the type constraints that it is told of."""

from __future__ import annotations

import pytest

from meshcore.asks import (
    AwaitLoaded,
    Done,
    Failed,
    Kind,
    Op,
    Pause,
    Refused,
    Request,
    Status,
    StatusInfo,
    TimedOut,
    Verdict,
)
from meshcore.constraints import TypeConstraint
from meshcore.errors import Code, Draining, LoadFailure, NowhereToLoad
from meshcore.events import Constrained, DrainAsked
from meshcore.image import put, take
from meshcore.node import Node
from meshcore.reasons import Rule
from meshcore.records import Failure, InstanceRecord
from meshcore.rules import Rules
from meshcore.settings import Settings
from tests.builders import NOW, instance, model
from tests.meshcore.asked import forwarded, on, peers, verdict
from tests.meshcore.lone import Lone

GPU = ("gpu",)
NEEDS_GPU = Constrained({"onnx": TypeConstraint(GPU)})
UNMET = "There are no running instances that meet the label requirements of type onnx: [gpu]"


def lone(labels: tuple[str, ...] = (), **others: InstanceRecord) -> Lone:
    """An instance that was told that models need ``gpu``, and knows of a model."""
    made = Lone(me={"labels": labels}, peers=others)
    made.feed(NEEDS_GPU)
    made.know("m", model())
    return made


def test_load_goes_to_an_instance_with_the_labels() -> None:
    """Neither here nor to others, whatever they have free."""
    asking = lone(b=instance(), c=instance(labels=GPU, used_units=950)).ask(Request("m"))
    assert forwarded(asking)[0] == "c"


def test_load_is_begun_here_where_the_labels_are() -> None:
    """An instance with the labels is as good for itself as for others."""
    assert isinstance(lone(GPU, b=instance()).ask(Request("m")).step, AwaitLoaded)


def test_copies_answer_wherever_they_are() -> None:
    """Hits are not constrained: a copy from before stays where it is and answers."""
    made = lone()
    made.know("m", on("b"))
    made.meet("b")
    assert forwarded(made.ask(Request("m")))[1].kind is Kind.HIT


def test_client_is_told_in_modelmesh_s_words_that_nobody_has_the_labels() -> None:
    """INTERNAL, word for word: what a controller looks for; also before older failures."""
    made = lone(b=instance())
    made.know("m", model(failures={"b": Failure(NOW - 1, "bad")}))
    asking = made.ask(Request("m"))
    assert asking.error == NowhereToLoad(UNMET)
    assert asking.error.code is Code.INTERNAL


def test_all_labels_that_are_required_are_told() -> None:
    """Sorted, as they are listed."""
    made = Lone()
    made.feed(Constrained({"_default": TypeConstraint(("_no_runtime", "b"))}))
    made.know("m", model("mt:x"))
    told = "There are no running instances that meet the label requirements of type mt:x: [_no_runtime, b]"
    assert made.ask(Request("m")).error.text == told


def test_ensuring_says_it_in_its_status() -> None:
    """LOADING_FAILED with that text first, without anything before it."""
    asking = lone().ask(Request("m", Op.ENSURE))
    assert asking.step == Done(StatusInfo(Status.LOADING_FAILED, (UNMET,)))


def test_other_reasons_are_told_where_somebody_has_the_labels() -> None:
    """The last failure on record, or that there is no place."""
    made = lone(b=instance(labels=GPU))
    assert made.ask(Request("m", exclude=("b",))).error == NowhereToLoad("Nowhere available to load")
    made.know("m", model(failures={"b": Failure(NOW - 1, "bad")}))
    assert made.ask(Request("m")).error == LoadFailure("bad")


def test_last_with_the_labels_that_goes_says_that_it_goes() -> None:
    """UNAVAILABLE: another may come in its place; one without them says that nobody has them."""
    made = lone(GPU, b=instance())
    made.feed(DrainAsked())
    assert isinstance(made.ask(Request("m")).error, Draining)
    made = lone(b=instance())
    made.feed(DrainAsked())
    assert made.ask(Request("m")).error == NowhereToLoad(UNMET)


@pytest.mark.parametrize("declined", [0, 7])
def test_target_without_the_labels_declines_always(declined: int) -> None:
    """What the sender knows may be old; however often it was declined, it may not be loaded here."""
    made = lone()
    load = Request("m", kind=Kind.LOAD, origin="b", hops=1, targets=("c",) * declined)
    told = verdict(made.ask(load))
    assert (told.verdict, told.text) == (Verdict.DECLINED, "models of type onnx may not be loaded here")


def test_declined_load_waits_for_news_longer_each_time_and_is_sent_on() -> None:
    """Half as much again, a random part more or less, so that those declined at once do not choose the same again."""
    made = Lone(peers=peers(*"bcdefghi"))
    made.know("m", model())
    asking = made.ask(Request("m", exclude=("a",)))
    waits = []
    for _ in range(7):
        asking.answer(Refused(Verdict.DECLINED, forwarded(asking)[0]))
        assert isinstance(asking.step, Pause)
        waits.append(asking.step.ms)
        asking.answer(TimedOut())
    middles = [10 * 1.5**number for number in range(7)]
    assert all(int(middle / 2) <= wait <= middle * 1.5 for wait, middle in zip(waits, middles, strict=True))
    assert len({round(wait / middle, 1) for wait, middle in zip(waits, middles, strict=True)}) > 1


def test_being_declined_is_no_round() -> None:
    """A load that was left to others seven times has as many tries as any other; the eighth time counts."""
    made = Lone(settings=Settings(max_rounds=2), peers=peers(*"bcdefghijklm"))
    made.know("m", model())
    asking = made.ask(Request("m", exclude=("a",)))
    for _ in range(9):
        asking.answer(Refused(Verdict.DECLINED, forwarded(asking)[0]))
        asking.answer(TimedOut())
    assert isinstance(asking.step, Failed)
    assert asking.error.text == "2 retry iterations exhausted"


def test_decline_has_its_reason() -> None:
    """The reason names whom the load is left to."""
    made = Lone(peers=peers("b"))
    made.begin_load("x")
    made.know("m", model())
    told = verdict(made.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1, exclude=("c",))))
    assert told.verdict is Verdict.DECLINED
    assert InstanceRecord.decode(told.record).loads_in_progress == 1
    why = made.node.log.of("m")[-1]
    assert (why.rule, why.chosen) == (Rule.DECLINE, "b")


def test_constraints_are_part_of_what_a_node_keeps() -> None:
    """A node made from an image goes by them, and by what it knew of upgrades and of loads elsewhere."""
    made = lone(b=instance(labels=GPU, replica_set="o"), c=instance(labels=GPU, replica_set="n", start_ms=NOW))
    made.know("x", model(copies={"c": NOW}))
    node = made.node
    other = Node(node.identity, node.settings, node.cache.params, Rules(), node.rng)
    put(other, take(node).encode())
    assert other.view.order.get("c") == node.view.order.get("c")
    assert other.view.totals_for("onnx") == node.view.totals_for("onnx")
    assert other.desk.place(Request("m"), made.record("m")) == "c"
