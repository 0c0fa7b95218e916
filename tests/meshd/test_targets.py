"""Requests for virtual models whose requests are split, in the port that clients call."""

from __future__ import annotations

from collections import Counter

import pytest

from meshcore.asks import Done, Request, RuntimeFailed
from meshcore.errors import Code
from meshd.plane.metadata import Metadata
from meshd.plane.targets import Target
from tests.meshd.scene import Aborted, Scene, played

COUNT = 20_000
TO_V: Metadata = (("mm-vmodel-id", "v"),)


@pytest.mark.parametrize("has_keys", [False, True])
def test_ninety_to_ten_is_so_within_a_point(has_keys: bool) -> None:
    """By chance, and by keys where every client has its own."""

    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        scene.plane.targets["v"] = Target("a", {"a": 90, "b": 10}, "")
        for number in range(COUNT):
            await scene.call((*TO_V, ("mm-vmodel-key", f"user-{number}")) if has_keys else TO_V)
        counts = Counter(scene.models)
        assert counts.keys() == {"a", "b"}
        assert abs(counts["b"] - COUNT // 10) < COUNT // 100

    played(scenario)


def test_a_key_stays_with_one_target_on_every_instance_as_long_as_the_split_stands() -> None:
    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        for _ in range(10):  # as an instance that starts anew, or another one
            scene.plane.targets["v"] = Target("a", {"b": 50, "a": 50}, "")
            for number in range(40):
                await scene.call((*TO_V, ("mm-vmodel-key", str(number))))
                await scene.call((*TO_V, ("mm-vmodel-key-bin", str(number).encode())))
        by_key = [set(scene.models[2 * number :: 80] + scene.models[2 * number + 1 :: 80]) for number in range(40)]
        assert all(len(models) == 1 for models in by_key)
        assert set.union(*by_key) == {"a", "b"}

    played(scenario)


def test_without_a_split_a_key_changes_nothing() -> None:
    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        scene.plane.targets["v"] = Target("a", {}, "")
        for number in range(20):
            await scene.call((*TO_V, ("mm-vmodel-key", str(number))))
        assert set(scene.models) == {"a"}

    played(scenario)


def test_a_target_that_fails_fails_and_no_other_answers_for_it() -> None:
    """Who watches a canary is to see that; who is kept with one by a key is to stay there."""

    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        scene.desk.end = Done(RuntimeFailed(Code.INTERNAL, "b is broken"))
        scene.plane.targets["v"] = Target("a", {"a": 1, "b": 99}, "")
        with pytest.raises(Aborted, match="b is broken"):
            await scene.call(TO_V)
        assert scene.desk.asked == [Request("b", vmodel="v")]

    played(scenario)


@pytest.mark.parametrize("has_failed", [False, True])
def test_the_shadow_sees_what_the_client_sent_once_the_client_has_its_answer(has_failed: bool) -> None:
    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        if has_failed:
            scene.desk.end = Done(RuntimeFailed(Code.INTERNAL, "broken"))
        scene.plane.targets["v"] = Target("a", {}, "c")
        try:
            await scene.call((*TO_V, ("mm-balanced", "true")), b"body")
        except Aborted:
            assert has_failed
        assert scene.desk.asked == [Request("a", is_balanced=True, vmodel="v")], "not before"
        await scene.over()
        assert scene.desk.asked[1:] == [Request("c", is_balanced=True, is_asked_for=False, is_shadow=True)]
        assert scene.metrics.counters.requests == 1
        assert sum(scene.counts().values()) == 1

    played(scenario)


def test_a_model_that_answers_does_not_see_the_request_once_more() -> None:
    """As while it hands over to others and becomes their shadow."""

    async def scenario(scene: Scene) -> None:
        scene.desk.may_end.set()
        scene.plane.targets["v"] = Target("a", {"a": 50, "b": 50}, "a")
        for number in range(40):
            await scene.call((*TO_V, ("mm-vmodel-key", str(number))))
        await scene.over()
        assert scene.models.count("a") == 40, "either it answers or it sees what the other one answers"
        assert 0 < scene.counts()["answered"] == scene.models.count("b") < 40

    played(scenario)


def test_a_client_that_left_has_no_shadow() -> None:
    async def scenario(scene: Scene) -> None:
        scene.plane.targets["v"] = Target("a", {}, "c")
        scene.desk.may_end.set()
        scene.desk.end = RuntimeError("as good as cancelled")
        with pytest.raises(RuntimeError):
            await scene.call(TO_V)
        assert scene.counts() == {"answered": 0, "failed": 0, "dropped": 1}
        assert scene.models == ["a"]

    played(scenario)


def test_shadows_that_hang_hold_no_client_up() -> None:
    """All that may be under way are, none ends: every client has its answer, every copy beyond them is dropped."""

    async def scenario(scene: Scene) -> None:
        scene.plane.targets["v"] = Target("a", {}, "c")
        scene.desk.hanging.add("c")
        scene.desk.may_end.set()
        for _ in range(200):
            await scene.call(TO_V)
        assert scene.models.count("a") == 200
        assert scene.counts() == {"answered": 0, "failed": 0, "dropped": 200 - 64}
        scene.plane.shadows.end()
        await scene.over()

    played(scenario)
