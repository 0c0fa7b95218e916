"""Copies whose runtime wants only so many requests at a time: who waits, who is refused, who goes elsewhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.client import ECHO, refused
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.test_plane import Spy
from tests.processes import until

DELAY = "modelmesh_req_queue_delay_milliseconds_count"
OVERLOAD = ("RESOURCE_EXHAUSTED", "Model queue overload")
NAMED = (("mm-model-id", "m"),)


class Limited(Spy):
    """Asks the mesh to hold requests back."""

    limit_model_concurrency = True


def on_i0(made: Mesh, path: str) -> None:
    made.client.register("m", path)
    made.copy("m", 0)
    for instance in made.instances:
        until(lambda instance=instance: instance.client.state("m") == "LOADED", "the copy is known")  # type: ignore[misc]


def test_a_copy_never_gets_more_requests_at_a_time_than_it_takes() -> None:
    """Wherever they come from: those that come over a hop wait in the same line."""
    with mesh(2, runtime=Limited) as pair:
        on_i0(pair, "fake:?concurrency=2&infer_ms=20")
        with ThreadPoolExecutor(12) as pool:
            calls = [pool.submit(pair[number % 2].client.infer, "m") for number in range(40)]
            assert [call.result().body for call in calls] == [b"hello"] * 40
        assert pair[0].fake.counts["m"].peak == 2
        assert pair[0].metrics()[DELAY] > 0


def test_a_request_more_than_a_copy_takes_is_refused_and_one_that_ends_makes_room() -> None:
    with mesh(1, runtime=Limited, MM_MAX_INFLIGHT_PER_MODEL_COPY="3") as lone:
        on_i0(lone, "fake:?concurrency=1&infer_ms=600000")
        calls = [lone.client.begin(ECHO, b"x", NAMED) for _ in range(3)]
        until(lambda: lone[0].fake.counts["m"].in_flight == 1, "one is served")
        until(lambda: overloaded(lone), "two wait")
        calls[0].cancel()
        until(lambda: lone[0].fake.counts["m"].infers == 2, "the next one has its turn")
        more = lone.client.begin(ECHO, b"x", NAMED)
        until(lambda: overloaded(lone), "it took the place that came free")
        for call in (*calls, more):
            call.cancel()


def overloaded(lone: Mesh) -> bool:
    """Whether one more request is refused: it leaves again at once where it is not."""
    call = lone.client.begin(ECHO, b"x", NAMED, timeout_s=0.2)
    return (call.code().name, call.details()) == OVERLOAD


def test_a_full_copy_is_passed_over_for_another_one() -> None:
    with mesh(2, runtime=Limited, MM_MAX_INFLIGHT_PER_MODEL_COPY="1") as pair:
        on_i0(pair, "fake:?concurrency=1&infer_ms=600000")
        held = pair[0].client.begin(ECHO, b"x", NAMED)
        until(lambda: pair[0].fake.counts["m"].in_flight == 1, "it is served")
        more = pair[1].client.begin(ECHO, b"x", NAMED)
        until(lambda: "m" in pair[1].fake.counts and pair[1].fake.counts["m"].in_flight == 1, "i1 loads a copy for it")
        assert refused(lambda: pair[1].client.infer("m")) == OVERLOAD
        held.cancel()
        more.cancel()


def test_a_request_that_waits_on_a_copy_that_leaves_goes_elsewhere() -> None:
    with mesh(2, runtime=Limited) as pair:
        on_i0(pair, "fake:?concurrency=1&infer_ms=600000")
        held = pair[0].client.begin(ECHO, b"x", NAMED)
        until(lambda: pair[0].fake.counts["m"].in_flight == 1, "it is served")
        waiting = pair[1].client.begin(ECHO, b"x", NAMED)
        pair.client.unregister("m")
        assert (waiting.code().name, waiting.details()) == ("NOT_FOUND", "model not found")
        held.cancel()
