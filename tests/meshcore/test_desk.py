"""What a request's flow may ask of its node."""

from __future__ import annotations

import pytest

from meshcore.asks import Forward, Kind, Op, Refused, Request, Unreachable, Verdict
from meshcore.commands import Peer, Peers
from meshcore.reasons import Rejected, Rule
from meshcore.records import Failure
from tests.builders import NOW, instance, model
from tests.meshcore.lone import Lone

TS = NOW - 600_000


def placed(lone: Lone, request: Request) -> tuple[str | None, dict[str, Rejected | None]]:
    """Where a model goes, and why not elsewhere."""
    target = lone.node.desk.place(request, lone.record(request.model))
    reason = lone.node.log.of(request.model)[-1]
    assert reason.rule is Rule.PLACE
    return target, {candidate.id: candidate.rejected for candidate in reason.candidates}


def test_load_goes_to_nobody_who_has_it_failed_it_was_asked_or_is_not_wanted() -> None:
    """Each of them is named in the reason with why it is passed over."""
    lone = Lone(peers={name: instance() for name in ("b", "c", "d", "e", "f")})
    lone.know("m", model(copies={"b": TS}, failures={"c": Failure(NOW - 1, "bad"), "f": Failure(NOW - 900_000, "x")}))
    target, why = placed(lone, Request("m", exclude=("d", "a"), targets=("e",)))
    assert target == "f"
    assert why == {
        "a": Rejected.EXCLUDED,
        "b": Rejected.HOLDS,
        "c": Rejected.FAILED,
        "d": Rejected.EXCLUDED,
        "e": Rejected.TRIED,
        "f": None,
    }


def test_place_is_chosen_with_this_instance_as_it_is_now() -> None:
    """Others are known by what they published, this one by its cache."""
    lone = Lone(peers={"b": instance(used_units=950)})
    lone.know("m", model())
    assert placed(lone, Request("m"))[0] == "a"
    for name in ("x", "y"):
        lone.load(name, units=40)
    assert not lone.node.view.order.get("a").is_full  # type: ignore[union-attr]
    lone.node.desk.place(Request("m"), lone.record("m"))
    assert lone.node.view.order.get("a").is_full  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("size_units", "size_bytes", "held"),
    [(7, 0, 7), (0, 8192 * 3, 3), (0, 0, 10)],
    ids=["the sender knows the size", "the registration says it", "nobody knows: the usual size"],
)
def test_load_that_is_sent_counts_against_its_target(size_units: int, size_bytes: int, held: int) -> None:
    """Until the target's record shows it, or it is refused."""
    lone = Lone(peers={"b": instance()})
    lone.know("m", model(size_bytes=size_bytes))
    asking = lone.ask(Request("m", size_units=size_units))
    assert isinstance(asking.step, Forward)
    assert lone.node.view.reservations.units("b") == held
    asking.answer(Refused(Verdict.DECLINED, "b"))
    assert lone.node.view.reservations.units("b") == 0


def test_load_refused_for_a_model_unregistered_meanwhile_counts_no_longer() -> None:
    """Its size is not known any more; what was held was the usual."""
    lone = Lone(peers={"b": instance()})
    lone.know("m", model())
    asking = lone.ask(Request("m"))
    lone.know("m", None)
    asking.answer(Refused(Verdict.DECLINED, "b"))
    assert lone.node.view.reservations.loads("b") == 0


def test_load_here_holds_nothing() -> None:
    """This instance's own numbers are fresh."""
    lone = Lone()
    lone.know("m", model())
    assert placed(lone, Request("m"))[0] == "a"
    assert lone.node.view.reservations.loads("a") == 0


def test_size_that_nobody_advertises_room_for_is_judged_by_the_target() -> None:
    """Memory that is being given back is not advertised: an instance may hold more than it says just now."""
    lone = Lone(peers={"b": instance(capacity_units=40)})
    lone.know("m", model(size_bytes=8192 * 95))
    target = lone.node.desk.place(Request("m"), lone.record("m"))
    assert target in ("a", "b")
    first, second = lone.node.log.of("m")
    assert {candidate.rejected for candidate in first.candidates} == {Rejected.TOO_SMALL}
    assert second.chosen == target


def test_model_goes_only_where_it_fits_if_that_is_anywhere() -> None:
    """An instance that is large enough is chosen among those that are, however much better others look."""
    lone = Lone(peers={"b": instance(capacity_units=50), "c": instance(count=9, used_units=800)})
    lone.know("m", model(size_bytes=8192 * 95))
    assert {placed(lone, Request("m"))[0] for _ in range(10)} == {"c"}


def test_peer_after_its_pause_is_tried_by_one_request() -> None:
    """The plane hears when a peer is ejected, when it may be tried, that it is being tried, and that it answers."""
    lone = Lone(peers={"b": instance(address="b:1")})
    lone.know("m", model(copies={"b": TS}, ready={"b": TS}))
    first, second = lone.ask(Request("m")), lone.ask(Request("m"))
    lone.commands.clear()
    first.answer(Unreachable("reset"))
    assert lone.last(Peers) == Peers((Peer("b", "b:1", is_ok=False),))
    lone.commands.clear()
    second.answer(Unreachable("reset"))  # was under way when the first failed: no news
    assert lone.all(Peers) == []
    assert lone.node.next_wake(NOW) == NOW + 40
    lone.tick(40)
    assert lone.last(Peers) == Peers((Peer("b", "b:1", is_ok=True, is_on_trial=True),))
    trial = lone.ask(Request("m"))
    assert isinstance(trial.step, Forward)
    assert lone.last(Peers) == Peers((Peer("b", "b:1", is_ok=False),))
    trial.answer(Refused(Verdict.NOT_HERE, "b"))
    assert lone.last(Peers) == Peers((Peer("b", "b:1", is_ok=True),))


def test_holder_that_was_not_reached_is_passed_over() -> None:
    """While it is ejected the other ready ones are asked."""
    lone = Lone(peers={"b": instance(), "c": instance()})
    lone.know("m", model(copies={"b": TS, "c": TS}, ready={"b": TS, "c": TS}))
    lone.node.view.health.failed("b", NOW)
    for _ in range(10):
        asking = lone.ask(Request("m"))
        assert isinstance(asking.step, Forward)
        assert asking.step.instance == "c"


def test_lost_copy_that_is_gone_already_is_nobodys() -> None:
    """A second request that found it lost changes nothing."""
    lone = Lone()
    gen = lone.load("m")
    lone.node.desk.lost("m", gen + 1)
    assert lone.node.cache.entries["m"].is_serving
    lone.node.desk.lost("m", gen)
    lone.node.desk.lost("m", gen)
    assert "m" not in lone.node.cache.entries


def test_refusal_carries_this_instance_as_it_is_now() -> None:
    """Its record, and when the load began of the copy that it has."""
    lone = Lone()
    lone.begin_load("m")
    told = lone.node.desk.refusal(Verdict.DECLINED, "m")
    assert (told.verdict, told.instance, told.load_ts, told.text) == (Verdict.DECLINED, "a", NOW, "")
    assert told.record == lone.node.own_record().encode()


def test_load_of_an_older_use_than_on_record_counts_as_of_the_record() -> None:
    """A registration may name an older instant than the model's last use."""
    lone = Lone()
    lone.know("m", model(last_used=NOW - 5))
    lone.ask(Request("m", Op.ENSURE, Kind.LOAD, is_sync=False, last_used=NOW - 50))
    assert lone.node.cache.last_used("m") == NOW - 5
