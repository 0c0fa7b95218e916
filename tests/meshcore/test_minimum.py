"""Models that are to have some copies at least."""

from __future__ import annotations

from meshcore.asks import Op
from meshcore.commands import Begin
from meshcore.constraints import TypeConstraint
from meshcore.events import Constrained, LeaderSeen
from meshcore.reasons import Reason, Rule
from meshcore.records import Failure, ModelRecord, Phase
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance
from tests.meshcore.lone import Lone

RETRY_MS = 10_000
EXPIRY_MS = 900_000
OLD = NOW - 600_000


def leading(*names: str, **settings: int) -> Lone:
    knobs = {"fill_period_ms": 0, **settings}
    lone = Lone(settings=Settings(**knobs), peers={name: instance(address=f"{name}:8080") for name in ("a", *names)})
    lone.feed(LeaderSeen("a"))
    lone.tick(0)
    return lone


def on(*names: str, least: int, **fields: object) -> ModelRecord:
    return ModelRecord("onnx", copies=dict.fromkeys(names, OLD), min_copies=least, **fields)  # type: ignore[arg-type]


def begun(lone: Lone) -> list[tuple[str, tuple[str, ...]]]:
    """The loads that were begun, and where not, since it was asked last."""
    found = [(begin.request.model, begin.request.exclude) for begin in lone.all(Begin)]
    assert all(begin.request.op is Op.ENSURE and not begin.request.is_asked_for for begin in lone.all(Begin))
    lone.commands.clear()
    return found


def unsatisfied(lone: Lone) -> list[Reason]:
    return [reason for reason in lone.node.log.since(0) if reason.rule is Rule.UNSATISFIED]


def test_model_is_brought_up_to_its_least_number_one_copy_after_the_other() -> None:
    """Each copy that a record names is the cause to ask for the next, elsewhere."""
    lone = leading("b", "c", "d")
    lone.know("m", on(least=3))
    lone.tick(0)
    assert begun(lone) == [("m", ())]
    lone.know("m", on("b", least=3))
    lone.tick(0)
    assert begun(lone) == [("m", ("b",))]
    lone.know("m", on("b", "c", least=3))
    lone.tick(0)
    assert begun(lone) == [("m", ("b", "c"))]
    lone.know("m", on("b", "c", "d", least=3))
    lone.tick(0)
    assert begun(lone) == []
    assert unsatisfied(lone) == []
    assert lone.node.upkeep.minimum.next_wake() == NEVER


def test_registrations_from_before_the_lead_are_looked_at() -> None:
    lone = Lone(settings=Settings(fill_period_ms=0), peers={"a": instance(address="a:8080")})
    lone.know("m", on(least=1))
    lone.tick(0)
    assert begun(lone) == []
    lone.feed(LeaderSeen("a"))
    lone.tick(0)
    assert begun(lone) == [("m", ())]
    lone.feed(LeaderSeen("b"))
    lone.tick(RETRY_MS)
    assert begun(lone) == []


def test_copy_that_goes_with_its_instance_is_replaced() -> None:
    """The instance is gone, or is going: its copy is as good as gone, though no second one beside it is asked of it."""
    lone = leading("b", "c", "d")
    lone.know("m", on("b", "c", least=2))
    lone.tick(0)
    assert begun(lone) == []
    lone.meet("b", instance(address="b:8080", phase=Phase.DRAINING, is_shutting_down=True))
    lone.tick(0)
    assert begun(lone) == [("m", ("b", "c"))]
    lone.lose("c")
    lone.tick(0)
    assert begun(lone) == [("m", ("b",))]


def test_copy_on_an_instance_that_takes_no_loads_for_now_is_there_all_the_same() -> None:
    """It stays, and so it needs no other in its place."""
    lone = leading("b", "c", "d")
    lone.know("m", on("b", "c", least=2))
    lone.meet("b", instance(address="b:8080", is_cordoned=True))
    lone.tick(0)
    assert begun(lone) == []


def test_what_cannot_be_had_is_told_once_and_had_when_an_instance_comes() -> None:
    """As many as there are instances that can have it."""
    lone = leading("b")
    lone.know("m", on("a", "b", least=4))
    lone.know("other", on("a", "b", least=2))
    for _ in range(3):
        lone.tick(RETRY_MS)
    assert begun(lone) == []
    (told,) = unsatisfied(lone)
    assert (told.model, told.inputs) == ("m", {"copies": 2, "min": 4, "places": 0})
    assert lone.node.upkeep.minimum.unsatisfied == {"m": 2}
    lone.meet("c")
    lone.tick(0)
    assert begun(lone) == [("m", ("a", "b"))]
    lone.know("m", on("a", "b", "c", least=3))
    lone.tick(0)
    assert lone.node.upkeep.minimum.unsatisfied == {}


def test_load_that_comes_to_nothing_is_asked_for_again_and_then_less_often() -> None:
    lone = leading("b")
    lone.know("m", on("a", least=2))
    lone.tick(0)
    assert len(begun(lone)) == 1
    lone.know("m", on("a", least=2, last_used=5))
    lone.tick(RETRY_MS - 1)
    assert begun(lone) == []
    lone.tick(1)
    assert len(begun(lone)) == 1
    (told,) = unsatisfied(lone)
    assert told.cause == "no load of it came to anything"
    lone.tick(6 * RETRY_MS - 1)
    assert begun(lone) == []
    lone.tick(1)
    assert len(begun(lone)) == 1
    assert len(unsatisfied(lone)) == 1


def test_instance_that_failed_to_load_it_is_no_place_until_that_is_old() -> None:
    lone = leading("b")
    failures = {"b": Failure(NOW - 10, "bad"), "x": Failure(NOW - 10, "bad")}
    lone.know("m", on("a", least=2, failures=failures))
    lone.tick(0)
    assert begun(lone) == []
    assert unsatisfied(lone)[0].cause == "no other instance can have it"
    lone.tick(EXPIRY_MS)
    assert begun(lone) == [("m", ("a",))]


def test_model_that_is_to_have_none_any_more_or_is_gone_is_forgotten() -> None:
    lone = leading()
    for end in (on("a", least=0), None):
        lone.know("m", on("a", least=2))
        lone.tick(0)
        assert lone.node.upkeep.minimum.unsatisfied == {"m": 1}
        lone.know("m", end)
        lone.tick(RETRY_MS)
        assert lone.node.upkeep.minimum.unsatisfied == {}
        assert lone.node.upkeep.minimum.next_wake() == NEVER
    assert begun(lone) == []


def test_record_that_cannot_be_read_any_more_is_passed_over() -> None:
    lone = leading("b")
    lone.know("m", on("a", least=2))
    lone.revision += 1
    lone.node.view.see_model("m", b'{"min"', lone.revision)
    lone.tick(0)
    assert begun(lone) == []


def test_model_that_changes_twice_before_it_is_looked_at_is_looked_at_once() -> None:
    lone = leading("b")
    lone.know("m", on("a", least=2))
    lone.know("m", on("a", least=2, last_used=5))
    lone.tick(0)
    assert len(begun(lone)) == 1


def test_many_are_looked_at_in_slices() -> None:
    lone = leading("b", slice_models=2)
    for number in range(3):
        lone.know(f"m{number}", on("a", least=2))
    lone.tick(0)
    assert len(begun(lone)) == 2
    assert lone.node.upkeep.minimum.next_wake() == lone.now + 10
    lone.tick(9)
    assert begun(lone) == []
    lone.tick(1)
    assert len(begun(lone)) == 1


def used_at(lone: Lone) -> list[int]:
    """As when used the copies count that were begun since it was asked last."""
    found = [begin.request.last_used for begin in lone.all(Begin)]
    lone.commands.clear()
    return found


def test_copy_whose_instance_went_without_a_word_is_awaited_until_its_record_names_it_no_more() -> None:
    """It may be back at once; else it is pruned, which is the cause to look again."""
    lone = leading("b", "c")
    lone.know("m", on("a", "b", least=2))
    lone.lose("b")
    lone.tick(RETRY_MS)
    assert begun(lone) == []
    lone.know("m", on("a", least=2))
    lone.tick(0)
    assert begun(lone) == [("m", ("a",))]


def test_copy_that_made_room_for_others_does_not_come_back_as_used_just_now() -> None:
    """Else those that are to have copies would take each other's place for ever where there is not room for all."""
    lone = leading("b")
    lone.know("m", on("b", least=1, last_used=OLD))
    lone.tick(0)
    lone.know("m", on(least=1, last_used=OLD))
    lone.tick(0)
    assert used_at(lone) == [1]
    lone.know("never", on("b", least=1))
    lone.tick(0)
    lone.know("never", on(least=1))
    lone.tick(0)
    assert used_at(lone) == [1]


def test_first_copy_and_one_that_went_with_its_instance_come_as_used_just_now() -> None:
    lone = leading("b", "c")
    lone.know("m", on(least=1, last_used=OLD))
    lone.tick(0)
    assert used_at(lone) == [lone.now]
    lone.know("m", on("b", least=1, last_used=OLD))
    lone.tick(0)
    assert used_at(lone) == []
    lone.meet("b", instance(address="b:8080", phase=Phase.DRAINING, is_shutting_down=True))
    lone.tick(0)
    assert used_at(lone) == [lone.now]


def test_nothing_is_brought_up_just_after_a_start() -> None:
    """Those that start with this one are to have their share."""
    lone = Lone(settings=Settings(fill_period_ms=0), peers={"a": instance(address="a:8080")}, me={"start_ms": NOW})
    lone.feed(LeaderSeen("a"))
    lone.know("m", on(least=1))
    lone.tick(RETRY_MS - 1)
    assert begun(lone) == []
    assert lone.node.upkeep.minimum.next_wake() == lone.now + 1
    lone.tick(1)
    assert begun(lone) == [("m", ())]


def test_instances_that_may_not_load_a_type_are_no_places_for_it() -> None:
    """Nor is a copy there one that it has; other constraints are the cause to look again."""
    lone = leading("b", "c")
    lone.meet("c", instance(address="c:8080", labels=("gpu",)))
    lone.feed(Constrained({"onnx": TypeConstraint(("gpu",))}))
    lone.know("m", on("b", least=2))
    lone.tick(0)
    assert begun(lone) == [("m", ("b",))]
    lone.know("m", on("b", "c", least=2))
    lone.tick(0)
    assert begun(lone) == []
    assert unsatisfied(lone)[-1].inputs == {"copies": 1, "min": 2, "places": 0}
    lone.feed(Constrained({}))
    lone.tick(0)
    assert lone.node.upkeep.minimum.unsatisfied == {}
