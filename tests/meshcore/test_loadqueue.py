from __future__ import annotations

from meshcore.entry import Entry, State
from meshcore.loadqueue import LoadQueue
from meshcore.units import NEVER
from tests.builders import entry


def can(_: Entry) -> bool:
    return True


def cannot(_: Entry) -> bool:
    return False


def queued(threads: int, *entries: Entry) -> LoadQueue:
    queue = LoadQueue(threads)
    for each in entries:
        queue.add(each)
    return queue


def started(queue: LoadQueue) -> list[str]:
    """What starts now, in order, each over before the next."""
    models = []
    while copy := queue.next_startable(can):
        models.append(copy.model)
        queue.discard(copy)
    return models


def test_inference_goes_before_the_rest_and_earlier_before_later() -> None:
    """D-03: the order is (class, arrival)."""
    queue = queued(1, entry("a"), entry("b", is_prioritised=True), entry("c"), entry("d", is_prioritised=True))
    assert started(queue) == ["b", "d", "a", "c"]


def test_an_inference_that_finds_a_queued_load_raises_it_among_its_class_by_its_arrival() -> None:
    """D-03: a raised entry keeps the turn that its arrival gives it."""
    first, raised = entry("a"), entry("b")
    queue = queued(1, first, raised, entry("c", is_prioritised=True))
    queue.raise_class(raised)
    queue.raise_class(raised)
    assert raised.is_prioritised
    assert started(queue) == ["b", "c", "a"]


def test_loads_that_clients_want_are_counted_wherever_they_are() -> None:
    """Offered, queued and running; the others are not."""
    queue = queued(1, *(entry(name, is_asked_for=name in "ac") for name in "abc"))
    for name in "de":
        queue.offer(entry(name, is_asked_for=name == "d"))
    running = queue.next_startable(can)
    assert running is not None
    assert (running.model, queue.asked_for, queue.in_progress) == ("a", 3, 5)
    queue.discard(running)
    assert queue.asked_for == 2


def test_a_load_raised_before_it_is_queued_is_queued_as_raised() -> None:
    queue, late = queued(1, entry("a")), entry("b")
    queue.raise_class(late)
    queue.add(late)
    assert started(queue) == ["b", "a"]


def test_no_more_loads_run_than_there_are_threads() -> None:
    queue = queued(2, entry("a"), entry("b"), entry("c"))
    running = [queue.next_startable(can), queue.next_startable(can)]
    assert [copy.model for copy in running if copy] == ["a", "b"]
    assert queue.next_startable(can) is None
    assert queue.head() is None
    assert queue.in_progress == 3
    for copy in running:
        assert copy
        queue.discard(copy)
    assert started(queue) == ["c"]
    assert queue.in_progress == 0


def test_a_large_load_that_waits_for_memory_is_not_passed_by_small_ones() -> None:
    queue = queued(4, entry("large", weight=50), entry("small"))
    assert queue.next_startable(lambda copy: copy.weight < 10) is None
    assert [copy.model for copy in [queue.head()] if copy] == ["large"]


def test_a_load_held_up_by_something_else_than_memory_is_passed_and_keeps_its_place() -> None:
    held = entry("a")
    queue = queued(1, held, entry("b"))
    passing = queue.next_startable(can, lambda copy: copy is held)
    assert passing
    assert passing.model == "b"
    queue.discard(passing)
    assert started(queue) == ["a"]


def test_a_discarded_load_does_not_start() -> None:
    gone = entry("a")
    queue = queued(1, gone, entry("b"))
    queue.discard(gone)
    queue.discard(entry("a"))
    assert started(queue) == ["b"]


def test_waiting_counts_from_the_first_whose_turn_came() -> None:
    first, second = entry("a", state=State.QUEUED), entry("b", is_prioritised=True, state=State.QUEUED)
    queue = queued(2, first, second)
    queue.begin_wait(first, 7)
    assert queue.next_startable(cannot) is None
    assert (queue.waiting(), queue.waiting_since()) == ([first], 7)
    queue.discard(first)
    assert (queue.waiting(), queue.waiting_since()) == ([], NEVER)


def test_what_queued_loads_will_take_is_known_without_looking_at_them() -> None:
    """One that is raised still counts once; one that has its place, has started or is gone does not."""
    first, second, third = (entry(name, weight=1, predicted_units=11) for name in "abc")
    queue = queued(1, first, second, third)
    assert queue.pending_units == 30
    queue.raise_class(third)
    third.weight = 11
    queue.weigh(third)
    assert queue.pending_units == 20
    assert queue.next_startable(can) is third
    queue.discard(first)
    queue.discard(first)
    queue.weigh(first)
    assert queue.pending_units == 10
    queue.discard(second)
    assert queue.pending_units == 0
