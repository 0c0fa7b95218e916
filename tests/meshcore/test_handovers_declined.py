"""What an instance that goes makes of others that decline its copies: it does not ask them over and over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import Forward, Pause, Refused, TimedOut, Verdict
from meshcore.commands import Begin, Depart
from meshcore.events import DrainAsked
from meshcore.settings import Settings
from tests.builders import NOW, instance
from tests.meshcore.lone import Asking, Lone
from tests.meshcore.test_handovers import B, causes, made, ready_on

C = instance(address="c:8080", load_threads=2)
"""Has room, and makes one such copy at a time."""
FULL = replace(B, used_units=950)
MODELS = 8
AGAIN_MS = Settings().handover_again_ms


class Going:
    """Instance a with eight models as it goes; of its peers ``b`` declines, the others load until told otherwise."""

    def __init__(self, verdict: Verdict = Verdict.DECLINED, **peers: object) -> None:
        self.lone = Lone(peers={"b": FULL} | peers)  # type: ignore[arg-type]
        self.verdict = verdict
        self.is_declining = True
        self.asks: list[tuple[str, str]] = []
        """Models and the instances that were asked for a copy of them."""
        self.loading: list[tuple[str, Asking]] = []
        for at in range(MODELS):
            self.lone.load(f"m{at}", last_used=NOW - at * 1_000)
        self.lone.commands.clear()
        self.lone.feed(DrainAsked(60_000))
        self.play()

    def play(self) -> None:
        """All requests go as far as they come by themselves."""
        while begun := self.lone.all(Begin):
            self.lone.commands.remove(begun[0])
            self._go(begun[0].request.model, self.lone.ask(begun[0].request))

    def _go(self, model: str, asked: Asking) -> None:
        while isinstance(asked.step, Forward | Pause):
            if isinstance(asked.step, Pause):
                asked.answer(TimedOut())
                continue
            self.asks.append((model, asked.step.instance))
            assert len(self.asks) < 100, "asked over and over"
            if asked.step.instance != "b" or not self.is_declining:
                self.loading.append((model, asked))
                return
            asked.answer(Refused(self.verdict, "b", record=FULL.encode()))

    def load_ends(self) -> None:
        """The load that began first is over, and its copy answers."""
        model, asked = self.loading.pop(0)
        made(asked)
        ready_on(self.lone, model, "c")
        self.lone.commit()
        self.play()

    def tick(self, ms: int) -> None:
        self.lone.tick(ms)
        self.play()

    def take_asks(self) -> list[tuple[str, str]]:
        """Those since it was asked last."""
        asks, self.asks = self.asks, []
        return asks


@pytest.mark.parametrize("verdict", [Verdict.DECLINED, Verdict.FULL])
def test_who_declined_one_copy_is_asked_for_no_other_while_somebody_else_makes_one(verdict: Verdict) -> None:
    """Until the time is over; what waits is still answered here, and has its turn elsewhere."""
    going = Going(verdict, c=C)
    assert going.take_asks() == [("m0", "c"), ("m1", "b")]
    going.tick(AGAIN_MS - 1)
    assert going.take_asks() == []
    going.load_ends()
    assert going.take_asks() == [("m1", "c")]
    going.tick(1)
    assert going.take_asks() == [("m2", "b")]
    assert going.lone.node.departure.handovers.left == (MODELS - 1, 0)


def test_who_declined_is_asked_again_when_there_is_news_of_it() -> None:
    """Once for each: of others there may be as much as there will."""
    going = Going(c=C)
    going.take_asks()
    for used in (960, 970):
        going.lone.meet("c", replace(C, used_units=used))
        going.play()
        assert going.take_asks() == []
        going.lone.meet("b", replace(FULL, used_units=used))
        going.play()
        assert going.take_asks() == [("m1", "b")]


def test_as_many_are_asked_for_as_there_are_models_and_news() -> None:
    """A copy takes 700 ms, and the full one tells of itself every two seconds."""
    going = Going(c=C)
    news = 0
    for tenths in range(1, 1 + 7 * MODELS):
        going.tick(100)
        if tenths % 20 == 0:
            news += 1
            going.lone.meet("b", replace(FULL, used_units=950 + news))
            going.play()
        if tenths % 7 == 0:
            going.load_ends()
    asks = going.take_asks()
    assert sorted(model for model, at in asks if at == "c") == [f"m{at}" for at in range(MODELS)]
    assert len([at for _, at in asks if at == "b"]) <= 2 + 2 * news
    going.tick(1_000)
    assert len(going.lone.all(Depart)) == 1


@pytest.mark.parametrize("verdict", [Verdict.DECLINED, Verdict.FULL])
def test_with_nobody_to_wait_for_each_model_asks_for_itself_once(verdict: Verdict) -> None:
    """What is declined for one may be taken for another, pinned say; nothing waits for what will not be."""
    going = Going(verdict)
    assert going.take_asks() == [(f"m{at}", "b") for at in range(MODELS)]
    assert len(going.lone.all(Depart)) == 1
    assert going.lone.node.departure.handovers.left == (MODELS, MODELS)
    going.tick(AGAIN_MS)
    assert going.take_asks() == []


def test_who_takes_copies_again_gets_as_many_at_once_as_before() -> None:
    going = Going(b=replace(FULL, load_threads=4), c=C)
    going.take_asks()
    going.is_declining = False
    going.lone.meet("b", replace(B, load_threads=4))
    going.play()
    assert going.take_asks() == [("m1", "b"), ("m2", "b")]


def test_who_has_a_turn_and_nowhere_to_go_leaves_it_to_the_next() -> None:
    """The only other instance has a copy of it already: it makes one of the next."""
    lone = Lone(settings=Settings(slice_models=1), peers={"b": B})
    for at, name in enumerate("mno"):
        lone.load(name, last_used=NOW - at * 1_000)
    ready_on(lone, "n", "b")
    lone.commands.clear()
    lone.feed(DrainAsked(60_000))
    first, *_ = [lone.ask(begun.request) for begun in lone.all(Begin)]
    lone.tick(10)
    lone.tick(10)
    lone.commands.clear()
    made(first)
    (second,) = lone.all(Begin)
    lone.commands.clear()
    lone.ask(second.request)
    assert causes(lone, "n")[-1] == "others answer in its place"
    assert [begun.request.model for begun in lone.all(Begin)] == ["o"]
