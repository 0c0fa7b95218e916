"""Where a model is loaded while no record can tell of it."""

from __future__ import annotations

from collections import Counter
from random import Random

from meshcore.asks import Forward, Infer, Kind, Refused, Request, Settled, Unreachable, Verdict
from meshcore.commands import Commit, Load, Settle
from meshcore.constraints import TypeConstraint
from meshcore.events import CommitFailed, Constrained, StoreFound, StoreLost
from meshcore.placement import Want
from meshcore.reasons import Reason, Rejected, Rule
from meshcore.rendezvous import CAUSE, KEPT, Rendezvous, first, weight
from meshcore.settings import Settings
from meshcore.view import ClusterView
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Asking, Lone

PEERS = ("b", "c", "d", "e")


def view(me: str, *ids: str) -> ClusterView:
    made = ClusterView(me, NOW - 1, Settings(), 0)
    for id_ in ids:
        made.see_instance(id_, instance(address=f"{id_}:8080").encode(), 1)
    return made


def order_of(name: str, *ids: str) -> list[str]:
    """Instances by their weight for a model, the first one first."""
    return sorted(ids, key=lambda id_: weight(name, id_), reverse=True)


def away(*peers: str, **fields: object) -> Lone:
    lone = Lone(peers={name: instance(address=f"{name}:8080") for name in peers})
    lone.know("m", model(**fields))
    lone.feed(StoreLost())
    lone.node.view.see_self(lone.node.own_record())
    return lone


def test_weights_are_the_same_in_every_process() -> None:
    """They are part of what instances of different builds agree about."""
    assert weight("m", "a") == 18307418437201656325
    assert weight("m 1", "a") != weight("m", "1 a")
    assert weight("\ud800", "a") != weight("m", "a")


def test_all_instances_choose_the_same_and_models_are_spread() -> None:
    """Whatever each of them would draw."""
    ids = ("a", "b", "c", "d", "e")
    chosen = Counter[str | None]()
    for number in range(500):
        want = Want(f"m{number}", "t", 1)
        places = {first(view(me, *ids), want, NOW)[0] for me in ids}
        assert len(places) == 1
        chosen.update(places)
    assert min(chosen[each] for each in ids) > 60


def test_who_comes_or_goes_changes_the_place_of_its_own_models_only() -> None:
    for number in range(100):
        want, before = Want(f"m{number}", "t", 1), order_of(f"m{number}", "a", "b", "c")
        assert first(view("a", "a", "b", "c"), want, NOW)[0] == before[0]
        left = [each for each in before if each != "c"]
        assert first(view("a", "a", "b"), want, NOW)[0] == left[0]


def test_first_that_may_and_can_is_taken_and_the_reason_says_who_was_not() -> None:
    ids = ("a", "b", "c", "d", "e", "f")
    seen = view("a", *ids)
    small, gone, tried, unreachable, best = order_of("m", *ids[:5])[:5]
    seen.see_instance(small, instance(address="x:1", capacity_units=5).encode(), 2)
    seen.see_instance(gone, instance(address="x:1", is_shutting_down=True).encode(), 2)
    seen.health.failed(unreachable, NOW)
    seen.see_instance("f", instance(address="").encode(), 2)  # a Java pod
    chosen, why = first(seen, Want("m", "t", 10, exclude={tried: Rejected.TRIED}), NOW)
    if unreachable == "a":
        assert chosen == "a"
        return
    assert (chosen, why.rule, why.chosen, why.model) == (best, Rule.PLACE, best, "m")
    assert {each.id: each.rejected for each in why.candidates} == {
        best: None, small: Rejected.TOO_SMALL, tried: Rejected.TRIED, unreachable: Rejected.UNREACHABLE,
    }  # fmt: skip


def test_unreachable_ones_are_tried_where_no_other_is_left_and_where_nobody_is_there_is_no_place() -> None:
    seen = view("a", "b", "c")
    for each in ("b", "c"):
        seen.health.failed(each, NOW)
    assert first(seen, Want("m", "t", 1), NOW)[0] == order_of("m", "b", "c")[0]
    chosen, why = first(seen, Want("m", "t", 1, exclude=dict.fromkeys("bc", Rejected.TRIED)), NOW)
    assert (chosen, why.chosen, why.cause) == (None, "", "no instance can load it")


def forwarded(asking: Asking) -> tuple[str, Request]:
    assert isinstance(asking.step, Forward)
    return asking.step.instance, asking.step.request


def last_place(lone: Lone) -> Reason:
    return [reason for reason in lone.node.log.of("m") if reason.rule is Rule.PLACE][-1]


def test_request_for_a_cold_model_goes_down_the_order_until_somebody_takes_it() -> None:
    """Who does not answer, is full or does not know the model is passed over; nothing is held in reserve."""
    lone = away(*PEERS)
    order = [each for each in order_of("m", "a", *PEERS) if each != "a"]
    asking = lone.ask(Request("m", exclude=("a",)))
    for place, outcome in enumerate(
        [Unreachable("refused"), Refused(Verdict.FULL, order[1]), Refused(Verdict.DECLINED, order[2])]
    ):
        name, request = forwarded(asking)
        assert (name, request.kind) == (order[place], Kind.LOAD)
        asking.answer(outcome)
    assert last_place(lone).cause == CAUSE
    assert all(lone.node.view.reservations.loads(each) == 0 for each in PEERS)


def test_labels_that_a_type_requires_hold_while_the_store_is_away() -> None:
    lone = Lone(peers={name: instance(address=f"{name}:8080", labels=("gpu",) * (name == "d")) for name in PEERS})
    lone.feed(Constrained({"onnx": TypeConstraint(("gpu",))}))
    lone.know("m", model())
    lone.feed(StoreLost())
    assert forwarded(lone.ask(Request("m")))[0] == "d"


def test_model_is_loaded_here_without_a_commit_and_found_by_whoever_asks_again() -> None:
    """The second request that is sent here finds the copy: it is no second load, and no further hop."""
    lone = away()
    asking = lone.ask(Request("m", kind=Kind.LOAD, origin="b", hops=1))
    lone.predict("m", 10)
    assert lone.last(Load).model == "m"
    assert lone.all(Commit) == []
    lone.loaded("m")
    asking.answer(Settled(lone.last(Settle).outcome))
    assert isinstance(asking.step, Infer)
    again = lone.ask(Request("m", kind=Kind.LOAD, origin="c", hops=1))
    assert again.step == asking.step
    assert len(lone.all(Load)) == 1


def test_target_takes_a_load_that_it_would_leave_to_others_otherwise() -> None:
    """Who chose it by the order that all share would choose it again."""
    for is_away in (False, True):
        lone = Lone(peers={"b": instance(address="b:8080")}, load_threads=1)
        lone.know("m", model())
        lone.begin_load("other")
        if is_away:
            lone.feed(StoreLost())
        asking = lone.ask(Request("m", kind=Kind.LOAD, origin="c", hops=1))
        assert ("m" in lone.node.cache.entries) is is_away
        assert not is_away or lone.node.cache.entries["m"].is_awaited or asking.step is not None


def test_load_that_is_refused_for_want_of_space_goes_on_and_those_after_it_are_placed_alike() -> None:
    """A store that is full tells nobody of loads: it is as if it were away, though it can be read."""
    lone = Lone(peers={name: instance(address=f"{name}:8080") for name in PEERS}, seed=Random(1).randrange(9))
    lone.know("n", model())
    lone.know("m", model())
    asking = lone.ask(Request("n", kind=Kind.LOAD, origin="b", hops=1))
    lone.predict("n", 10)
    lone.feed(CommitFailed(lone.last(Commit).ticket, "etcd refused: no space", is_refused=True))
    assert lone.last(Load).model == "n"
    lone.loaded("n")
    asking.answer(Settled(None))
    assert isinstance(asking.step, Infer)
    order = [each for each in order_of("m", "a", *PEERS) if each != "a"]
    assert forwarded(lone.ask(Request("m", exclude=("a",))))[0] == order[0]


def test_place_is_looked_for_once_until_somebody_comes_or_cannot_be_reached() -> None:
    """However many requests there are for a model that was loaded elsewhere meanwhile."""
    lone = away(*PEERS)
    order = order_of("m", "a", *PEERS)
    node = lone.node
    want = Want("m", "onnx", 1)
    assert node.rendezvous.place(want, lone.now)[0] == order[0]
    again, why = node.rendezvous.place(want, lone.now)
    assert (again, why.cause) == (order[0], f"{CAUSE}, as before")
    excluded = Want("m", "onnx", 1, exclude={order[0]: Rejected.TRIED})
    assert node.rendezvous.place(excluded, lone.now)[0] == order[1]
    assert node.rendezvous.place(want, lone.now)[0] == order[0]
    name = next(f"x{number}" for number in range(99_999) if weight("m", f"x{number}") > weight("m", order[0]))
    lone.meet(name)
    assert node.rendezvous.place(want, lone.now)[0] == name
    node.desk.unreachable(name)
    assert node.rendezvous.place(want, lone.now)[0] == order[0]


def test_places_that_are_remembered_are_bounded() -> None:
    places = Rendezvous(view("a", "a", "b"))
    for number in range(KEPT + 1):
        places.place(Want(f"m{number}", "t", 1), NOW)
    assert len(places._places) == 1


def test_order_that_all_share_holds_until_all_have_told_what_they_loaded() -> None:
    """The store is back here sooner than elsewhere: what others loaded is not on record yet, and is found there."""
    lone = away(*PEERS)
    order = [each for each in order_of("m", "a", *PEERS) if each != "a"]
    lone.feed(StoreFound())
    lone.tick(2 * Settings().lease_ttl_ms - 1)
    assert forwarded(lone.ask(Request("m", exclude=("a",))))[0] == order[0]
    assert last_place(lone).cause == CAUSE
    lone.tick(1)
    lone.ask(Request("m", exclude=("a",)))
    assert last_place(lone).cause != CAUSE
